// ir::Request -> the body of generateContent. Members are written in one fixed order, so that equal
// histories give equal bytes. What cannot be said is left out and named when it is a hint, and
// refused when it would change the answer (unless the target drops parameters). The model and
// whether the answer is streamed stand in the path.
#include <algorithm>
#include <charconv>

#include "translators/dialect/gemini_render.hpp"
#include "translators/dialect/gemini_schema.hpp"

namespace llm::gemini {

namespace {

using ir::Effort;
using ir::ThinkingKind;

constexpr size_t kMaxStops = 5;
constexpr int64_t kMaxCandidates = 8;
constexpr int64_t kLeastBudget = 128;  // of models that always think
constexpr size_t kMaxLabel = 63;
constexpr std::string_view kConfig = "generationConfig.";
constexpr std::string_view kJsonObjectLine = "Respond with a JSON object only.";
constexpr std::string_view kJsonToolLine =
    "Once you know the final answer, give it by calling the function json_tool_call.";

std::optional<double> number_of(RawJson raw) {
    double value = 0;
    const char *end = raw.bytes.data() + raw.bytes.size();
    auto [stop, error] = std::from_chars(raw.bytes.data(), end, value);
    if (raw.empty() || error != std::errc() || stop != end) {
        return std::nullopt;
    }
    return value;
}

int64_t budget_of(Effort effort) {
    switch (effort) {
        case Effort::none:
            return 0;
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
    return 0;
}

Effort effort_of(int64_t budget) {
    return budget >= 10000  ? Effort::high
           : budget >= 5000 ? Effort::medium
           : budget >= 2000 ? Effort::low
                            : Effort::minimal;
}

// Labels of Google Cloud: lower-case letters, digits, _ and -; empty when the text is no label.
bool is_label(std::string_view text) {
    for (char c : text) {
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-')) {
            return false;
        }
    }
    return text.size() <= kMaxLabel;
}

class Renderer {
  public:
    Renderer(const RenderJob &job, json::Writer &writer)
        : job_(job),
          request_(job.request),
          traits_(job.target.traits),
          writer_(writer),
          tools_(job) {}

    Status prepare() {
        LLM_TRY(refuse_what_changes_the_answer());
        LLM_TRY(check_extras());
        LLM_TRY(tools_.select());
        plan_output();
        return build_contents(job_, contents_);
    }

    // Everything, where an object is open.
    void members(bool has_config) {
        system();
        tools_.write(writer_);
        writer_.key("contents");
        write_contents(job_, contents_, writer_);
        if (has_config) {
            config();
            labels();
            extras({});
        }
    }

    void open_config() {
        if (!is_config_open_) {
            writer_.key("generationConfig").object();
            is_config_open_ = true;
        }
    }

  private:
    // --- what the API lacks -----------------------------------------------------------------

    Status refuse(std::string_view param) {
        return job_.refuse("the target cannot express this parameter", param);
    }

    Status refuse_what_changes_the_answer() {
        if (is_set(request_.logit_bias) &&
            request_.logit_bias.bytes.find('"') != std::string_view::npos) {
            LLM_TRY(refuse("logit_bias"));
        }
        if (request_.n > kMaxCandidates) {
            LLM_TRY(refuse("n"));
        }
        if (request_.logprobs && !job_.is_vertex() && !job_.is_own()) {
            LLM_TRY(refuse("logprobs"));
        }
        if (!request_.verbosity.empty()) {
            job_.notes.drop("verbosity");
        }
        if (!request_.service_tier.empty() && !job_.is_own() &&
            !json::equals(request_.service_tier, "auto")) {
            job_.notes.drop("service_tier");
        }
        return {};
    }

