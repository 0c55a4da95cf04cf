// ir::Request -> the body of POST /messages. Members are written in one fixed order, prompt parts
// in the order in which the API caches them (tools, system, messages), so that equal histories give
// equal bytes. What cannot be said is left out and named when it is a hint, and refused when it
// would change the answer (unless the target drops parameters).
#include <algorithm>
#include <charconv>

#include "translators/dialect/anthropic.hpp"
#include "translators/dialect/anthropic_schema.hpp"
#include "translators/dialect/anthropic_tools.hpp"

namespace llm::anthropic {

namespace {

using ir::Effort;
using ir::ThinkingKind;

constexpr int64_t kMinBudget = 1024;
constexpr int64_t kMaxBudget = 16384;  // where the client left the amount to us
constexpr uint32_t kMaxMarks = 4;
constexpr std::string_view kJsonObjectLine = "Respond with a JSON object only.";
constexpr std::string_view kJsonToolLine =
    "When you have everything you need, give your final answer by calling the tool "
    "json_tool_call.";

std::optional<double> number_of(RawJson raw) {
    double value = 0;
    const char *end = raw.bytes.data() + raw.bytes.size();
    auto [stop, error] = std::from_chars(raw.bytes.data(), end, value);
    if (raw.empty() || error != std::errc() || stop != end) {
        return std::nullopt;
    }
    return value;
}

std::optional<int64_t> whole_number_of(RawJson raw) {
    std::optional<double> value = number_of(raw);
    if (!value || !(*value >= 0 && *value < 9e15) ||
        *value != static_cast<double>(static_cast<int64_t>(*value))) {
        return std::nullopt;
    }
    return static_cast<int64_t>(*value);
}

bool is_set(RawJson raw) {
    return !raw.empty() && raw.bytes != "null";
}

// Thinking and its limits, as they are sent.
struct ThinkingPlan {
    enum class Send : uint8_t { nothing, disabled, enabled, adaptive } send = Send::nothing;
    int64_t budget = 0;
    std::optional<Effort> effort;
    int64_t max_tokens = 0;

