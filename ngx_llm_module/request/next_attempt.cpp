// Attempts: how one is started, and what follows its failure (route/next_step.cpp decides, here it
// is done): the next deployment, the same after a pause, another model, or the error to the client.
#include <algorithm>

#include "ngx_llm_module/base/guard.hpp"
#include "ngx_llm_module/request/attempt_health.hpp"
#include "ngx_llm_module/request/booking.hpp"
#include "ngx_llm_module/request/hedge.hpp"
#include "ngx_llm_module/request/local_answers.hpp"
#include "ngx_llm_module/request/planning.hpp"
#include "ngx_llm_module/request/reply.hpp"
#include "ngx_llm_module/route/cooling.hpp"
#include "ngx_llm_module/state/health.hpp"
#include "ngx_llm_module/state/metrics.hpp"
#include "ngx_llm_module/upstream/credentials.hpp"
#include "ngx_llm_module/upstream/worker.hpp"

namespace llm {
namespace {

constexpr ngx_msec_t kKeyParked = 60000;

// An error that the request brought with it: it would fail everywhere.
ErrorClass class_of(Errc code) {
    switch (code) {
        case Errc::unsupported:
            return ErrorClass::unsupported;
        case Errc::too_large:
            return ErrorClass::too_large;
        case Errc::internal:
            return ErrorClass::upstream;  // no credentials for the provider: not the caller's fault
        default:
            return ErrorClass::invalid_request;
    }
}

// A provider that cannot count says so in many ways; an estimate is better than that.
bool is_no_counter(ErrorClass error_class) {
    return error_class == ErrorClass::not_found || error_class == ErrorClass::unsupported ||
           error_class == ErrorClass::invalid_request;
}

bool take_candidate(LlmRequest &request);

// The candidate has no room: another one, another model, or the refusal.
void pass_over(LlmRequest &request);

void begin_attempt(LlmRequest &request) {
    switch (request.limits.move_to(request.next_candidate - 1)) {
        case Admission::granted:
            send_attempt(request);
            return;
        case Admission::waiting:
            return;
        case Admission::refused:
        case Admission::failed:
            pass_over(request);
            return;
    }
}

void on_pause_over(ngx_event_t *ev) {
    LlmRequest &request = *static_cast<LlmRequest *>(ev->data);
    Turn turn(request.r);
    request.plan.tried[request.next_candidate - 1].tries++;
    begin_attempt(request);
}

void pause(LlmRequest &request, ngx_msec_t time) {
    ngx_event_t &timer = request.plan.pause;
    timer.handler = guard<on_pause_over>;
    timer.data = &request;
    timer.log = request.r->connection->log;
    ngx_add_timer(&timer, time);
}

// The first candidate that is still to be asked; one that others are trying out is passed over.
bool take_candidate(LlmRequest &request) {
    Plan &plan = request.plan;
    for (size_t i = 0; i < plan.tried.size(); i++) {
        Tried &tried = plan.tried[i];
        if (tried.tries > 0 || tried.is_out) {
            continue;
        }
        uint32_t slot = request.candidates[i].deployment->slot;
        Availability state = availability(request.config, slot);
        plan.is_trial = state == Availability::on_trial;
        bool is_taken = state == Availability::cooling && request.loc.try_cooled != 1;
        if (is_taken || (plan.is_trial && !begin_trial(request.config, slot))) {
            tried.is_out = true;
            continue;
        }
        request.next_candidate = i + 1;
        tried.tries = 1;
        return true;
    }
    return false;
}

void pass_over(LlmRequest &request) {
    request.plan.tried[request.next_candidate - 1].is_out = true;
    if (take_candidate(request)) {
        begin_attempt(request);
        return;
    }
    if (move_to_fallback(request)) {
        start_attempt(request);
        return;
    }
    if (request.answer.is_committed()) {
        request.answer.give_up();
    } else {
        request.limits.reply();
    }
}

// The key or the address of the provider is at fault, and it has another one: the same deployment
// at once. It is not a failure of the deployment.
bool try_other_way(LlmRequest &request, Failure failure) {
    Plan &plan = request.plan;
    Tried &tried = plan.tried[request.next_candidate - 1];
    if (rule_of(failure).parks_key && plan.key_count > 1 && plan.key < 32) {
        park_key(request.config, request.candidate().deployment->slot, plan.key, kKeyParked);
        tried.failed_keys |= uint32_t(1) << plan.key;
        uint32_t all = plan.key_count >= 32 ? UINT32_MAX : (uint32_t(1) << plan.key_count) - 1;
        if ((tried.failed_keys & all) != all) {
            begin_attempt(request);
            return true;
        }
    }
    if (failure == Failure::unreachable && tried.failed_urls + 1 < plan.url_count) {
        tried.failed_urls++;
        begin_attempt(request);
        return true;
    }
    return false;
}

bool has_time(const LlmRequest &request) {
    return ngx_msec_int_t(request.deadline - ngx_current_msec) > 0;
}

void reply_failure(LlmRequest &request, const ApiError &error) {
    if (request.answer.is_committed()) {
        request.answer.give_up();
        return;
    }
    if (request.is_count() && is_no_counter(error.error_class)) {
        answer_estimated_count(request);
        return;
    }
    reply_error(request, error);
}

// Whose attempt is made; none: the request's own.
Hedge *hedge_within(const LlmRequest &request) {
    return request.hedge != nullptr && request.hedge->is_inside() ? request.hedge.get() : nullptr;
}

void arm_hedge(LlmRequest &request) {
    if (request.answer.is_committed() || hedge_within(request) != nullptr || !can_hedge(request)) {
        return;
    }
    if (request.hedge == nullptr) {
        request.hedge = std::make_unique<Hedge>(request);
    }
    request.hedge->arm();
}

// A second attempt runs beside the failed one, and may do better. Otherwise there is none from
// here.
bool is_other_left(LlmRequest &request, Failure failure) {
    if (request.hedge == nullptr || !request.hedge->is_racing()) {
        return false;
    }
    return rule_of(failure).elsewhere;
}

}  // namespace

// Until its first content an attempt keeps time by itself. A timer more for each request costs what
// a hundred lines of code do: most requests are over, or have content, before they need it. Asked
// for every attempt: each deployment has time-outs of its own.
static bool needs_timer(const LlmRequest &request) {
    const Provider &provider = *request.candidate().deployment->provider;
    Timeouts own = request.timeouts();
    auto left = ngx_msec_int_t(request.deadline - ngx_current_msec);
    return provider.is_mock() || worker().credentials(provider) != nullptr ||
           ngx_msec_int_t(own.connect + own.first_token) >= left;
}

void send_attempt(LlmRequest &request) {
    if (needs_timer(request)) {
        keep_deadline(request);
    }
    request.answer.reset();
    request.ledger.attempts++;
    request.ledger.unbooked_attempts++;
    request.ledger.attempt_began = ngx_current_msec;
    request.ledger.retry_after.clear();
    const Candidate &candidate = request.candidate();
    request.notes = Notes();
    arm_hedge(request);
    if (CredentialSource *source = worker().credentials(*candidate.deployment->provider)) {
        auto wait = std::make_unique<CredentialWait>(request, *source, hedge_within(request));
        if (wait->is_needed()) {
            request.attempt = std::move(wait);
            return;
        }
    }
    continue_attempt(request, nullptr);
}

void start_attempt(LlmRequest &request) {
    if (take_candidate(request)) {
        begin_attempt(request);
        return;
    }
    if (move_to_fallback(request)) {
        start_attempt(request);
        return;
    }
    request.next_candidate = std::max<size_t>(request.next_candidate, 1);  // for the log
    if (request.answer.is_committed()) {
        request.answer.give_up();
        return;
    }
    ngx_msec_t wait = 0;
    (void)availability(request.config, request.candidate().deployment->slot, &wait);
    request.plan.shortest_wait = std::max<ngx_msec_t>(wait, 1);
    reply_cooling(request);
}

void resume_attempt(LlmRequest &request, Admission admission) {
    if (admission == Admission::granted) {
        send_attempt(request);
    } else {
        pass_over(request);
    }
}

void continue_attempt(LlmRequest &request, Hedge *within) {
    Hedge::Inside inside(within);
    const Candidate &candidate = request.candidate();
    OutgoingRequest outgoing;
    if (Status built = build_request(request, candidate, outgoing); !built) {
        const Error &error = built.error();
        Arena arena;
        ApiError shown;
        shown.error_class = class_of(error.code);
        shown.message = json::escape(error.what, arena);
        shown.param = json::escape(error.param, arena);
        // Another deployment may be able to say it.
        try_next(
            request, shown,
            error.code == Errc::internal ? Failure::no_credentials : failure_of(shown.error_class));
        return;
    }
    AnswerSink &own = request.answer;
    Hedge *hedge = hedge_within(request);
    request.attempt =
        make_attempt(request, candidate, std::move(outgoing), hedge != nullptr ? *hedge : own);
    request.attempt->start();
}

void repeat_attempt(LlmRequest &request) {
    keep_deadline(request);
    end_attempt(request);
    Plan &plan = request.plan;
    plan.tried[request.next_candidate - 1].tries++;
    plan.retries_left -= plan.retries_left > 0 ? 1 : 0;
    send_attempt(request);
}

void retry_on_new_connection(LlmRequest &request) {
    keep_deadline(request);
    request.ledger.attempts--;
    request.ledger.unbooked_attempts--;
    request.wants_new_connection = true;
    begin_attempt(request);
}

void try_next(LlmRequest &request, const ApiError &error, Failure failure) {
    Plan &plan = request.plan;
    Ledger &ledger = request.ledger;
    if (plan.pause.timer_set) {
        ngx_del_timer(&plan.pause);
    }
    keep_deadline(request);
    bool has_other = is_other_left(request, failure);
    if (request.hedge != nullptr && !has_other) {
        request.hedge->close_other();
    }
    if (has_other) {
        request.attempt.reset();  // somebody is still waited for
    } else {
        end_attempt(request);
        request.limits.leave();
    }
    const Candidate &candidate = request.candidate();
    CredentialSource *source = worker().credentials(*candidate.deployment->provider);
    if (source != nullptr && failure == Failure::authentication) {
        source->reject();
    }
    if (is_about_reasoning(error) && !request.is_without_reasoning && ledger.status == 400 &&
        has_time(request)) {
        request.is_without_reasoning = true;  // once: what was thought before is left out
        begin_attempt(request);
        return;
    }
    ngx_log_error(NGX_LOG_WARN, request.r->connection->log, 0,
                  "llm: deployment %s failed, %*s (status %ui)", candidate.deployment->id.c_str(),
                  ledger.error.size(), ledger.error.data(), ledger.status);
    if (has_time(request) && try_other_way(request, failure)) {
        return;
    }
    count(Metric::deployment_attempts, {candidate.deployment->id, ledger.error});
    book_attempts(request);
    int64_t now = int64_t(ngx_current_msec);
    int64_t retry_after = stated_wait(request.ledger.retry_after);
    if (!request.is_count()) {
        note_to_health(request, failure, retry_after);
    }
    note_failure(plan.tried[request.next_candidate - 1], failure, now, retry_after,
                 uint32_t(ngx_random()));
    if (has_other) {
        request.hedge->give_way();
        return;
    }
    Situation situation;
    situation.failure = failure;
    situation.candidates = plan.tried;
    situation.retries_left = plan.retries_left;
    FallbackKind kind = rule_of(failure).models;
    situation.has_next_model = has_fallback(request, kind);
    situation.now = now;
    situation.time_left = ngx_msec_int_t(request.deadline - ngx_current_msec);
    for (;;) {
        NextStep step = next_step(situation);
        switch (step.kind) {
            case NextStep::Kind::reply:
                reply_failure(request, error);
                return;
            case NextStep::Kind::model:
                if (move_to_fallback(request, kind)) {
                    start_attempt(request);
                    return;
                }
                situation.has_next_model = false;  // none of them can be asked
                break;
            case NextStep::Kind::candidate:
                if (step.is_retry) {
                    plan.retries_left--;
                    count(Metric::retries, {candidate.deployment->id});
                    plan.is_trial = false;
                    request.next_candidate = step.candidate + 1;
                    pause(request, ngx_msec_t(step.wait));
                    return;
                }
                if (take_candidate(request)) {
                    begin_attempt(request);
                    return;
                }
                break;  // those that were left are being tried by others
        }
    }
}

}  // namespace llm