    // Members that the IR does not know: a Gemini client's go through, others are named.
    Status check_extras() {
        if (job_.is_own()) {
            return {};
        }
        for (const ir::Extra &extra : request_.extra) {
            std::string_view name = json::unescape(extra.name, job_.arena);
            if (!is_set(extra.value) || name == "stream_options") {
                continue;
            }
            bool is_modalities = name == "modalities";
            if (is_modalities && extra.value.bytes.find("\"audio\"") == std::string_view::npos) {
                wants_images_ = extra.value.bytes.find("\"image\"") != std::string_view::npos;
                continue;
            }
            if (is_modalities || name == "audio" || name == "web_search_options" ||
                name == "previous_response_id" || name == "conversation") {
                LLM_TRY(refuse(name));
            } else {
                job_.notes.drop(name);
            }
        }
        for (std::string_view name : request_.unmodelled) {
            job_.notes.drop(name);
        }
        return {};
    }

    // The members whose names begin with `prefix`, without it; with none, those that stand at the
    // top.
    void extras(std::string_view prefix) {
        if (!job_.is_own()) {
            return;
        }
        for (const ir::Extra &extra : request_.extra) {
            std::string_view name = extra.name.bytes;
            bool is_top = name.find('.') == std::string_view::npos;
            if (prefix.empty() ? !is_top : !name.starts_with(prefix)) {
                continue;
            }
            if (!prefix.empty()) {
                open_config();
            }
            writer_.key(JsonText{name.substr(prefix.size())}).raw(extra.value);
        }
    }

    // --- system -----------------------------------------------------------------------------

    void system() {
        bool is_open = false;
        auto part = [&] {
            if (!is_open) {
                writer_.key("systemInstruction").object().key("parts").array();
                is_open = true;
            }
            writer_.object().key("text");
        };
        for (const ir::Text &text : request_.system) {
            if (!text.text.empty()) {
                part();
                writer_.text(text.text).end();
            }
        }
        if (wants_object_line_) {
            part();
            writer_.plain(kJsonObjectLine).end();
        }
        if (job_.notes.json_tool && tools_.has_functions()) {
            part();
            writer_.plain(kJsonToolLine).end();
        }
        if (is_open) {
            writer_.end().end();
        }
    }

    // --- structured output ------------------------------------------------------------------

    // JSON beside functions is for models with thinking levels only.
    void plan_output() {
        const ir::OutputFormat &format = request_.output;
        has_schema_ = format.kind == ir::OutputKind::json_schema && is_set(format.schema);
        wants_json_ = format.kind != ir::OutputKind::text;
        if (!wants_json_ || !tools_.has_functions() || traits_.thinking_level || job_.is_own()) {
            return;
        }
        job_.notes.json_tool = has_schema_;
        wants_object_line_ = !has_schema_;
        has_schema_ = wants_json_ = false;
    }

    void output() {
        if (!wants_json_) {
            return;
        }
        open_config();
        writer_.key("responseMimeType").plain("application/json");
        if (!has_schema_) {
            return;
        }
        const ir::OutputFormat &format = request_.output;
        Result<json::Value> schema = reader_.parse_unpadded(format.schema.bytes);
        if (job_.is_modern()) {
            writer_.key("responseJsonSchema").raw(format.schema);
        } else if (schema) {
            RawJson rewritten = rewrite_schema(*schema, false, format.description, job_.arena);
            if (!rewritten.empty()) {
                writer_.key("responseSchema").raw(rewritten);
            }
        }
    }

    // --- generationConfig -------------------------------------------------------------------

    void config() {
        plain_number("maxOutputTokens", request_.max_tokens);
        temperature();
        plain_number("topP", request_.top_p);
        plain_number("topK", request_.top_k);
        if (request_.n > 1) {
            open_config();
            writer_.key("candidateCount").number(std::min(request_.n, kMaxCandidates));
        }
        stops();
        plain_number("seed", request_.seed);
        plain_number("presencePenalty", request_.presence_penalty);
        plain_number("frequencyPenalty", request_.frequency_penalty);
        if (request_.logprobs && (job_.is_vertex() || job_.is_own())) {
            open_config();
            writer_.key("responseLogprobs").boolean(true);
            plain_number("logprobs", request_.top_logprobs);
        }
        output();
        thinking();
        if (wants_images_) {
            open_config();
            writer_.key("responseModalities").array().plain("TEXT").plain("IMAGE").end();
        }
        extras(kConfig);
        if (is_config_open_) {
            writer_.end();
            is_config_open_ = false;
        }
    }

