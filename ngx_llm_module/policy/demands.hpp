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
    const Identity &identity;
    std::string_view model;  // as asked for
    std::span<const LimitValue> limits;
    Estimate estimate;
};

// The common ones. The views in the list are those of the source's strings.
void add_demands(const DemandSource &source, Demands &demands);

// The model that is asked instead of the one that was asked for.
struct FallbackModel {
    std::string_view name;    // empty: it is the one that was asked for
    bool is_counted = false;  // among its requests: an attempt before was
};

// One alternative: a deployment and the limits that it has, and what the caller's sets say of the
// fallback's model.
void add_alternative(const DemandSource &source, const Deployment &deployment,
                     const FallbackModel &fallback, Demands &demands);

}  // namespace llm
