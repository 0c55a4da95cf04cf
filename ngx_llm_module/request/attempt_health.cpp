// What an attempt tells of its deployment: to the health of all workers, and to the metrics.
#include "ngx_llm_module/request/attempt_health.hpp"

#include <algorithm>

#include "ngx_llm_module/state/health.hpp"
#include "ngx_llm_module/state/metrics.hpp"

namespace llm {
namespace {

constexpr int64_t kLongestCoolDown = 300000;
constexpr int64_t kLongestAlone = 60000;  // of a deployment without an alternative

ngx_msec_t cooldown_time(const LlmRequest &request, const Candidate &candidate) {
    ngx_msec_t own = candidate.deployment->cooldown_time;
    ngx_msec_t of_model = candidate.model->routing.cooldown_time;
    return own != NGX_CONF_UNSET_MSEC        ? own
           : of_model != NGX_CONF_UNSET_MSEC ? of_model
                                             : request.loc.cooldown_time;
}

// LiteLLM's rules, see llm_cooldown_time; here 503 and what cannot be connected count like 429.
bool must_cool(const LlmRequest &request, const Candidate &candidate, Cools cools,
               const FailureCounts &counts) {
    constexpr uint32_t kLeast = 5;
    constexpr uint32_t kLeastAlone = 1000;
    ngx_uint_t allowed = candidate.model->routing.allowed_fails;
    if (allowed == NGX_CONF_UNSET_UINT) {
        allowed = request.loc.allowed_fails;
    }
    if (allowed != kFailsByRate) {
        return counts.failures > allowed;
    }
    uint32_t all = counts.failures + counts.successes;
    if (!request.plan.has_elsewhere) {
        return counts.successes == 0 && all >= kLeastAlone;
    }
    return cools == Cools::alone || (all >= kLeast && counts.failures * 2 > all);
}

}  // namespace

void note_to_health(LlmRequest &request, Failure failure, int64_t retry_after) {
    const Candidate &candidate = request.candidate();
    const Deployment &deployment = *candidate.deployment;
    const FailureRule &rule = rule_of(failure);
    // Clients choose what stands behind a pattern: a model that does not exist is their mistake.
    if (rule.cools == Cools::never || (failure == Failure::not_found && deployment.is_wildcard())) {
        return;
    }
    bool was_on_trial = availability(request.config, deployment.slot) == Availability::on_trial ||
                        request.plan.is_trial;
    FailureCounts counts = note_slot_failure(request.config, deployment.slot);
    auto time = int64_t(cooldown_time(request, candidate));
    if (time == 0) {
        return;
    }
    bool cools = was_on_trial || must_cool(request, candidate, rule.cools, counts);
    if (retry_after > 0 && rule.again == Again::retries) {
        bool has_elsewhere = request.plan.has_elsewhere;
        int64_t stated = std::min(retry_after, has_elsewhere ? kLongestCoolDown : kLongestAlone);
        time = has_elsewhere ? std::max(time, stated) : stated;
        cools = true;
    }
    if (cools) {
        ngx_log_error(NGX_LOG_WARN, request.r->connection->log, 0,
                      "llm: deployment %s cools down for %L ms", deployment.id.c_str(), time);
        cool(request.config, deployment.slot, ngx_msec_t(time));
        count(Metric::cooldowns, {deployment.id, request.ledger.error});
    }
}

void note_served(LlmRequest &request, bool is_complete) {
    if (request.is_raw || request.is_count()) {
        return;
    }
    uint32_t slot = request.candidate().deployment->slot;
    if (is_complete) {
        note_success(request.config, slot);
        count(Metric::deployment_attempts, {request.candidate().deployment->id, ""});
        note_tokens(request.config, slot, request.ledger.usage.total());
    } else {
        open_again(request.config, slot);
        note_latency(request.config, slot, ngx_current_msec - request.ledger.attempt_began,
                     request.is_stream());
    }
}

void note_broken(LlmRequest &request, Failure failure) {
    if (!request.is_raw) {
        note_to_health(request, failure, -1);
    }
}

}  // namespace llm
