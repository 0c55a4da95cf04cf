// ir::Request -> chat completions request body, for OpenAI and its imitators by ModelTraits.
//
// Entry point: render_request; the messages are written by openai_messages_render.cpp. Members
// come in one fixed order, numbers as the client wrote them. What is only a hint (metadata, cache
// marks, betas ...) is left out and named in Notes; what changes the answer is refused unless
// Target::drop_params. Members that only chat clients know pass when the client spoke chat.
#include <algorithm>

#include "translators/dialect/chat_parameters.hpp"
#include "translators/dialect/function_tools.hpp"
#include "translators/dialect/openai.hpp"
#include "translators/dialect/openai_render.hpp"
#include "translators/dialect/render_hints.hpp"
#include "translators/dialect/render_values.hpp"

namespace llm::openai {

namespace {

using ir::Effort;
using ir::ThinkingKind;

constexpr size_t kMaxStops = 4;

class RequestWriter {
  public:
    explicit RequestWriter(const RenderJob &job)
        : job_(job),
          request_(job.request),
          traits_(job.target.traits),
          writer_(job.writer),
          from_chat_(job.request.dialect == DialectId::openai) {}

    Status write();

  private:
    Status refuse();
    bool is_refused(uint32_t parameter) const { return (traits_.refuses & parameter) != 0; }
    Status write_tools();
    void write_function(const ir::Tool &tool);
    void write_custom(const ir::Tool &tool);
    Status write_tool_choice();
    bool is_allowed(const ir::Tool &tool) const;
    Status write_sampling();
    Status write_number(std::string_view name, RawJson value, uint32_t parameter, RawJson usual,
                        RawJson usual_too);
    void write_stop();
    void write_thinking();
    void write_output();
    void write_hints();
    void write_user();
    void write_extra();
    // Known at OpenAI itself or ignored by the imitator; strict imitators refuse such members.
    bool takes_openai_members() const {
        return !traits_.mistral &&
               (from_chat_ || traits_.max_completion_tokens || !traits_.strict_members);
    }
    bool knows_allowed_tools() const {
        return !traits_.mistral && !traits_.no_tool_choice_required;
    }
    // The name that the client knows a parameter by.
    std::string_view client_name(std::string_view chat, std::string_view messages) const {
        return from_chat_ ? chat : messages;
    }
    JsonText sent_name(JsonText name) {
        return tool_name_for_target(name, job_.notes.renamed, job_.arena);
    }

