// The decision after a failure: another deployment at once, the same again after a while, another
// model, or the error to the client.
#include "ngx_llm_module/route/next_step.hpp"

#include <algorithm>

namespace llm {
namespace {

constexpr FailureRule kRules[] = {
#define LLM_FAILURE(name, again, elsewhere, models, cools, parks_key) \
    {#name, Again::again, elsewhere, FallbackKind::models, Cools::cools, parks_key},
#include "ngx_llm_module/route/failures.def"
#undef LLM_FAILURE
};

constexpr int64_t kFirstPause = 200;
constexpr int64_t kLongestPause = 8000;

// Doubles with every try; the later half of it is left to chance.
int64_t pause_after(unsigned tries, uint32_t random) {
    int64_t pause = kFirstPause;
    for (unsigned i = 1; i < tries && pause < kLongestPause; i++) {
        pause *= 2;
    }
    pause = std::min(pause, kLongestPause);
    return pause / 2 + int64_t(random) % (pause / 2 + 1);
}

}  // namespace

const FailureRule &rule_of(Failure failure) {
    return kRules[size_t(failure)];
}

Failure failure_of(ErrorClass error_class) {
    switch (error_class) {
        case ErrorClass::invalid_request:
            return Failure::bad_request;
        case ErrorClass::unsupported:
            return Failure::unsupported;
        case ErrorClass::context_length:
            return Failure::context_length;
        case ErrorClass::content_policy:
            return Failure::content_policy;
        case ErrorClass::authentication:
            return Failure::authentication;
        case ErrorClass::billing:
            return Failure::billing;
        case ErrorClass::permission:
            return Failure::permission;
        case ErrorClass::not_found:
            return Failure::not_found;
        case ErrorClass::too_large:
            return Failure::too_large;
        case ErrorClass::rate_limit:
            return Failure::rate_limit;
        case ErrorClass::timeout:
            return Failure::provider_timeout;
        case ErrorClass::overloaded:
            return Failure::overloaded;
        case ErrorClass::upstream:
            return Failure::server_error;
        case ErrorClass::upstream_protocol:
            return Failure::malformed;
        case ErrorClass::stream_truncated:
            break;
    }
    return Failure::truncated;
}

void note_failure(Tried &tried, Failure failure, int64_t now, int64_t retry_after,
                  uint32_t random) {
    const FailureRule &rule = rule_of(failure);
    tried.is_stated = retry_after >= 0;
    tried.ready_at = now + std::max(retry_after, pause_after(tried.tries, random));
    if (rule.again == Again::never || (rule.again == Again::once && tried.tries > 1)) {
        tried.is_out = true;
    }
}

NextStep next_step(const Situation &s) {
    const FailureRule &rule = rule_of(s.failure);
    NextStep step;
    if (s.time_left <= 0) {
        return step;
    }
    const NextStep other_model{s.has_next_model ? NextStep::Kind::model : NextStep::Kind::reply};
    if (!rule.elsewhere) {
        return other_model;
    }
    const Tried *best = nullptr;
    for (const Tried &tried : s.candidates) {
        if (tried.is_out) {
            continue;
        }
        if (tried.tries == 0) {
            step.kind = NextStep::Kind::candidate;
            step.candidate = size_t(&tried - s.candidates.data());
            return step;
        }
        if (best == nullptr || tried.ready_at < best->ready_at) {
            best = &tried;
        }
    }
    if (best == nullptr || s.retries_left == 0) {
        return other_model;
    }
    int64_t wait = std::max<int64_t>(best->ready_at - s.now, 0);
    if (wait >= s.time_left || (best->is_stated && wait > 0 && s.has_next_model)) {
        return other_model;
    }
    step.kind = NextStep::Kind::candidate;
    step.candidate = size_t(best - s.candidates.data());
    step.wait = wait;
    step.is_retry = true;
    return step;
}

int64_t parse_seconds(std::string_view text) {
    constexpr int64_t kMost = 86400LL * 365;
    int64_t seconds = 0;
    size_t at = 0;
    while (at < text.size() && text[at] >= '0' && text[at] <= '9') {
        seconds = std::min(seconds * 10 + (text[at] - '0'), kMost);
        at++;
    }
    if (at == 0) {
        return -1;
    }
    int64_t ms = seconds * 1000;
    if (at < text.size() && text[at] == '.') {
        int64_t unit = 100;
        for (at++; at < text.size() && text[at] >= '0' && text[at] <= '9'; at++) {
            ms += (text[at] - '0') * unit;
            unit /= 10;
        }
    }
    return at == text.size() ? ms : -1;
}

}  // namespace llm