    bool is_on() const { return send == Send::enabled || send == Send::adaptive; }
};

int64_t budget_of(Effort effort) {
    switch (effort) {
        case Effort::none:
        case Effort::minimal:
        case Effort::low:
            return 1024;
        case Effort::medium:
            return 2048;
        case Effort::high:
            return 4096;
        case Effort::xhigh:
            return 8192;
        case Effort::max:
            return 16384;
    }
    return kMinBudget;
}

Effort effort_of(int64_t budget) {
    return budget >= 10000  ? Effort::high
           : budget >= 5000 ? Effort::medium
           : budget >= 2000 ? Effort::low
                            : Effort::minimal;
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

class Renderer {
  public:
    Renderer(const ir::Request &request, const Target &target, Arena &arena, json::Writer &writer,
             Notes &notes)
        : request_(request),
          target_(target),
          traits_(target.traits),
          arena_(arena),
          writer_(writer),
          notes_(notes),
          tools_(request, target, arena, notes) {}

    Status render() {
        LLM_TRY(refuse_what_changes_the_answer());
        LLM_TRY(plan());

        writer_.object().key("model").plain(target_.model);
        writer_.key("max_tokens").number(plan_.max_tokens);
        if (request_.stream) {
            writer_.key("stream").boolean(true);
        }
        sampling();
        stop();
        thinking();
        output();
        caller();
        extras();
        prompt();
        return {};
    }

    // The same prompt, without what only an answer needs.
    Status render_count() {
        LLM_TRY(plan());
        writer_.object().key("model").plain(target_.model);
        thinking();
        output();
        prompt();
        return {};
    }

  private:
    Status plan() {
        LLM_TRY(check_extras());
        LLM_TRY(tools_.select());
        plan_output();
        LLM_TRY(build_history(request_, target_, arena_, notes_, history_));
        plan_thinking();
        plan_system();
        plan_marks();
        return {};
    }

    void prompt() {
        tools_.write(marks_, writer_);
        tools_.write_choice(writer_);
        system();
        writer_.key("messages");
        write_messages(history_, {request_, arena_, notes_, marks_}, writer_);
        writer_.end();
    }

    // --- what the API lacks -----------------------------------------------------------------

    Status refuse(std::string_view param) {
        if (!target_.drop_params) {
            return unsupported("the target cannot express this parameter", param);
        }
        notes_.drop(param);
        return {};
    }

    Status refuse_what_changes_the_answer() {
        if (number_of(request_.frequency_penalty).value_or(0) != 0) {
            LLM_TRY(refuse("frequency_penalty"));
        }
        if (number_of(request_.presence_penalty).value_or(0) != 0) {
            LLM_TRY(refuse("presence_penalty"));
        }
        if (is_set(request_.logit_bias) &&
            request_.logit_bias.bytes.find('"') != std::string_view::npos) {
            LLM_TRY(refuse("logit_bias"));
        }
        if (is_set(request_.seed)) {
            LLM_TRY(refuse("seed"));
        }
        if (request_.n > 1) {
            LLM_TRY(refuse("n"));
        }
        if (request_.logprobs) {
            LLM_TRY(refuse("logprobs"));
        }
        if (!request_.verbosity.empty()) {
            notes_.drop("verbosity");
        }
        return {};
    }

    bool is_own() const { return request_.dialect == DialectId::anthropic; }

    // Members that the IR does not know: an Anthropic client's go through, others are named.
    Status check_extras() {
        if (is_own()) {
            return {};
        }
        for (const ir::Extra &extra : request_.extra) {
            std::string_view name = json::unescape(extra.name, arena_);
            if (!is_set(extra.value) || name == "stream_options") {
                continue;
            }
            bool is_modalities = name == "modalities";
            if (is_modalities && extra.value.bytes.find("\"audio\"") == std::string_view::npos) {
                continue;
            }
            if (is_modalities || name == "audio" || name == "web_search_options") {
                LLM_TRY(refuse(name));
            } else if (name != "safety_identifier" || !request_.user.empty()) {
                notes_.drop(name);
            }
        }
        for (std::string_view name : request_.unmodelled) {
            notes_.drop(name);
        }
        return {};
    }

    void extras() {
        if (is_own()) {
            for (const ir::Extra &extra : request_.extra) {
                writer_.key(extra.name).raw(extra.value);
            }
        }
    }

    // --- structured output ------------------------------------------------------------------

    void plan_output() {
        const ir::OutputFormat &format = request_.output;
        has_schema_ = format.kind == ir::OutputKind::json_schema && is_set(format.schema);
        wants_object_ = format.kind != ir::OutputKind::text && !has_schema_;
        notes_.json_tool = has_schema_ && !traits_.structured_output;
    }

    void output() {
        bool has_format = has_schema_ && !notes_.json_tool;
        if (!has_format && !plan_.effort) {
            return;
        }
        writer_.key("output_config").object();
        if (plan_.effort) {
            writer_.key("effort").plain(effort_name(*plan_.effort, traits_.effort_xhigh));
        }
        if (has_format) {
            const ir::OutputFormat &format = request_.output;
            writer_.key("format").object().key("type").plain("json_schema").key("schema");
            Result<json::Value> schema = reader_.parse_unpadded(format.schema.bytes);
            if (schema && !is_own()) {
                writer_.raw(rewrite_schema(*schema, format.description, arena_));
            } else {
                writer_.raw(format.schema);
            }
            writer_.end();
        }
        writer_.end();
    }

    // --- thinking ---------------------------------------------------------------------------

    void plan_thinking() {
        const ir::Thinking &wish = request_.thinking;
        std::optional<int64_t> given = whole_number_of(request_.max_tokens);
        plan_.max_tokens = given.value_or(traits_.max_output);
        bool is_effort_alone = is_own() && wish.kind == ThinkingKind::effort;
        bool is_off = wish.kind == ThinkingKind::off ||
                      (wish.kind == ThinkingKind::effort && !is_effort_alone &&
                       wish.effort.value_or(Effort::medium) == Effort::none) ||
                      (wish.kind == ThinkingKind::budget && wish.budget == 0);
        if (wish.kind == ThinkingKind::unset) {
            return;
        }
        if (is_own() && wish.effort && !traits_.adaptive_thinking) {
            notes_.drop("output_config.effort");
        }
        if (is_off || is_effort_alone) {
            if (traits_.adaptive_thinking) {
                plan_.send = is_off ? ThinkingPlan::Send::disabled : ThinkingPlan::Send::nothing;
                plan_.effort = is_own() ? wish.effort : std::nullopt;
                if (is_off && plan_.effort && *plan_.effort > Effort::high) {
                    plan_.effort = Effort::high;  // more needs thinking
                }
            }
            return;
        }
        if (!traits_.thinking || tools_.is_forced() || history_.forbids_thinking) {
            drop_thinking();
            return;
        }
        if (traits_.adaptive_thinking) {
            plan_.send = ThinkingPlan::Send::adaptive;
            plan_.effort = wish.effort;
            if (!plan_.effort && wish.kind == ThinkingKind::budget) {
                plan_.effort = effort_of(wish.budget);
            }
            return;
        }
        plan_budget(wish, given);
    }

    void plan_budget(const ir::Thinking &wish, std::optional<int64_t> given) {
        int64_t budget = wish.budget;
        if (wish.kind == ThinkingKind::effort) {
            budget = budget_of(wish.effort.value_or(Effort::medium));
        } else if (wish.kind == ThinkingKind::adaptive) {
            budget = std::min(plan_.max_tokens / 2, kMaxBudget);
        }
        budget = std::max(budget, kMinBudget);
        if (plan_.max_tokens <= budget) {
            if (!given) {
                plan_.max_tokens = budget + traits_.max_output;
            } else if (plan_.max_tokens > kMinBudget) {
                budget = plan_.max_tokens - 1;
            } else {
                drop_thinking();
                return;
            }
        }
        plan_.send = ThinkingPlan::Send::enabled;
        plan_.budget = budget;
    }

    void drop_thinking() {
        bool is_effort = request_.thinking.kind == ThinkingKind::effort;
        notes_.drop(is_effort && !is_own() ? "reasoning_effort" : "thinking");
    }

    void thinking() {
        using Send = ThinkingPlan::Send;
        if (plan_.send == Send::nothing) {
            return;
        }
        writer_.key("thinking").object().key("type");
        switch (plan_.send) {
            case Send::nothing:
                break;
            case Send::disabled:
                writer_.plain("disabled");
                break;
            case Send::adaptive:
                writer_.plain("adaptive");
                break;
            case Send::enabled:
                writer_.plain("enabled").key("budget_tokens").number(plan_.budget);
                break;
        }
        // Newer models keep their thoughts back unless asked; a chat client always shows them.
        if (plan_.is_on() && !request_.thinking.display.empty()) {
            writer_.key("display").text(request_.thinking.display);
        } else if (plan_.send == Send::adaptive && !is_own()) {
            writer_.key("display").plain("summarized");
        }
        writer_.end();
    }

    // --- plain members ----------------------------------------------------------------------

    void sampling() {
        std::optional<double> temperature = number_of(request_.temperature);
        std::optional<double> top_p = number_of(request_.top_p);
        bool has_top_k = is_set(request_.top_k);
        bool thinks = plan_.is_on();
        if (temperature && (traits_.rejects_sampling || (thinks && *temperature != 1))) {
            notes_.drop("temperature");
            temperature.reset();
        }
        if (top_p && (traits_.rejects_sampling || (thinks && *top_p < 0.95) ||
                      (traits_.temperature_xor_top_p && temperature))) {
            notes_.drop("top_p");
            top_p.reset();
        }
        if (has_top_k && (traits_.rejects_sampling || thinks)) {
            notes_.drop("top_k");
            has_top_k = false;
        }
        if (temperature) {
            // Clamped, not scaled; inside the range the client's own digits.
            RawJson clamped = *temperature > 1 ? RawJson{"1"} : RawJson{"0"};
            bool is_inside = *temperature >= 0 && *temperature <= 1;
            if (!is_inside) {
                notes_.drop("temperature");
            }
            writer_.key("temperature").raw(is_inside ? request_.temperature : clamped);
        }
        if (top_p) {
            writer_.key("top_p").raw(request_.top_p);
        }
        if (has_top_k) {
            writer_.key("top_k").raw(request_.top_k);
        }
    }

    void stop() {
        bool is_open = false;
        for (JsonText sequence : request_.stop) {
            if (json::is_blank(sequence)) {
                if (!sequence.empty()) {
                    notes_.drop(is_own() ? "stop_sequences" : "stop");
                }
                continue;
            }
            if (!is_open) {
                writer_.key("stop_sequences").array();
                is_open = true;
            }
            writer_.text(sequence);
        }
        if (is_open) {
            writer_.end();
        }
    }

    // Who asks, and how urgently.
    void caller() {
        JsonText user = request_.user;
        for (const ir::Extra &extra : request_.extra) {
            std::string_view raw = extra.value.bytes;
            bool is_string = raw.size() > 2 && raw.front() == '"';
            if (user.empty() && !is_own() && is_string &&
                json::equals(extra.name, "safety_identifier")) {
                user = {raw.substr(1, raw.size() - 2)};
            }
        }
        if (is_own() && !request_.metadata.empty()) {
            writer_.key("metadata").raw(request_.metadata);
        } else {
            if (is_set(request_.metadata)) {
                notes_.drop("metadata");
            }
            if (!user.empty()) {
                writer_.key("metadata").object().key("user_id").text(user).end();
            }
        }
        JsonText tier = request_.service_tier;
        if (json::equals(tier, "auto")) {
            writer_.key("service_tier").plain("auto");
        } else if (json::equals(tier, "default") || json::equals(tier, "standard_only")) {
            writer_.key("service_tier").plain("standard_only");
        } else if (!tier.empty()) {
            notes_.drop("service_tier");
        }
        if (!request_.cache.empty()) {
            writer_.key("cache_control").raw(request_.cache);
        }
    }

    // --- system -----------------------------------------------------------------------------

    void plan_system() {
        for (const ir::Text &text : request_.system) {
            if (!json::is_blank(text.text)) {
                system_.push_back(text);
            } else if (!system_.empty() && system_.back().cache.empty()) {
                system_.back().cache = text.cache;
            }
        }
        if (wants_object_) {
            system_.push_back({{kJsonObjectLine}, {}, {}});
        }
        if (notes_.json_tool && !tools_.selected().empty()) {
            system_.push_back({{kJsonToolLine}, {}, {}});
        }
    }

    void system() {
        if (system_.empty()) {
            return;
        }
        writer_.key("system");
        if (system_.size() == 1 && system_.front().cache.empty()) {
            writer_.text(system_.front().text);
            return;
        }
        writer_.array();
        for (const ir::Text &text : system_) {
            writer_.object().key("type").plain("text").key("text").text(text.text);
            marks_.write(text.cache, writer_);
            writer_.end();
        }
        writer_.end();
    }

    // At most four marks; the last ones of the prompt are kept.
    void plan_marks() {
        uint32_t count = count_marks(history_) + (request_.cache.empty() ? 0 : 1);
        for (const ir::Tool *tool : tools_.selected()) {
            count += tool->cache.empty() ? 0 : 1;
        }
        for (const ir::Text &text : system_) {
            count += text.cache.empty() ? 0 : 1;
        }
        marks_.skip = count > kMaxMarks ? count - kMaxMarks : 0;
    }

    const ir::Request &request_;
    const Target &target_;
    const ModelTraits &traits_;
    Arena &arena_;
    json::Writer &writer_;
    Notes &notes_;

    json::Reader reader_;
    History history_;
    ToolRenderer tools_;
    std::vector<ir::Text> system_;
    CacheMarks marks_;
    ThinkingPlan plan_;
    bool has_schema_ = false;
    bool wants_object_ = false;
};

}  // namespace

Status render_request(const ir::Request &request, const Target &target, Arena &arena,
                      json::Writer &writer, Notes &notes) {
    return Renderer(request, target, arena, writer, notes).render();
}

Status render_count(const ir::Request &request, const Target &target, Arena &arena,
                    json::Writer &writer, Notes &notes) {
    return Renderer(request, target, arena, writer, notes).render_count();
}

std::optional<int64_t> parse_count(json::Value root) {
    std::optional<int64_t> tokens = root["input_tokens"].as_int();
    return tokens && *tokens >= 0 ? tokens : std::nullopt;
}

void render_counted(int64_t tokens, json::Writer &writer) {
    writer.object().key("input_tokens").number(tokens).end();
}

}  // namespace llm::anthropic