    void plain_number(std::string_view name, RawJson value) {
        if (is_set(value)) {
            open_config();
            writer_.key(name).raw(value);
        }
    }

    // Clamped, not scaled; inside the range the client's own digits.
    void temperature() {
        std::optional<double> value = number_of(request_.temperature);
        if (!value) {
            return;
        }
        open_config();
        bool is_inside = *value >= 0 && *value <= 2;
        RawJson clamped = {*value > 2 ? "2" : "0"};
        if (!is_inside) {
            job_.notes.drop("temperature");
        }
        writer_.key("temperature").raw(is_inside ? request_.temperature : clamped);
    }

    void stops() {
        size_t count = 0;
        for (JsonText sequence : request_.stop) {
            if (sequence.empty()) {
                continue;
            }
            if (count == kMaxStops) {
                job_.notes.drop(job_.is_own() ? "stopSequences" : "stop");
                break;
            }
            if (count++ == 0) {
                open_config();
                writer_.key("stopSequences").array();
            }
            writer_.text(sequence);
        }
        if (count > 0) {
            writer_.end();
        }
    }

    // --- thinking ---------------------------------------------------------------------------

    void thinking() {
        const ir::Thinking &wish = request_.thinking;
        bool is_off = wish.kind == ThinkingKind::off ||
                      (wish.kind == ThinkingKind::budget && wish.budget == 0) ||
                      (wish.kind == ThinkingKind::effort &&
                       wish.effort.value_or(Effort::medium) == Effort::none);
        bool can_think = traits_.thinking_level || traits_.thinking_max > 0;
        if (!can_think) {
            if (wish.kind != ThinkingKind::unset && !is_off) {
                bool is_effort = wish.kind == ThinkingKind::effort && !job_.is_own();
                job_.notes.drop(is_effort ? "reasoning_effort" : "thinking");
            }
            return;
        }
        bool is_hidden = json::equals(wish.display, "omitted");
        bool is_shown = wish.kind == ThinkingKind::unset || job_.is_own()
                            ? !is_hidden && !wish.display.empty()
                            : !is_off && !is_hidden;
        std::string_view level;
        std::optional<int64_t> budget;
        if (traits_.thinking_level) {
            level = level_of(wish, is_off);
        } else {
            budget = budget_for(wish, is_off);
        }
        if (!is_shown && level.empty() && !budget) {
            return;
        }
        open_config();
        writer_.key("thinkingConfig").object();
        if (is_shown) {
            writer_.key("includeThoughts").boolean(true);
        }
        if (!level.empty()) {
            writer_.key("thinkingLevel").plain(level);
        }
        if (budget) {
            writer_.key("thinkingBudget").number(*budget);
        }
        writer_.end();
    }

    std::string_view level_of(const ir::Thinking &wish, bool is_off) const {
        std::optional<Effort> effort = wish.effort;
        if (is_off) {
            effort = Effort::none;
        } else if (wish.kind == ThinkingKind::unset) {
            return {};
        } else if (wish.kind == ThinkingKind::budget) {
            effort = effort_of(wish.budget);
        }
        if (!effort) {
            return {};  // as the model likes
        }
        // Of the larger models not all know the lowest level and the one in the middle.
        bool has_minimal = traits_.thinking_min >= 0;
        bool has_medium = traits_.thinking_max != 2;
        switch (*effort) {
            case Effort::none:
            case Effort::minimal:
                return has_minimal ? "MINIMAL" : "LOW";
            case Effort::low:
                return "LOW";
            case Effort::medium:
                return has_medium ? "MEDIUM" : "HIGH";
            case Effort::high:
            case Effort::xhigh:
            case Effort::max:
                return "HIGH";
        }
        return "HIGH";
    }

