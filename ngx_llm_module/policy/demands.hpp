// From who asks, for what and where, to the list of limits that a request must fit.
#pragma once

#include <span>

#include "ngx_llm_module/conf/config.hpp"
#include "ngx_llm_module/conf/records.hpp"
#include "ngx_llm_module/policy/store.hpp"

namespace llm {

// What a request will use at most, as far as one can tell before.
struct Estimate {
    int64_t input_tokens = 0;
    int64_t output_tokens = 0;
    int64_t cost = 0;              // nano-dollars, of the dearest candidate
    bool ignores_budgets = false;  // all candidates are known to cost nothing
};

// A row of llm_limit and the value that its variable has now.
struct LimitValue {
    const LimitRule *rule = nullptr;
    std::string_view value;
};

struct DemandSource {
    const Config &config;
    const Identity &identity;
    std::string_view model;    // that was asked for; none of its aliases
    std::string_view current;  // that is asked: this one or a fallback
    std::span<const LimitValue> limits;
    Estimate estimate;
};

// The views in the list are those of the source's strings.

// Those that last: counts of all that is asked for, and requests of the model that was asked for.
void add_demands(const DemandSource &source, Demands &demands);

// Those of the model that is asked now: the rows that the caller's sets have for it, and budgets,
// because what is reserved of them is its price.
void add_model_demands(const DemandSource &source, Demands &demands);

// For which periods such a set has budgets of all models together: each is a counter of its own.
std::vector<Period> budget_periods(const LimitSet &limits);

// One alternative: a deployment and the limits that it has.
void add_alternative(const Estimate &estimate, const Deployment &deployment, Demands &demands);

}  // namespace llm
