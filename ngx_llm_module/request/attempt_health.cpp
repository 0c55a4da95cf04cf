// What an attempt tells of its deployment: to the health of all workers, and to the metrics.
#include "ngx_llm_module/request/attempt_health.hpp"

#include "ngx_llm_module/route/cooling.hpp"
#include "ngx_llm_module/state/health.hpp"
#include "ngx_llm_module/state/metrics.hpp"

namespace llm {

void note_to_health(LlmRequest &request, Failure failure, int64_t retry_after) {
    const Candidate &candidate = request.candidate();
    const Deployment &deployment = *candidate.deployment;
    bool was_on_trial = availability(request.config, deployment.slot) == Availability::on_trial ||
                        request.plan.is_trial;
    FailedAttempt attempt{*candidate.model,
                          deployment,
                          failure,
                          request.ledger.error,
                          retry_after,
                          request.plan.has_elsewhere,
                          was_on_trial,
                          request.loc.cooldown_time,
                          request.loc.allowed_fails};
    if (ngx_msec_t time = cool_after(request.config, attempt)) {
        ngx_log_error(NGX_LOG_WARN, request.r->connection->log, 0,
                      "llm: deployment %s cools down for %M ms", deployment.id.c_str(), time);
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