    std::optional<int64_t> budget_for(const ir::Thinking &wish, bool is_off) const {
        bool is_always_on = traits_.thinking_min < 0;
        int64_t least = is_always_on ? kLeastBudget : traits_.thinking_min;
        if (is_off) {
            return is_always_on ? kLeastBudget : 0;
        }
        int64_t budget = wish.budget;
        switch (wish.kind) {
            case ThinkingKind::unset:
            case ThinkingKind::off:
                return std::nullopt;
            case ThinkingKind::adaptive:
                return -1;
            case ThinkingKind::effort:
                budget = budget_of(wish.effort.value_or(Effort::medium));
                break;
            case ThinkingKind::budget:
                break;
        }
        return std::clamp(budget, least, traits_.thinking_max);
    }

    // --- who asks ---------------------------------------------------------------------------

    // Bills on Google Cloud are told apart by labels; elsewhere nobody is told.
    void labels() {
        bool is_open = false;
        auto label = [&](std::string_view name, std::string_view value) {
            if (!job_.is_vertex() || name.empty() || name[0] < 'a' || !is_label(name) ||
                !is_label(value)) {
                return false;
            }
            if (!is_open) {
                writer_.key("labels").object();
                is_open = true;
            }
            writer_.key(name).plain(value);
            return true;
        };
        if (job_.is_own()) {
            return;  // has its own among the extras
        }
        bool is_user_sent =
            request_.user.empty() || label("user", json::unescape(request_.user, job_.arena));
        if (!is_user_sent) {
            job_.notes.drop("user");
        }
        if (is_set(request_.metadata)) {
            Result<json::Value> metadata = reader_.parse_unpadded(request_.metadata.bytes);
            bool is_whole = metadata && metadata->is_object();
            for (auto [key, value] : metadata ? metadata->members() : json::Value().members()) {
                std::string_view name = json::unescape(key, job_.arena);
                bool is_sent = value.is_string() && name != "user" &&
                               label(name, json::unescape(value.text(), job_.arena));
                is_whole = is_whole && is_sent;
            }
            if (!is_whole) {
                job_.notes.drop("metadata");
            }
        }
        if (is_open) {
            writer_.end();
        }
    }

    const RenderJob &job_;
    const ir::Request &request_;
    const ModelTraits &traits_;
    json::Writer &writer_;
    json::Reader reader_;
    ToolRenderer tools_;
    std::vector<Content> contents_;
    bool is_config_open_ = false;
    bool has_schema_ = false;
    bool wants_json_ = false;
    bool wants_object_line_ = false;
    bool wants_images_ = false;
};

}  // namespace

Status render_request(const ir::Request &request, const Target &target, Arena &arena,
                      json::Writer &writer, Notes &notes) {
    RenderJob job = {request, target, arena, notes};
    Renderer renderer(job, writer);
    LLM_TRY(renderer.prepare());
    writer.object();
    renderer.members(true);
    writer.end();
    return {};
}

// The Gemini API counts a whole request as one member and wants the model in it; Vertex AI takes
// the request's own members.
Status render_count(const ir::Request &request, const Target &target, Arena &arena,
                    json::Writer &writer, Notes &notes) {
    RenderJob job = {request, target, arena, notes};
    Renderer renderer(job, writer);
    LLM_TRY(renderer.prepare());
    writer.object();
    if (job.is_vertex()) {
        renderer.members(false);
    } else {
        writer.key("generateContentRequest").object().key("model").open_text();
        writer.piece_plain("models/").piece_plain(target.model).close_text();
        renderer.members(false);
        writer.end();
    }
    writer.end();
    return {};
}

}  // namespace llm::gemini
