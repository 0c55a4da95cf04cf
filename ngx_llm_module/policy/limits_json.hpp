// The limits of a record in JSON, under LiteLLM's names. Each reader says what is wrong, or
// nothing.
#pragma once

#include <string>

#include "ngx_llm_module/conf/limits.hpp"
#include "ngx_llm_module/policy/record_members.hpp"
#include "translators/json/reader.hpp"

namespace llm {

using Wrong = const char *;

constexpr uint32_t kMaxList = 1000;

std::string plain(json::Value value);
std::string plain(JsonText text);
// Null, false, empty: it may be unknown.
bool says_nothing(json::Value value);

// The text of a number, which may be a text itself: an exact one, of digits and a point. Else
// empty.
std::string number_of(json::Value value);
Wrong read_limit(json::Value value, int64_t &limit);
Wrong read_soft_budget(json::Value value, int64_t &nanos);
// Of the whole record: max_budget with budget_duration is one budget, budget_limits are others.
// What is said of the one leaves the others as they are. A budget_duration stays when its
// max_budget goes, and may come before it. `param`: the member that is wrong, if one is.
Wrong read_budgets(json::Value object, LimitSet &limits, std::string &param);
// As records store it, under a name that says nothing to a gateway of before.
constexpr std::string_view kNextDuration = "next_budget_duration";
Wrong read_next_duration(json::Value value, LimitSet &limits);
// tpm_limit_type: which tokens count.
Wrong read_tokens(json::Value value, TokenKind &tokens);
// rpm_limit_type: there is nothing to choose.
Wrong read_rate_type(json::Value value);
Wrong read_outage(json::Value value, std::optional<OnOutage> &on_outage);
Wrong read_model_limits(json::Value value, int64_t ModelLimit::*which, LimitSet &limits);
// Where LiteLLM has them, in the metadata of this body: they become limits of the record, after
// what the body says of those beside it, and leave `metadata`: what stands there would soon be
// another truth. `param`: as above.
Wrong take_model_limits(json::Value object, LimitSet &limits, std::string &metadata,
                        std::string &param);
// Several budgets of one model are a list.
Wrong read_model_budgets(json::Value value, LimitSet &limits);

void write_limits(const LimitSet &limits, Members &members);

}  // namespace llm
