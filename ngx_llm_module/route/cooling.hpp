// What a failed attempt means for its deployment: when it cools down and for how long. Rules of
// LiteLLM, see llm_cooldown_time; the kinds of failures are in failures.def.
#pragma once

#include "ngx_llm_module/conf/config.hpp"
#include "ngx_llm_module/route/next_step.hpp"

namespace llm {

struct FailedAttempt {
    const Model &model;
    const Deployment &deployment;
    Failure failure;
    std::string_view error;      // the class of it, for the metrics
    int64_t retry_after;         // milliseconds that the provider asked for; -1: it did not
    bool has_elsewhere;          // another deployment of the model, or a fallback
    bool was_on_trial;           // it had just cooled down
    ngx_msec_t cooldown_time;    // where neither the deployment nor the model says one
    ngx_uint_t allowed_fails;    // where the model does not say it
    ngx_msec_t least = 0;        // it cools so long at least
    bool is_one_enough = false;  // also where the table says "rate"
};

// Counts it. For how long the deployment is left alone now; 0: it goes on.
ngx_msec_t cool_after(const Config &config, const FailedAttempt &attempt);

// What Retry-After says, seconds or a date: milliseconds; -1: nothing.
int64_t stated_wait(std::string_view retry_after);

}  // namespace llm
