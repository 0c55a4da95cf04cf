// The entry that every request leaves: who answered, tokens, times, outcome. Variables, headers
// and log lines read it, nothing counts beside it.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "ngx_llm_module/base/ngx_cxx.hpp"
#include "translators/core/usage.hpp"
#include "translators/pricing/cost.hpp"
#include "translators/pricing/units.hpp"

namespace llm {

enum class Outcome : uint8_t { none, ok, client_closed, refused, upstream_error, cut, timeout };

std::string_view name(Outcome outcome);

// Of one attempt: the present or last one.
struct AttemptNumbers {
    ngx_msec_t attempt_began = 0;                      // on the clock of ngx_current_msec
    ngx_uint_t status = 0;                             // of the provider
    ngx_uint_t unbooked_attempts = 0;                  // at its deployment, see book_attempts()
    ServiceTier service_tier = ServiceTier::standard;  // that the provider billed, where it says
    // Of the provider's headers, what the client may see: the client's name for it (static), value.
    std::vector<std::pair<std::string_view, std::string>> provider_headers;
    std::string retry_after;
};

struct Ledger : AttemptNumbers {
    Outcome outcome = Outcome::none;
    std::string_view error;  // class name, static; empty: none
    Usage usage;             // of all attempts that delivered something
    Usage earlier;           // of those before the current one
    int64_t earlier_cost = 0;
    int64_t earlier_list_cost = 0;
    int64_t cost = 0;          // nano-dollars
    int64_t list_cost = 0;     // before the provider's cost_factor
    bool is_booked = false;    // `cost` is final
    Units units;               // what is not paid for by tokens
    bool is_unpriced = false;  // no price was known
    std::string upstream_model;
    std::string finish_reason;  // as the provider called it
    ngx_uint_t attempts = 0;
    ngx_uint_t fallbacks = 0;       // times that another model took over
    std::string_view limit_status;  // of the admission, static; empty: no limit applies
    std::string_view hedge;  // what became of a second attempt, static; empty: there was none
    uint64_t request_bytes = 0;

    // Tokens or units are our own guess.
    bool is_estimated() const { return usage.estimated || (units.are_booked && !units.are_given); }

    // On the clock of ngx_current_msec; 0: did not happen.
    ngx_msec_t began = 0;
    ngx_msec_t first_content = 0;
    ngx_msec_t ended = 0;
    ngx_msec_t upstream_time = 0;  // of finished attempts
};

class LlmRequest;

// The present attempt is over, if there is one: until now its provider was waited for.
void end_attempt(LlmRequest &request);

// Time between the client's first byte and ours that was not spent waiting for a provider.
uint64_t overhead_ms(const LlmRequest &request);

}  // namespace llm
