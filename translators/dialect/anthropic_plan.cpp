// Thinking, sampling and what has to be left out for models of Anthropic; see the header. A wish of
// the client is mapped once, from what it said itself: the tables between efforts and budgets are
// not inverses of one another.
#include "translators/dialect/anthropic_plan.hpp"

#include <algorithm>
#include <charconv>

namespace llm::anthropic {

using ir::Effort;
using ir::ThinkingKind;

namespace {

constexpr int64_t kMinBudget = 1024;
constexpr int64_t kMaxBudget = 16384;  // where the client left the amount to us

bool is_messages(const ir::Request &request) {
    return request.dialect == DialectId::anthropic;
}

// False: not even the least budget fits.
bool plan_budget(const ir::Thinking &wish, std::optional<int64_t> given, int64_t max_output,
                 ThinkingPlan &plan) {
    int64_t budget = wish.budget;
    if (wish.kind == ThinkingKind::effort) {
        budget = budget_of_effort(wish.effort.value_or(Effort::medium));
    } else if (wish.kind == ThinkingKind::adaptive) {
        budget = std::min(plan.max_tokens / 2, kMaxBudget);
    }
    budget = std::max(budget, kMinBudget);
    if (plan.max_tokens <= budget) {
        if (!given) {
            plan.max_tokens = budget + max_output;
        } else if (plan.max_tokens > kMinBudget) {
            budget = plan.max_tokens - 1;
        } else {
            return false;
        }
    }
    plan.send = ThinkingPlan::Send::enabled;
    plan.budget = budget;
    return true;
}

}  // namespace

std::optional<int64_t> whole_number_of(RawJson raw) {
    std::optional<double> value = number_of(raw);
    if (!value || !(*value >= 0 && *value < 9e15) ||
        *value != static_cast<double>(static_cast<int64_t>(*value))) {
        return std::nullopt;
    }
    return static_cast<int64_t>(*value);
}

std::string_view effort_name(Effort effort, bool has_xhigh) {
    switch (effort) {
        case Effort::none:
        case Effort::minimal:
        case Effort::low:
            return "low";
        case Effort::medium:
            return "medium";
        case Effort::high:
            return "high";
        case Effort::xhigh:
            return has_xhigh ? "xhigh" : "high";
        case Effort::max:
            return "max";
    }
    return "high";
}

void drop_thinking(const ir::Request &request, Notes &notes) {
    bool is_effort = request.thinking.kind == ThinkingKind::effort;
    notes.drop(is_effort && !is_messages(request) ? "reasoning_effort" : "thinking");
}

ThinkingPlan plan_thinking(const ir::Request &request, const ModelTraits &traits,
                           bool is_impossible, Notes &notes) {
    bool is_own = is_messages(request);
    ThinkingPlan plan;
    const ir::Thinking &wish = request.thinking;
    std::optional<int64_t> given = whole_number_of(request.max_tokens);
    plan.max_tokens = given.value_or(traits.max_output);
    bool is_effort_alone = is_own && wish.kind == ThinkingKind::effort;
    bool is_off = wish.kind == ThinkingKind::off ||
                  (wish.kind == ThinkingKind::effort && !is_effort_alone &&
                   wish.effort.value_or(Effort::medium) == Effort::none) ||
                  (wish.kind == ThinkingKind::budget && wish.budget == 0);
    if (wish.kind == ThinkingKind::unset) {
        return plan;
    }
    if (is_own && wish.effort && !traits.adaptive_thinking) {
        notes.drop("output_config.effort");
    }
    if (is_off || is_effort_alone) {
        if (traits.adaptive_thinking) {
            plan.send = is_off ? ThinkingPlan::Send::disabled : ThinkingPlan::Send::nothing;
            plan.effort = is_own ? wish.effort : std::nullopt;
            if (is_off && plan.effort && *plan.effort > Effort::high) {
                plan.effort = Effort::high;  // more needs thinking
            }
        }
        return plan;
    }
    if (!traits.thinking || is_impossible) {
        drop_thinking(request, notes);
        return plan;
    }
    if (traits.adaptive_thinking) {
        plan.send = ThinkingPlan::Send::adaptive;
        plan.effort = wish.effort;
        if (!plan.effort && wish.kind == ThinkingKind::budget) {
            plan.effort = effort_of_budget(wish.budget);
        }
        return plan;
    }
    if (!plan_budget(wish, given, traits.max_output, plan)) {
        drop_thinking(request, notes);
    }
    return plan;
}

void write_thinking(const ThinkingPlan &plan, const ir::Request &request, json::Writer &writer) {
    using Send = ThinkingPlan::Send;
    if (plan.send == Send::nothing) {
        return;
    }
    writer.key("thinking").object().key("type");
    switch (plan.send) {
        case Send::nothing:
            break;
        case Send::disabled:
            writer.plain("disabled");
            break;
        case Send::adaptive:
            writer.plain("adaptive");
            break;
        case Send::enabled:
            writer.plain("enabled").key("budget_tokens").number(plan.budget);
            break;
    }
    // Newer models keep their thoughts back unless asked; a chat client always shows them.
    if (plan.is_on() && !request.thinking.display.empty()) {
        writer.key("display").text(request.thinking.display);
    } else if (plan.send == Send::adaptive && !is_messages(request)) {
        writer.key("display").plain("summarized");
    }
    writer.end();
}

Sampling plan_sampling(const ir::Request &request, const ModelTraits &traits, bool thinks,
                       Notes &notes) {
    Sampling plan;
    std::optional<double> temperature = number_of(request.temperature);
    std::optional<double> top_p = number_of(request.top_p);
    bool has_top_k = is_set(request.top_k);
    if (temperature && (traits.rejects_sampling || (thinks && *temperature != 1))) {
        notes.drop("temperature");
        temperature.reset();
    }
    if (top_p && (traits.rejects_sampling || (thinks && *top_p < 0.95) ||
                  (traits.temperature_xor_top_p && temperature))) {
        notes.drop("top_p");
        top_p.reset();
    }
    if (has_top_k && (traits.rejects_sampling || thinks)) {
        notes.drop("top_k");
        has_top_k = false;
    }
    if (temperature) {
        // Clamped, not scaled; inside the range the client's own digits.
        RawJson clamped = *temperature > 1 ? RawJson{"1"} : RawJson{"0"};
        bool is_inside = *temperature >= 0 && *temperature <= 1;
        if (!is_inside) {
            notes.drop("temperature");
        }
        plan.temperature = is_inside ? request.temperature : clamped;
    }
    if (top_p) {
        plan.top_p = request.top_p;
    }
    if (has_top_k) {
        plan.top_k = request.top_k;
    }
    return plan;
}

Status refuse(std::string_view param, const Target &target, Notes &notes) {
    if (!target.drop_params) {
        return unsupported("the target cannot express this parameter", param);
    }
    notes.drop(param);
    return {};
}

Status refuse_what_is_lacking(const ir::Request &request, const Target &target, Notes &notes) {
    if (number_of(request.frequency_penalty).value_or(0) != 0) {
        LLM_TRY(refuse("frequency_penalty", target, notes));
    }
    if (number_of(request.presence_penalty).value_or(0) != 0) {
        LLM_TRY(refuse("presence_penalty", target, notes));
    }
    if (is_set(request.logit_bias) &&
        request.logit_bias.bytes.find('"') != std::string_view::npos) {
        LLM_TRY(refuse("logit_bias", target, notes));
    }
    if (is_set(request.seed)) {
        LLM_TRY(refuse("seed", target, notes));
    }
    if (request.n > 1) {
        LLM_TRY(refuse("n", target, notes));
    }
    if (request.logprobs) {
        LLM_TRY(refuse("logprobs", target, notes));
    }
    if (!request.verbosity.empty()) {
        notes.drop("verbosity");
    }
    return {};
}

Status note_extras(const ir::Request &request, const Target &target, Arena &arena, Notes &notes) {
    for (const ir::Extra &extra : request.extra) {
        std::string_view name = json::unescape(extra.name, arena);
        if (!is_set(extra.value) || name == "stream_options") {
            continue;
        }
        bool is_modalities = name == "modalities";
        if (is_modalities && extra.value.bytes.find("\"audio\"") == std::string_view::npos) {
            continue;
        }
        if (is_modalities || name == "audio" || name == "web_search_options") {
            LLM_TRY(refuse(name, target, notes));
        } else if (name != "safety_identifier" || !request.user.empty()) {
            notes.drop(name);
        }
    }
    for (std::string_view name : request.unmodelled) {
        notes.drop(name);
    }
    return {};
}

}  // namespace llm::anthropic
