// Which model a request is asked of: the client's, or a fallback; and which of its deployments.
#include "ngx_llm_module/request/planning.hpp"

#include <algorithm>

#include "ngx_llm_module/policy/model_access.hpp"
#include "ngx_llm_module/request/kept_answers.hpp"
#include "ngx_llm_module/request/pricing.hpp"
#include "ngx_llm_module/request/reply.hpp"
#include "ngx_llm_module/request/wishes.hpp"
#include "ngx_llm_module/route/strategy.hpp"
#include "ngx_llm_module/state/metrics.hpp"
#include "ngx_llm_module/upstream/worker.hpp"

namespace llm {
namespace {

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
    drop_unpriced(request, ranking.list);
    if (ranking.list.empty()) {
        return Emptiness::unpriced;
    }
    use_candidates(request, std::move(ranking.list));
    plan.has_elsewhere =
        ranking.has_others || find_pending(request, FallbackKind::general) != plan.pending.end();
    return Emptiness::none;
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
        case Emptiness::unpriced:
            request.ledger.is_unpriced = true;
            reply_error(request, ErrorClass::permission, "the price of the model is not known", {},
                        "model");
            return;
        case Emptiness::cooling:
        case Emptiness::none:
            reply_cooling(request);
            return;
    }
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

bool move_to_fallback(LlmRequest &request, FallbackKind kind) {
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

bool has_fallback(LlmRequest &request, FallbackKind kind) {
    return find_pending(request, kind) != request.plan.pending.end();
}

void reply_cooling(LlmRequest &request) {
    ngx_msec_t wait = request.plan.shortest_wait;
    std::string seconds = std::to_string((wait + 999) / 1000);
    request.ledger.retry_after = seconds;
    std::string text = "all deployments of the model are cooling down, try again in " + seconds +
                       (seconds == "1" ? " second" : " seconds");
    reply_error(request, ErrorClass::rate_limit, text);
}

bool plan_request(LlmRequest &request) {
    std::string_view suffix;
    const Model *model = find_model(request.config, request.target_model, suffix);
    Plan &plan = request.plan;
    Emptiness why = Emptiness::none;
    if (model != nullptr) {
        why = take_model(request, *model, suffix, request.target_model, false);
        if (why == Emptiness::none) {
            return stay_at_origin(request);
        }
    } else {
        static const Model kUnknown;
        add_pending(request, kUnknown, true);
    }
    bool may_go_on = why != Emptiness::no_tags && why != Emptiness::unpriced;
    if (may_go_on &&
        move_to_fallback(
            request, why == Emptiness::too_long ? FallbackKind::context : FallbackKind::general)) {
        return stay_at_origin(request);
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
            return stay_at_origin(request);
        }
    }
    reply_empty(request, why);
    return false;
}

bool plan_direct(LlmRequest &request) {
    std::vector<Candidate> list;
    list.push_back(direct_candidate(request.config, *request.only_provider, request.target_model));
    drop_unpriced(request, list);
    if (list.empty()) {
        reply_empty(request, Emptiness::unpriced);
        return false;
    }
    use_candidates(request, std::move(list));
    return true;
}

bool plan_kept(LlmRequest &request) {
    use_candidates(request, std::move(request.candidates));
    return true;
}

}  // namespace llm
