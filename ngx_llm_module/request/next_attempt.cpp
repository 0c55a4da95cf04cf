// Attempts: how one is started, and what follows its failure (route/next_step.cpp decides, here it
// is done): the next deployment, the same after a pause, another model, or the error to the client.
#include "ngx_llm_module/request/next_attempt.hpp"

#include <algorithm>

#include "ngx_llm_module/base/guard.hpp"
#include "ngx_llm_module/policy/model_access.hpp"
#include "ngx_llm_module/request/kept_answers.hpp"
#include "ngx_llm_module/request/local_answers.hpp"
#include "ngx_llm_module/request/pricing.hpp"
#include "ngx_llm_module/request/reply.hpp"
#include "ngx_llm_module/request/wishes.hpp"
#include "ngx_llm_module/route/strategy.hpp"
#include "ngx_llm_module/state/health.hpp"
#include "ngx_llm_module/state/metrics.hpp"
#include "ngx_llm_module/upstream/credentials.hpp"
#include "ngx_llm_module/upstream/worker.hpp"

namespace llm {
namespace {

constexpr ngx_msec_t kKeyParked = 60000;
constexpr int64_t kLongestCoolDown = 300000;
constexpr int64_t kLongestAlone = 60000;  // of a deployment without an alternative

// --- which model ---

// The lists of a model come before what is left of those of the models before it.
void add_pending(LlmRequest &request, const Model &model, bool is_first) {
    Plan &plan = request.plan;
    if (plan.wishes.disable_fallbacks || request.loc.max_fallbacks == 0) {
        return;
    }
    std::vector<PlannedModel> list;
    auto add = [&](const std::vector<Placed> &names, FallbackKind kind) {
        for (const Placed &name : names) {
            list.push_back({name.text, kind});
        }
    };
    if (is_first && plan.wishes.has_fallbacks) {
        for (const std::string &name : plan.wishes.fallbacks) {
            list.push_back({name, FallbackKind::general});
        }
    } else if (!model.routing.fallbacks.empty()) {
        add(model.routing.fallbacks, FallbackKind::general);
    } else if (is_first) {
        add(request.config.default_fallbacks, FallbackKind::general);
    }
    add(model.routing.context_fallbacks, FallbackKind::context);
    add(model.routing.content_fallbacks, FallbackKind::content);
    plan.pending.insert(plan.pending.begin(), std::make_move_iterator(list.begin()),
                        std::make_move_iterator(list.end()));
}

bool is_visited(const Plan &plan, const Model *model) {
    return std::find(plan.visited.begin(), plan.visited.end(), model) != plan.visited.end();
}

// May the one who asks use this model? Fallbacks do not widen what a key was given.
bool may_ask(const LlmRequest &request, std::string_view name) {
    return may_use(request.config, request.identity, name);
}

// The next one of its kind that exists, was not asked yet, and may be asked.
std::vector<PlannedModel>::iterator find_pending(LlmRequest &request, FallbackKind kind) {
    Plan &plan = request.plan;
    if (kind == FallbackKind::none || plan.fallbacks >= request.loc.max_fallbacks) {
        return plan.pending.end();
    }
    return std::find_if(plan.pending.begin(), plan.pending.end(), [&](const PlannedModel &next) {
        std::string_view suffix;
        const Model *model =
            next.kind == kind ? find_model(request.config, next.name, suffix) : nullptr;
        return model != nullptr && !is_visited(plan, model) && may_ask(request, next.name);
    });
}

RankHints hints_for(LlmRequest &request, const Model &model, bool try_cooled) {
    RankHints hints;
    hints.tags = &request.plan.wishes.tags;
    // Of what is not translated nobody knows how many tokens it is.
    bool is_text = !request.is_count() && !request.is_other();
    hints.body = is_text ? request.body.view() : std::string_view();
    hints.try_cooled = try_cooled;
    if (model.deployments.size() > 1 && model.routing.has_affinity) {
        if (Result<json::Value> root = worker().parse_body(request)) {
            hints.conversation = conversation_of(*root);
        }
    }
    return hints;
}

void use_candidates(LlmRequest &request, std::vector<Candidate> list) {
    Plan &plan = request.plan;
    request.candidates = std::move(list);
    request.next_candidate = 0;
    plan.tried.assign(request.candidates.size(), Tried());
    ngx_uint_t configured = request.candidates.empty()
                                ? NGX_CONF_UNSET_UINT
                                : request.candidates[0].model->routing.num_retries;
    ngx_uint_t retries = configured == NGX_CONF_UNSET_UINT ? request.loc.num_retries : configured;
    plan.retries_left = unsigned(plan.wishes.num_retries.value_or(retries));
}

bool keep_priced(LlmRequest &request) {
    bool is_left = drop_unpriced(request);
    request.plan.tried.resize(request.candidates.size());
    return is_left;
}

// Makes this the model that is asked. Not `none`: it has no deployment for the request now.
Emptiness take_model(LlmRequest &request, const Model &model, std::string_view suffix,
                     std::string_view name, bool try_cooled) {
    Plan &plan = request.plan;
    bool is_first = plan.visited.empty();
    plan.visited.push_back(&model);
    plan.current = name;
    add_pending(request, model, is_first);
    Ranking ranking = rank(request.config, model, suffix, hints_for(request, model, try_cooled));
    if (ranking.shortest_wait != 0 &&
        (plan.shortest_wait == 0 || ranking.shortest_wait < plan.shortest_wait)) {
        plan.shortest_wait = ranking.shortest_wait;
    }
    if (ranking.list.empty()) {
        return ranking.why;
    }
    use_candidates(request, std::move(ranking.list));
    plan.has_elsewhere =
        ranking.has_others || find_pending(request, FallbackKind::general) != plan.pending.end();
    return Emptiness::none;
}

// Goes on to the next model of this kind that has a deployment. False: there is none.
bool take_fallback(LlmRequest &request, FallbackKind kind) {
    Plan &plan = request.plan;
    for (;;) {
        auto next = find_pending(request, kind);
        if (next == plan.pending.end()) {
            return false;
        }
        std::string name = std::move(next->name);
        plan.pending.erase(next);
        std::string_view suffix;
        const Model *model = find_model(request.config, name, suffix);
        std::string before = plan.current;
        std::string suffix_copy(suffix);
        if (take_model(request, *model, suffix_copy, name, false) == Emptiness::none) {
            plan.fallbacks++;
            request.ledger.fallbacks = plan.fallbacks;
            count(Metric::model_fallbacks, {before, name, request.ledger.error});
            return true;
        }
        plan.current = std::move(before);
    }
}

void reply_cooling(LlmRequest &request) {
    ngx_msec_t wait = request.plan.shortest_wait;
    std::string seconds = std::to_string((wait + 999) / 1000);
    request.ledger.retry_after = seconds;
    std::string text = "all deployments of the model are cooling down, try again in " + seconds +
                       (seconds == "1" ? " second" : " seconds");
    reply_error(request, ErrorClass::rate_limit, text);
}

void reply_empty(LlmRequest &request, Emptiness why) {
    switch (why) {
        case Emptiness::no_tags:
            reply_error(request, ErrorClass::invalid_request,
                        "no deployment of the model has these tags", {}, "tags");
            return;
        case Emptiness::too_long:
            reply_error(request, ErrorClass::context_length,
                        "the request is longer than the model's context window");
            return;
        case Emptiness::cooling:
        case Emptiness::none:
            reply_cooling(request);
            return;
    }
}

// --- health ---

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

// --- attempts ---

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

// What the provider asks for: seconds or a date; -1: nothing.
int64_t stated_wait(const LlmRequest &request) {
    const std::string &text = request.ledger.retry_after;
    int64_t wait = parse_seconds(text);
    if (wait < 0 && !text.empty()) {
        auto *bytes = reinterpret_cast<u_char *>(const_cast<char *>(text.data()));
        time_t date = ngx_parse_http_time(bytes, text.size());
        wait = date == NGX_ERROR ? -1 : std::max<int64_t>(int64_t(date - ngx_time()), 0) * 1000;
    }
    return wait;
}

bool take_candidate(LlmRequest &request);

// The candidate has no room: another one, another model, or the refusal.
void pass_over(LlmRequest &request);

void send_attempt(LlmRequest &request) {
    request.answer.reset();
    request.ledger.attempts++;
    request.ledger.attempt_began = ngx_current_msec;
    request.ledger.retry_after.clear();
    const Candidate &candidate = request.candidate();
    request.notes = Notes();
    if (CredentialSource *source = worker().credentials(*candidate.deployment->provider)) {
        auto wait = std::make_unique<CredentialWait>(request, *source);
        if (wait->is_needed()) {
            request.attempt = std::move(wait);
            return;
        }
    }
    continue_attempt(request);
}

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
    switch (move_to_fallback(request)) {
        case Moved::yes:
            start_attempt(request);
            return;
        case Moved::no:
            if (request.answer.is_committed()) {
                request.answer.give_up();
            } else {
                request.limits.reply();
            }
            return;
        case Moved::replied:
            return;
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

// What goes on from a kept answer goes nowhere else.
bool stay_at_origin(LlmRequest &request) {
    if (!keep_to_origin(request)) {
        return false;
    }
    if (request.keeper != nullptr) {
        request.plan.pending.clear();
        request.plan.tried.assign(request.candidates.size(), Tried());
    }
    return true;
}

}  // namespace

bool plan_request(LlmRequest &request) {
    std::string_view suffix;
    const Model *model = find_model(request.config, request.target_model, suffix);
    Plan &plan = request.plan;
    Emptiness why = Emptiness::none;
    if (model != nullptr) {
        why = take_model(request, *model, suffix, request.target_model, false);
        if (why == Emptiness::none) {
            return keep_priced(request) && stay_at_origin(request);
        }
    } else {
        static const Model kUnknown;
        add_pending(request, kUnknown, true);
    }
    bool is_gone_on = why != Emptiness::no_tags &&
                      take_fallback(request, why == Emptiness::too_long ? FallbackKind::context
                                                                        : FallbackKind::general);
    if (is_gone_on) {
        return keep_priced(request) && stay_at_origin(request);
    }
    if (model == nullptr) {
        reply_error(request, ErrorClass::not_found, "the model does not exist", "model_not_found",
                    "model");
        return false;
    }
    if (why == Emptiness::cooling && request.loc.try_cooled == 1) {
        plan.visited.clear();
        plan.pending.clear();
        if (take_model(request, *model, suffix, request.target_model, true) == Emptiness::none) {
            return keep_priced(request) && stay_at_origin(request);
        }
    }
    reply_empty(request, why);
    return false;
}

bool plan_direct(LlmRequest &request) {
    std::vector<Candidate> list;
    list.push_back(direct_candidate(request.config, *request.only_provider, request.target_model));
    use_candidates(request, std::move(list));
    return keep_priced(request);
}

bool plan_kept(LlmRequest &request) {
    use_candidates(request, std::move(request.candidates));
    return true;
}

void start_attempt(LlmRequest &request) {
    if (take_candidate(request)) {
        begin_attempt(request);
        return;
    }
    switch (move_to_fallback(request)) {
        case Moved::yes:
            start_attempt(request);
            return;
        case Moved::replied:
            return;
        case Moved::no:
            break;
    }
    if (request.answer.is_committed()) {
        request.answer.give_up();
        return;
    }
    request.next_candidate = 1;  // for the log
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

Moved move_to_fallback(LlmRequest &request) {
    if (!take_fallback(request, FallbackKind::general)) {
        return Moved::no;
    }
    return keep_priced(request) ? Moved::yes : Moved::replied;
}

void continue_attempt(LlmRequest &request) {
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
    request.attempt = make_attempt(request, candidate, std::move(outgoing), request.answer);
    request.attempt->start();
}

void repeat_attempt(LlmRequest &request) {
    request.attempt.reset();
    send_attempt(request);
}

void retry_on_new_connection(LlmRequest &request) {
    request.ledger.attempts--;
    request.wants_new_connection = true;
    begin_attempt(request);
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
        note_latency(request.config, slot, ngx_current_msec - request.ledger.attempt_began);
    }
}

void note_broken(LlmRequest &request, Failure failure) {
    if (!request.is_raw) {
        note_to_health(request, failure, -1);
    }
}

void try_next(LlmRequest &request, const ApiError &error, Failure failure) {
    Plan &plan = request.plan;
    Ledger &ledger = request.ledger;
    if (plan.pause.timer_set) {
        ngx_del_timer(&plan.pause);
    }
    if (request.attempt != nullptr) {
        request.attempt.reset();
        ledger.upstream_time += ngx_current_msec - ledger.attempt_began;
    }
    request.limits.leave();
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
    int64_t now = int64_t(ngx_current_msec);
    int64_t retry_after = stated_wait(request);
    if (!request.is_count()) {
        note_to_health(request, failure, retry_after);
    }
    note_failure(plan.tried[request.next_candidate - 1], failure, now, retry_after,
                 uint32_t(ngx_random()));
    Situation situation;
    situation.failure = failure;
    situation.candidates = plan.tried;
    situation.retries_left = plan.retries_left;
    FallbackKind kind = rule_of(failure).models;
    situation.has_next_model = find_pending(request, kind) != plan.pending.end();
    situation.now = now;
    situation.time_left = ngx_msec_int_t(request.deadline - ngx_current_msec);
    for (;;) {
        NextStep step = next_step(situation);
        switch (step.kind) {
            case NextStep::Kind::reply:
                reply_failure(request, error);
                return;
            case NextStep::Kind::model:
                if (!take_fallback(request, kind)) {
                    reply_failure(request, error);
                    return;
                }
                if (keep_priced(request)) {
                    start_attempt(request);
                }
                return;
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
