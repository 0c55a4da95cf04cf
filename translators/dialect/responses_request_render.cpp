// ir::Request -> Responses request body, by ModelTraits.
//
// Entry points: render_request, and render_count and parse_count for /responses/input_tokens. The
// input is written by responses_input_render.cpp. Members come in one fixed order, numbers as the
// client wrote them. Nothing is stored unless the client asked for it; then a reasoning model is
// asked for its encrypted thoughts, since it must get them back. What the API cannot say is refused
// by name, or left out with drop_params; hints are left out and named.
#include <algorithm>

#include "translators/dialect/render_values.hpp"
#include "translators/dialect/responses.hpp"
#include "translators/dialect/responses_render.hpp"

namespace llm::responses {

namespace {

using ir::Effort;
using ir::ThinkingKind;

constexpr int64_t kMinTokens = 16;

// Members of chat that mean the same here.
constexpr std::string_view kShared[] = {
    "safety_identifier",    "prompt_cache_key", "prompt_cache_retention",
    "prompt_cache_options", "moderation",
};

// Is the number written something else than zero?
bool is_nonzero(RawJson number) {
    for (char c : number.bytes) {
        if (c == 'e' || c == 'E') {
            break;
        }
        if (c >= '1' && c <= '9') {
            return true;
        }
    }
    return false;
}

class BodyWriter {
  public:
    BodyWriter(const RenderJob &job, bool is_count)
        : job_(job),
          request_(job.request),
          traits_(job.target.traits),
          writer_(job.writer),
          is_count_(is_count),
          is_own_(request_.dialect == DialectId::responses),
          is_family_(is_own_ || request_.dialect == DialectId::openai) {}

    Status write();

  private:
    Status check();
    Status check_extras();
    bool has_prefill() const;
    Status write_tools();
    void write_function(const ir::Tool &tool);
    void write_custom(const ir::Tool &tool);
    void write_tool_choice();
    void write_named(JsonText name);
    Status write_sampling();
    void write_number(std::string_view name, RawJson value);
    void write_reasoning();
    std::optional<Effort> effort();
    std::string_view summary() const;
    void write_text();
    void write_include();
    void write_hints();
    void write_extra();
    RawJson extra(std::string_view name) const;
    std::string_view client_name(std::string_view family, std::string_view others) const {
        return is_family_ ? family : others;
    }
    JsonText sent_name(JsonText name) {
        return tool_name_for_target(name, job_.notes.renamed, job_.arena);
    }