    const RenderJob &job_;
    const ir::Request &request_;
    const ModelTraits &traits_;
    json::Writer &writer_;
    bool from_chat_;
    bool has_tools_ = false;
    json::Reader reader_;  // for tools that only their raw JSON describes
};

Status RequestWriter::write() {
    bool is_refused = traits_.user_last ? ends_with_assistant(request_)
                                        : has_prefill(request_) && !traits_.prefill;
    if (is_refused) {
        LLM_TRY(job_.leave_out("this model does not continue an assistant turn", "prefill"));
    }
    LLM_TRY(refuse());
    writer_.object();
    writer_.key("model").plain(job_.target.model);
    writer_.key("messages");
    LLM_TRY(render_messages(job_));
    LLM_TRY(write_tools());
    write_output();
    LLM_TRY(write_sampling());
    write_thinking();
    write_hints();
    if (request_.stream) {
        writer_.key("stream").boolean(true);
        if (!traits_.no_stream_options && !traits_.mistral) {
            writer_.key("stream_options").object().key("include_usage").boolean(true).end();
        }
    }
    write_extra();
    writer_.end();
    return {};
}

// --- parameters that the service refuses ----------------------------------------------------

// Does the request say more with this one than without it?
bool is_said(std::string_view parameter, const ir::Request &request) {
    auto is_not = [](RawJson value, double usual) {
        return number_of(value).value_or(usual) != usual;
    };
    const ir::Request &r = request;
    using Kind = ir::ToolChoiceKind;
    bool has_choice = r.tool_choice.kind != Kind::unset && r.tool_choice.kind != Kind::automatic;
    const std::pair<std::string_view, bool> said[] = {
        {"frequency_penalty", is_not(r.frequency_penalty, 0)},
        {"presence_penalty", is_not(r.presence_penalty, 0)},
        {"logit_bias", r.logit_bias.bytes.find('"') != std::string_view::npos},
        {"temperature", is_not(r.temperature, 1)},
        {"top_p", is_not(r.top_p, 1)},
        {"top_k", is_set(r.top_k)},
        {"seed", is_set(r.seed)},
        {"n", r.n > 1},
        {"stop", !r.stop.empty()},
        {"logprobs", r.logprobs},
        {"response_format", r.output.kind != ir::OutputKind::text},
        {"tools", !r.tools.empty()},
        {"tool_choice", !r.tools.empty() && has_choice},
        {"parallel_tool_calls", !r.tools.empty() && !r.parallel_tool_calls.value_or(true)},
        {"reasoning_effort", r.thinking.kind != ThinkingKind::unset},
        {"service_tier", !r.service_tier.empty() && !json::equals(r.service_tier, "auto")},
        {"user", !r.user.empty()},
        {"metadata", r.dialect == DialectId::openai && !r.metadata.empty()},
    };
    for (auto [name, is_it] : said) {
        if (name == parameter) {
            return is_it;
        }
    }
    return false;  // top_logprobs goes with logprobs; functions are tools by now
}

// The name that this client knows a parameter of chat by.
std::string_view name_for_client(std::string_view parameter, DialectId client) {
    return parameter == "stop"               ? stop_name(client)
           : parameter == "reasoning_effort" ? thinking_name(client)
           : parameter == "response_format"  ? output_name(client)
                                             : parameter;
}

Status RequestWriter::refuse() {
    uint32_t bit = 1;
    for (const ChatParameter &parameter : kChatParameters) {
        if (is_refused(bit) && is_said(parameter.name, request_)) {
            std::string_view name = name_for_client(parameter.name, request_.dialect);
            if (parameter.is_hint) {
                job_.note(name);
            } else {
                LLM_TRY(job_.leave_out("this service takes no such parameter", name));
            }
        }
        bit <<= 1;
    }
    return {};
}

// --- tools ----------------------------------------------------------------------------------

Status RequestWriter::write_tools() {
    if (is_refused(chat_parameters("tools"))) {
        return {};
    }
    for (const ir::Tool &tool : request_.tools) {
        if (!tool.cache.empty()) {
            job_.note("cache_control");
        }
        bool is_custom = tool.kind == ir::ToolKind::custom;
        bool can_say =
            tool.kind == ir::ToolKind::function || is_custom || tool.dialect == DialectId::openai;
        if (!can_say) {
            LLM_TRY(job_.leave_out("chat completions have no such tool",
                                   tool.name.empty() ? "tools" : tool.name.bytes));
            continue;
        }
        if (!is_allowed(tool)) {
            continue;
        }
        bool is_as_function = is_custom && !knows_custom_tools(job_);
        if (is_as_function && has_grammar(tool, reader_)) {
            // With drop_params the tool stays, without its grammar.
            LLM_TRY(
                job_.leave_out("this service cannot hold a tool's input to a grammar", "tools"));
        }
        if (!has_tools_) {
            writer_.key("tools").array();
            has_tools_ = true;
        }
        if (is_as_function) {
            job_.notes.custom_tools.push_back(json::unescape(tool.name, job_.arena));
            write_function(tool);
        } else if (tool.kind == ir::ToolKind::function) {
            write_function(tool);
        } else if (is_custom && tool.dialect != DialectId::openai) {
            write_custom(tool);
        } else {
            writer_.raw(tool.raw);
        }
    }
    if (has_tools_) {
        writer_.end();
        LLM_TRY(write_tool_choice());
        if (request_.parallel_tool_calls && !is_refused(chat_parameters("parallel_tool_calls"))) {
            writer_.key("parallel_tool_calls").boolean(*request_.parallel_tool_calls);
        }
    }
    return {};
}

void RequestWriter::write_function(const ir::Tool &tool) {
    writer_.object().key("type").plain("function").key("function").object();
    writer_.key("name").text(sent_name(tool.name));
    if (tool.kind == ir::ToolKind::custom) {
        write_text_input(tool, writer_);
    } else if (!tool.description.empty()) {
        writer_.key("description").text(tool.description);
    }
    if (!tool.schema.empty()) {
        writer_.key("parameters").raw(tool.schema);
    }
    if (tool.strict && traits_.no_strict_tools) {
        job_.note("strict");
    } else if (tool.strict) {
        writer_.key("strict").boolean(*tool.strict);
    }
    writer_.end().end();
}

// Responses say it in one object, and the grammar without another one around it.
void RequestWriter::write_custom(const ir::Tool &tool) {
    Result<json::Value> raw = reader_.parse_unpadded(tool.raw.bytes);
    json::Value format = raw ? (*raw)["format"] : json::Value();
    writer_.object().key("type").plain("custom").key("custom").object();
    writer_.key("name").text(tool.name);
    if (!tool.description.empty()) {
        writer_.key("description").text(tool.description);
    }
    if (format["type"].equals("grammar")) {
        writer_.key("format").object().key("type").plain("grammar").key("grammar").object();
        for (std::string_view member : {"syntax", "definition"}) {
            writer_.key(member).text(format[member].text());
        }
        writer_.end().end();
    } else if (format.is_object()) {
        writer_.key("format").raw(format.raw());
    }
    writer_.end().end();
}

// A list of allowed tools is OpenAI's own: others get these tools and no more.
bool RequestWriter::is_allowed(const ir::Tool &tool) const {
    const ir::ToolChoice &choice = request_.tool_choice;
    if (choice.kind != ir::ToolChoiceKind::allowed || knows_allowed_tools()) {
        return true;
    }
    return std::any_of(choice.allowed.begin(), choice.allowed.end(), [&](JsonText name) {
        return json::equals(name, json::unescape(tool.name, job_.arena));
    });
}

Status RequestWriter::write_tool_choice() {
    if (is_refused(chat_parameters("tool_choice"))) {
        return {};
    }
    const ir::ToolChoice &choice = request_.tool_choice;
    bool is_filtered = choice.kind == ir::ToolChoiceKind::allowed && !knows_allowed_tools();
    bool is_required =
        choice.kind == ir::ToolChoiceKind::required || (is_filtered && choice.allowed_required);
    if (traits_.no_tool_choice_required &&
        (is_required || choice.kind == ir::ToolChoiceKind::named)) {
        return job_.leave_out("this service cannot be told to call a tool", "tool_choice");
    }
    if (is_required || is_filtered) {
        std::string_view required = traits_.mistral ? "any" : "required";
        writer_.key("tool_choice").plain(is_required ? required : "auto");
        return {};
    }
    switch (choice.kind) {
        case ir::ToolChoiceKind::unset:
        case ir::ToolChoiceKind::required:
            return {};
        case ir::ToolChoiceKind::automatic:
            writer_.key("tool_choice").plain("auto");
            return {};
        case ir::ToolChoiceKind::none:
            writer_.key("tool_choice").plain("none");
            return {};
        case ir::ToolChoiceKind::named:
        case ir::ToolChoiceKind::allowed:
            break;
    }
    auto write_named = [this](JsonText name) {
        bool is_custom = false;
        for (const ir::Tool &tool : request_.tools) {
            if (tool.kind == ir::ToolKind::custom && tool.name.bytes == name.bytes) {
                is_custom = knows_custom_tools(job_);
            }
        }
        std::string_view type = is_custom ? "custom" : "function";
        writer_.object().key("type").plain(type).key(type).object();
        writer_.key("name").text(is_custom ? name : sent_name(name)).end().end();
    };
    writer_.key("tool_choice");
    if (choice.kind == ir::ToolChoiceKind::named) {
        write_named(choice.name);
        return {};
    }
    writer_.object().key("type").plain("allowed_tools").key("allowed_tools").object();
    writer_.key("mode").plain(choice.allowed_required ? "required" : "auto");
    writer_.key("tools").array();
    for (JsonText name : choice.allowed) {
        write_named(name);
    }
    writer_.end().end().end();
    return {};
}

// --- parameters -----------------------------------------------------------------------------

// Reasoning models take only the usual value; with drop_params another one is left out, else the
// provider may say so itself.
Status RequestWriter::write_number(std::string_view name, RawJson value, uint32_t parameter,
                                   RawJson usual, RawJson usual_too) {
    if (value.empty() || is_refused(parameter)) {
        return {};
    }
    bool is_usual = value.bytes == usual.bytes || value.bytes == usual_too.bytes;
    if (traits_.is_reasoning && job_.target.drop_params && !is_usual) {
        job_.note(name);
        return {};
    }
    writer_.key(name).raw(value);
    return {};
}

Status RequestWriter::write_sampling() {
    if (!request_.max_tokens.empty()) {
        writer_.key(traits_.max_completion_tokens ? "max_completion_tokens" : "max_tokens");
        writer_.raw(request_.max_tokens);
    }
    RawJson temperature = request_.temperature;
    if (is_above(temperature, traits_.temperature_max)) {
        job_.note("temperature");
        temperature = {traits_.temperature_max};
    }
    LLM_TRY(
        write_number("temperature", temperature, chat_parameters("temperature"), {"1"}, {"1.0"}));
    LLM_TRY(write_number("top_p", request_.top_p, chat_parameters("top_p"), {"1"}, {"1.0"}));
    LLM_TRY(write_number("frequency_penalty", request_.frequency_penalty,
                         chat_parameters("frequency_penalty"), {"0"}, {"0.0"}));
    LLM_TRY(write_number("presence_penalty", request_.presence_penalty,
                         chat_parameters("presence_penalty"), {"0"}, {"0.0"}));
    if (traits_.mistral && !request_.logit_bias.empty()) {
        job_.note("logit_bias");
    } else {
        LLM_TRY(write_number("logit_bias", request_.logit_bias, chat_parameters("logit_bias"),
                             {"{}"}, {"{}"}));
    }
    if (!request_.top_k.empty() && !is_refused(chat_parameters("top_k"))) {
        if (traits_.strict_members) {
            LLM_TRY(job_.leave_out("chat completions have no such parameter", "top_k"));
        } else {
            writer_.key("top_k").raw(request_.top_k);
        }
    }
    if (!request_.seed.empty() && !is_refused(chat_parameters("seed"))) {
        writer_.key(traits_.mistral ? "random_seed" : "seed").raw(request_.seed);
    }
    if (request_.n > 1 && !is_refused(chat_parameters("n"))) {
        writer_.key("n").number(request_.n);
    }
    if (request_.logprobs && !is_refused(chat_parameters("logprobs"))) {
        if (traits_.mistral) {
            LLM_TRY(job_.leave_out("this service gives no logprobs", "logprobs"));
        } else if (traits_.is_reasoning && job_.target.drop_params) {
            job_.note("logprobs");
        } else {
            writer_.key("logprobs").boolean(true);
            if (!request_.top_logprobs.empty() && !is_refused(chat_parameters("top_logprobs"))) {
                writer_.key("top_logprobs").raw(request_.top_logprobs);
            }
        }
    }
    write_stop();
    return {};
}

void RequestWriter::write_stop() {
    if (is_refused(chat_parameters("stop"))) {
        return;
    }
    std::string_view name = client_name("stop", "stop_sequences");
    size_t count = 0;
    for (JsonText stop : request_.stop) {
        if (stop.empty()) {
            continue;
        }
        bool is_refused = traits_.is_reasoning && job_.target.drop_params;
        if (is_refused || count == kMaxStops) {
            job_.note(name);
            break;
        }
        if (count == 0) {
            writer_.key("stop").array();
        }
        ++count;
        writer_.text(stop);
    }
    if (count > 0) {
        writer_.end();
    }
}

void RequestWriter::write_thinking() {
    if (is_refused(chat_parameters("reasoning_effort"))) {
        return;
    }
    const ir::Thinking &thinking = request_.thinking;
    std::string_view name = client_name("reasoning_effort", "thinking");
    std::optional<Effort> effort = thinking.effort;
    if (thinking.kind != ThinkingKind::unset &&
        (traits_.thinking_switch || traits_.enable_thinking)) {
        bool is_on = thinking.kind != ThinkingKind::off &&
                     effort.value_or(Effort::medium) != Effort::none &&
                     !(thinking.kind == ThinkingKind::budget && thinking.budget == 0);
        if (traits_.enable_thinking) {
            writer_.key("enable_thinking").boolean(is_on);
        } else {
            writer_.key("thinking").object().key("type").plain(is_on ? "enabled" : "disabled");
            writer_.end();
        }
        return;
    }
    switch (thinking.kind) {
        case ThinkingKind::unset:
            return;
        case ThinkingKind::off:
            // Not every model can be told; one that does not reason needs not be.
            if (traits_.is_reasoning || from_chat_) {
                job_.note(name);
            }
            return;
        case ThinkingKind::effort:
            break;
        case ThinkingKind::budget:
            effort = effort ? effort : effort_of_budget(thinking.budget);
            break;
        case ThinkingKind::adaptive:
            effort = effort ? effort : Effort::medium;
            break;
    }
    if (!effort) {
        return;
    }
    bool is_own_wish = from_chat_ && thinking.kind == ThinkingKind::effort;
    if (!is_own_wish && !traits_.is_reasoning && traits_.strict_members) {
        job_.note(name);
        return;
    }
    if (!is_own_wish && traits_.effort_xhigh && *effort == Effort::max) {
        effort = Effort::xhigh;
    }
    writer_.key("reasoning_effort")
        .plain(effort_name(*effort, is_own_wish || traits_.effort_xhigh));
}

void RequestWriter::write_output() {
    const ir::OutputFormat &output = request_.output;
    if (output.kind == ir::OutputKind::text || is_refused(chat_parameters("response_format"))) {
        return;
    }
    writer_.key("response_format").object().key("type");
    if (output.kind == ir::OutputKind::json_object) {
        writer_.plain("json_object").end();
        return;
    }
    writer_.plain("json_schema").key("json_schema").object();
    writer_.key("name").text(output.name.empty() ? JsonText{"structured_output"} : output.name);
    if (!output.description.empty()) {
        writer_.key("description").text(output.description);
    }
    writer_.key("schema").raw(output.schema);
    if (output.strict || !from_chat_) {
        writer_.key("strict").boolean(output.strict.value_or(true));
    }
    writer_.end().end();
}

void RequestWriter::write_hints() {
    write_user();
    if (!request_.verbosity.empty()) {
        if (from_chat_) {
            writer_.key("verbosity").text(request_.verbosity);
        } else {
            job_.note("verbosity");
        }
    }
    if (!request_.service_tier.empty() && !is_refused(chat_parameters("service_tier"))) {
        if (from_chat_) {
            writer_.key("service_tier").text(request_.service_tier);
        } else if (traits_.service_tier && json::equals(request_.service_tier, "standard_only")) {
            writer_.key("service_tier").plain("default");
        } else if (!json::equals(request_.service_tier, "auto")) {
            job_.note("service_tier");
        }
    }
    if (!request_.metadata.empty() && !(from_chat_ && is_refused(chat_parameters("metadata")))) {
        if (from_chat_) {
            writer_.key("metadata").raw(request_.metadata);
        } else if (request_.user.empty()) {
            job_.note("metadata");
        }
    }
    if (!request_.cache.empty()) {
        job_.note("cache_control");
    }
}

void RequestWriter::write_user() {
    if (request_.user.empty() || is_refused(chat_parameters("user"))) {
        return;
    }
    if (!takes_openai_members()) {
        job_.note(client_name("user", "metadata"));
        return;
    }
    writer_.key("user").plain(cut_user(request_.user, job_.arena));
}

// Members that the IR does not model: a chat provider may know those of a chat client, and no
// others.
void RequestWriter::write_extra() {
    for (const ir::Extra &extra : request_.extra) {
        if (from_chat_) {
            writer_.key(extra.name).raw(extra.value);
        } else {
            job_.note(extra.name.bytes);
        }
    }
    if (!from_chat_) {
        for (std::string_view name : request_.unmodelled) {
            job_.note(name);
        }
    }
}

}  // namespace

std::string_view effort_name(Effort effort, bool knows_all) {
    switch (effort) {
        case Effort::none:
            return "none";
        case Effort::minimal:
            return "minimal";
        case Effort::low:
            return "low";
        case Effort::medium:
            return "medium";
        case Effort::high:
            return "high";
        case Effort::xhigh:
            return knows_all ? "xhigh" : "high";
        case Effort::max:
            return knows_all ? "max" : "high";
    }
    return "medium";
}

bool knows_custom_tools(const RenderJob &job) {
    return job.request.dialect == DialectId::openai || job.target.traits.service_tier;
}

std::string_view cut_user(JsonText id, Arena &arena) {
    constexpr size_t kMaxUserCharacters = 64;
    std::string_view user = json::unescape(id, arena);
    size_t characters = 0;
    size_t end = 0;
    while (end < user.size()) {
        bool is_start = (user[end] & 0xC0) != 0x80;
        if (is_start && characters++ == kMaxUserCharacters) {
            break;
        }
        ++end;
    }
    return user.substr(0, end);
}

Status render_request(const ir::Request &request, const Target &target, Arena &arena,
                      json::Writer &writer, Notes &notes) {
    RenderJob job{request, target, arena, writer, notes};
    return RequestWriter(job).write();
}

}  // namespace llm::openai
