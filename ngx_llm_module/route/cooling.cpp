// See cooling.hpp.
#include "ngx_llm_module/route/cooling.hpp"

#include <algorithm>

#include "ngx_llm_module/state/health.hpp"
#include "ngx_llm_module/state/metrics.hpp"

namespace llm {
namespace {

constexpr int64_t kLongestCoolDown = 300000;
constexpr int64_t kLongestAlone = 60000;  // of a deployment without an alternative

ngx_msec_t cooldown_time(const FailedAttempt &attempt) {
    ngx_msec_t own = attempt.deployment.cooldown_time;
    ngx_msec_t of_model = attempt.model.routing.cooldown_time;
    return own != NGX_CONF_UNSET_MSEC        ? own
           : of_model != NGX_CONF_UNSET_MSEC ? of_model
                                             : attempt.cooldown_time;
}

// Here 503 and what cannot be connected count like 429.
bool must_cool(const FailedAttempt &attempt, Cools cools, const FailureCounts &counts) {
    constexpr uint32_t kLeast = 5;
    constexpr uint32_t kLeastAlone = 1000;
    ngx_uint_t allowed = attempt.model.routing.allowed_fails;
    if (allowed == NGX_CONF_UNSET_UINT) {
        allowed = attempt.allowed_fails;
    }
    if (allowed != kFailsByRate) {
        return counts.failures > allowed;
    }
    uint32_t all = counts.failures + counts.successes;
    if (!attempt.has_elsewhere) {
        return counts.successes == 0 && all >= kLeastAlone;
    }
    return attempt.is_one_enough || cools == Cools::alone ||
           (all >= kLeast && counts.failures * 2 > all);
}

}  // namespace

ngx_msec_t cool_after(const Config &config, const FailedAttempt &attempt) {
    const Deployment &deployment = attempt.deployment;
    const FailureRule &rule = rule_of(attempt.failure);
    // Clients choose what stands behind a pattern: a model that does not exist is their mistake.
    if (rule.cools == Cools::never ||
        (attempt.failure == Failure::not_found && deployment.is_wildcard())) {
        return 0;
    }
    FailureCounts counts = note_slot_failure(config, deployment.slot);
    auto time = int64_t(cooldown_time(attempt));
    if (time == 0) {
        return 0;
    }
    time = std::max(time, int64_t(attempt.least));
    bool cools = attempt.was_on_trial || must_cool(attempt, rule.cools, counts);
    bool is_stated = attempt.retry_after > 0 && rule.again == Again::retries;
    if (is_stated) {
        int64_t stated =
            std::min(attempt.retry_after, attempt.has_elsewhere ? kLongestCoolDown : kLongestAlone);
        time = attempt.has_elsewhere ? std::max(time, stated) : stated;
        cools = true;
    }
    if (!cools) {
        return 0;
    }
    cool(config, deployment.slot, ngx_msec_t(time), is_stated);
    count(Metric::cooldowns, {deployment.id, attempt.error});
    return ngx_msec_t(time);
}

int64_t stated_wait(std::string_view retry_after) {
    int64_t wait = parse_seconds(retry_after);
    if (wait < 0 && !retry_after.empty()) {
        auto *bytes = reinterpret_cast<u_char *>(const_cast<char *>(retry_after.data()));
        time_t date = ngx_parse_http_time(bytes, retry_after.size());
        wait = date == NGX_ERROR ? -1 : std::max<int64_t>(int64_t(date - ngx_time()), 0) * 1000;
    }
    return wait;
}

}  // namespace llm