    const RenderJob &job_;
    const ir::Request &request_;
    const ModelTraits &traits_;
    json::Writer &writer_;
    json::Reader reader_;
    bool is_count_;
    bool is_own_;
    bool is_family_;  // the client speaks a dialect of OpenAI
    bool is_stored_ = false;
    bool has_logprobs_ = false;
};

RawJson BodyWriter::extra(std::string_view name) const {
    for (const ir::Extra &extra : request_.extra) {
        if (json::equals(extra.name, name)) {
            return extra.value;
        }
    }
    return {};
}

Status BodyWriter::write() {
    LLM_TRY(check());
    RawJson store = is_family_ ? extra("store") : RawJson{};
    is_stored_ = store.empty() ? is_own_ : store.bytes == "true";
    writer_.object();
    writer_.key("model").plain(job_.target.model);
    LLM_TRY(render_input(job_));
    LLM_TRY(write_tools());
    write_text();
    write_reasoning();
    if (!is_count_) {
        LLM_TRY(write_sampling());
        write_hints();
        if (request_.stream) {
            writer_.key("stream").boolean(true);
        }
        write_include();
        if (!is_own_) {
            writer_.key("store").boolean(is_stored_);
        }
    }
    write_extra();
    writer_.end();
    return {};
}

// --- what the API lacks ---------------------------------------------------------------------

// A trailing assistant turn: clients of other dialects want it continued, here it is answered.
bool BodyWriter::has_prefill() const {
    if (is_family_ || request_.turns.empty() || request_.turns.back().role != ir::Role::assistant) {
        return false;
    }
    const std::vector<ir::Part> &parts = request_.turns.back().parts;
    return std::none_of(parts.begin(), parts.end(), [](const ir::Part &part) {
        return std::holds_alternative<ir::ToolCall>(part.is);
    });
}

Status BodyWriter::check() {
    constexpr std::string_view kWhat = "responses have no such parameter";
    if (has_prefill() && !traits_.prefill) {
        LLM_TRY(job_.leave_out("this model does not continue an assistant turn", "prefill"));
    }
    LLM_TRY(check_extras());
    if (is_count_) {
        return {};  // what follows says nothing about the input
    }
    bool has_stop = std::any_of(request_.stop.begin(), request_.stop.end(),
                                [](JsonText stop) { return !stop.empty(); });
    bool has_bias = request_.logit_bias.bytes.find('"') != std::string_view::npos;
    const std::pair<std::string_view, bool> lacking[] = {
        {client_name("stop", "stop_sequences"), has_stop},
        {"n", request_.n > 1},
        {"top_k", !request_.top_k.empty()},
        {"seed", !request_.seed.empty()},
        {"frequency_penalty", is_nonzero(request_.frequency_penalty)},
        {"presence_penalty", is_nonzero(request_.presence_penalty)},
        {"logit_bias", has_bias},
    };
    for (const auto &[name, is_set] : lacking) {
        if (is_set) {
            LLM_TRY(job_.leave_out(kWhat, name));
        }
    }
    return {};
}

// Members that the IR does not model. Those of this dialect pass, those of chat by name; the others
// are hints but for a few.
Status BodyWriter::check_extras() {
    if (is_own_) {
        return {};
    }
    for (const ir::Extra &extra : request_.extra) {
        std::string_view name = json::unescape(extra.name, job_.arena);
        bool is_shared =
            std::find(std::begin(kShared), std::end(kShared), name) != std::end(kShared);
        if (is_family_ && (is_shared || name == "store")) {
            continue;
        }
        if (name == "modalities" && extra.value.bytes.find("\"audio\"") == std::string_view::npos) {
            continue;
        }
        if (name == "modalities" || name == "audio" || name == "web_search_options" ||
            name == "cachedContent") {
            LLM_TRY(job_.leave_out("responses have no such parameter", name));
        } else {
            job_.note(name);
        }
    }
    for (std::string_view name : request_.unmodelled) {
        job_.note(name);
    }
    return {};
}

// --- tools ----------------------------------------------------------------------------------

Status BodyWriter::write_tools() {
    bool has_tools = false;
    for (const ir::Tool &tool : request_.tools) {
        if (!tool.cache.empty()) {
            job_.note("cache_control");
        }
        bool is_hosted = tool.kind == ir::ToolKind::server;
        if (is_hosted && tool.dialect != DialectId::responses) {
            LLM_TRY(job_.leave_out("responses have no such tool",
                                   tool.name.empty() ? "tools" : tool.name.bytes));
            continue;
        }
        if (!has_tools) {
            writer_.key("tools").array();
            has_tools = true;
        }
        if (is_hosted) {
            writer_.raw(tool.raw);
        } else if (tool.kind == ir::ToolKind::custom) {
            write_custom(tool);
        } else {
            write_function(tool);
        }
    }
    if (has_tools) {
        writer_.end();
        write_tool_choice();
        if (request_.parallel_tool_calls) {
            writer_.key("parallel_tool_calls").boolean(*request_.parallel_tool_calls);
        }
    }
    return {};
}

// A tool that came in this dialect goes as it came: it may have members that nobody else knows.
bool is_as_sent(const ir::Tool &tool, JsonText name) {
    return tool.dialect == DialectId::responses && name.bytes == tool.name.bytes &&
           !tool.raw.empty();
}

// `strict` is always said: without it the API takes every schema for a strict one.
void BodyWriter::write_function(const ir::Tool &tool) {
    JsonText name = sent_name(tool.name);
    if (is_as_sent(tool, name)) {
        writer_.raw(tool.raw);
        return;
    }
    writer_.object().key("type").plain("function").key("name").text(name);
    if (!tool.description.empty()) {
        writer_.key("description").text(tool.description);
    }
    writer_.key("parameters");
    if (tool.schema.empty()) {
        writer_.object().key("type").plain("object").key("properties").object().end().end();
    } else {
        writer_.raw(tool.schema);
    }
    writer_.key("strict").boolean(tool.strict.value_or(false)).end();
}

// Chat wraps the grammar of a free text tool once more. The name is given to the answer's side,
// because a stream's events do not say that a call is free text.
void BodyWriter::write_custom(const ir::Tool &tool) {
    JsonText name = sent_name(tool.name);
    if (is_as_sent(tool, name)) {
        writer_.raw(tool.raw);
        return;
    }
    Result<json::Value> raw = reader_.parse_unpadded(tool.raw.bytes);
    json::Value own = raw ? *raw : json::Value();
    json::Value custom = own["custom"].is_object() ? own["custom"] : own;
    writer_.object().key("type").plain("custom").key("name").text(name);
    if (!tool.description.empty()) {
        writer_.key("description").text(tool.description);
    }
    if (json::Value format = custom["format"]; format.is_object()) {
        writer_.key("format");
        json::Value grammar = format["grammar"];
        if (grammar.is_object()) {
            writer_.object().key("type").plain("grammar");
            for (std::string_view member : {"syntax", "definition"}) {
                if (grammar[member].is_string()) {
                    writer_.key(member).text(grammar[member].text());
                }
            }
            writer_.end();
        } else {
            writer_.raw(format.raw());
        }
    }
    writer_.end();
}

void BodyWriter::write_named(JsonText name) {
    ir::ToolKind kind = ir::ToolKind::function;
    for (const ir::Tool &tool : request_.tools) {
        kind = tool.name.bytes == name.bytes ? tool.kind : kind;
    }
    writer_.object().key("type");
    if (kind == ir::ToolKind::server) {
        writer_.text(name).end();
        return;
    }
    writer_.plain(kind == ir::ToolKind::custom ? "custom" : "function");
    writer_.key("name").text(sent_name(name)).end();
}

void BodyWriter::write_tool_choice() {
    const ir::ToolChoice &choice = request_.tool_choice;
    if (choice.kind == ir::ToolChoiceKind::unset) {
        return;
    }
    writer_.key("tool_choice");
    switch (choice.kind) {
        case ir::ToolChoiceKind::unset:
        case ir::ToolChoiceKind::automatic:
            writer_.plain("auto");
            return;
        case ir::ToolChoiceKind::none:
            writer_.plain("none");
            return;
        case ir::ToolChoiceKind::required:
            writer_.plain("required");
            return;
        case ir::ToolChoiceKind::named:
            write_named(choice.name);
            return;
        case ir::ToolChoiceKind::allowed:
            break;
    }
    writer_.object().key("type").plain("allowed_tools");
    writer_.key("mode").plain(choice.allowed_required ? "required" : "auto");
    writer_.key("tools").array();
    for (JsonText name : choice.allowed) {
        write_named(name);
    }
    writer_.end().end();
}

// --- parameters -----------------------------------------------------------------------------

// Reasoning models take only the usual value; with drop_params another one is left out, else the
// provider may say so itself.
void BodyWriter::write_number(std::string_view name, RawJson value) {
    if (value.empty()) {
        return;
    }
    bool is_usual = value.bytes == "1" || value.bytes == "1.0";
    if (traits_.is_reasoning && job_.target.drop_params && !is_usual) {
        job_.note(name);
        return;
    }
    writer_.key(name).raw(value);
}

Status BodyWriter::write_sampling() {
    if (!request_.max_tokens.empty()) {
        std::optional<int64_t> limit;
        if (Result<json::Value> number = reader_.parse_unpadded(request_.max_tokens.bytes)) {
            limit = number->as_int();
        }
        writer_.key("max_output_tokens");
        if (limit && *limit < kMinTokens && !is_own_) {
            writer_.number(kMinTokens);
        } else {
            writer_.raw(request_.max_tokens);
        }
    }
    write_number("temperature", request_.temperature);
    write_number("top_p", request_.top_p);
    has_logprobs_ = request_.logprobs && !(traits_.is_reasoning && job_.target.drop_params);
    if (request_.logprobs && !has_logprobs_) {
        job_.note("logprobs");
    }
    if (has_logprobs_ && !request_.top_logprobs.empty()) {
        writer_.key("top_logprobs").raw(request_.top_logprobs);
    }
    return {};
}

void BodyWriter::write_text() {
    const ir::OutputFormat &output = request_.output;
    bool has_format = output.kind != ir::OutputKind::text;
    bool has_verbosity = !request_.verbosity.empty() && is_family_;
    if (!request_.verbosity.empty() && !has_verbosity) {
        job_.note("verbosity");
    }
    if (!has_format && !has_verbosity) {
        return;
    }
    writer_.key("text").object();
    if (output.kind == ir::OutputKind::json_object) {
        writer_.key("format").object().key("type").plain("json_object").end();
    } else if (output.kind == ir::OutputKind::json_schema) {
        writer_.key("format").object().key("type").plain("json_schema");
        writer_.key("name").text(output.name.empty() ? JsonText{"structured_output"} : output.name);
        if (!output.description.empty()) {
            writer_.key("description").text(output.description);
        }
        writer_.key("schema").raw(output.schema);
        if (output.strict || !is_family_) {
            writer_.key("strict").boolean(output.strict.value_or(true));
        }
        writer_.end();
    }
    if (has_verbosity) {
        writer_.key("verbosity").text(request_.verbosity);
    }
    writer_.end();
}

// --- reasoning ------------------------------------------------------------------------------

std::optional<Effort> BodyWriter::effort() {
    const ir::Thinking &thinking = request_.thinking;
    std::string_view name = is_own_ ? "reasoning" : client_name("reasoning_effort", "thinking");
    std::optional<Effort> effort = thinking.effort;
    switch (thinking.kind) {
        case ThinkingKind::unset:
            return std::nullopt;
        case ThinkingKind::off:
            // Not every model can be told; one that does not reason needs not be.
            if (traits_.is_reasoning || is_family_) {
                job_.note(name);
            }
            return std::nullopt;
        case ThinkingKind::effort:
            break;
        case ThinkingKind::budget:
            effort = effort ? effort : effort_of_budget(thinking.budget);
            break;
        case ThinkingKind::adaptive:
            effort = effort ? effort : Effort::medium;
            break;
    }
    bool is_own_wish = is_family_ && thinking.kind == ThinkingKind::effort;
    if (effort && !is_own_wish && !traits_.is_reasoning && traits_.strict_members) {
        job_.note(name);
        return std::nullopt;
    }
    return effort;
}

// Clients that show thoughts and asked for thinking want to see some of it.
std::string_view BodyWriter::summary() const {
    const ir::Thinking &thinking = request_.thinking;
    if (thinking.kind == ThinkingKind::off) {
        return "";
    }
    if (json::equals(thinking.display, "summarized")) {
        return "auto";
    }
    bool is_asked =
        thinking.kind == ThinkingKind::budget || thinking.kind == ThinkingKind::adaptive;
    return is_asked && !is_family_ && thinking.display.empty() ? "auto" : "";
}

void BodyWriter::write_reasoning() {
    std::optional<Effort> chosen = effort();
    std::string_view shown = summary();
    if (!traits_.is_reasoning && traits_.strict_members && !is_own_) {
        shown = {};  // refused by models that do not reason
    }
    if (!chosen && shown.empty()) {
        return;
    }
    writer_.key("reasoning").object();
    if (chosen) {
        bool knows_all =
            (is_family_ && request_.thinking.kind == ThinkingKind::effort) || traits_.effort_xhigh;
        writer_.key("effort").plain(openai::effort_name(*chosen, knows_all));
    }
    if (!shown.empty()) {
        writer_.key("summary").plain(shown);
    }
    writer_.end();
}

// --- the rest -------------------------------------------------------------------------------

void BodyWriter::write_include() {
    if (is_own_ && !extra("include").empty()) {
        return;  // goes as it came
    }
    // Thoughts that nobody keeps must come with the answer, to go back with the next request.
    bool wants_thoughts = !is_own_ && !is_stored_ && traits_.is_reasoning;
    if (!wants_thoughts && !has_logprobs_) {
        return;
    }
    writer_.key("include").array();
    if (wants_thoughts) {
        writer_.plain("reasoning.encrypted_content");
    }
    if (has_logprobs_) {
        writer_.plain("message.output_text.logprobs");
    }
    writer_.end();
}

void BodyWriter::write_hints() {
    if (!request_.user.empty()) {
        writer_.key("user").plain(openai::cut_user(request_.user, job_.arena));
    }
    if (!request_.service_tier.empty()) {
        if (is_family_) {
            writer_.key("service_tier").text(request_.service_tier);
        } else if (traits_.service_tier && json::equals(request_.service_tier, "standard_only")) {
            writer_.key("service_tier").plain("default");
        } else if (!json::equals(request_.service_tier, "auto")) {
            job_.note("service_tier");
        }
    }
    if (!request_.metadata.empty()) {
        if (is_family_) {
            writer_.key("metadata").raw(request_.metadata);
        } else if (request_.user.empty()) {
            job_.note("metadata");
        }
    }
    if (!request_.cache.empty()) {
        job_.note("cache_control");
    }
}

void BodyWriter::write_extra() {
    // What a count depends on: the rest is refused there.
    constexpr std::string_view kCounted[] = {"previous_response_id", "conversation", "truncation"};
    for (const ir::Extra &extra : request_.extra) {
        std::string_view name = json::unescape(extra.name, job_.arena);
        bool is_shared =
            std::find(std::begin(kShared), std::end(kShared), name) != std::end(kShared);
        bool is_counted =
            std::find(std::begin(kCounted), std::end(kCounted), name) != std::end(kCounted);
        bool passes = is_own_ || (is_family_ && is_shared);
        if (is_count_ ? is_own_ && is_counted : passes) {
            writer_.key(extra.name).raw(extra.value);
        }
    }
}

}  // namespace

Status render_request(const ir::Request &request, const Target &target, Arena &arena,
                      json::Writer &writer, Notes &notes) {
    RenderJob job{request, target, arena, writer, notes};
    return BodyWriter(job, false).write();
}

Status render_count(const ir::Request &request, const Target &target, Arena &arena,
                    json::Writer &writer, Notes &notes) {
    RenderJob job{request, target, arena, writer, notes};
    return BodyWriter(job, true).write();
}

std::optional<int64_t> parse_count(json::Value root) {
    std::optional<int64_t> count = root["input_tokens"].as_int();
    return count && *count >= 0 ? count : std::nullopt;
}

}  // namespace llm::responses
