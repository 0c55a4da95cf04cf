// ir::Request -> chat completions request body, for OpenAI and its imitators by ModelTraits.
//
// Entry point: render_request; the messages are written by openai_messages_render.cpp. Members
// come in one fixed order, numbers as the client wrote them. What is only a hint (metadata, cache
// marks, betas ...) is left out and named in Notes; what changes the answer is refused unless
// Target::drop_params. Members that only chat clients know pass when the client spoke chat.
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
    Status write_tools();
    void write_function(const ir::Tool &tool);
    void write_tool_choice();
    Status write_sampling();
    Status write_number(std::string_view name, RawJson value, RawJson usual, RawJson usual_too);
    void write_stop();
    void write_thinking();
    void write_output();
    void write_hints();
    void write_user();
    void write_extra();
    // Known at OpenAI itself or ignored by the imitator; strict imitators refuse such members.
    bool takes_openai_members() const {
        return from_chat_ || traits_.max_completion_tokens || !traits_.strict_members;
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
};

Status RequestWriter::write() {
    if (has_prefill(request_) && !traits_.prefill) {
        LLM_TRY(job_.leave_out("this model does not continue an assistant turn", "prefill"));
    }
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
        if (!traits_.no_stream_options) {
            writer_.key("stream_options").object().key("include_usage").boolean(true).end();
        }
    }
    write_extra();
    writer_.end();
    return {};
}

// --- tools ----------------------------------------------------------------------------------

Status RequestWriter::write_tools() {
    for (const ir::Tool &tool : request_.tools) {
        if (!tool.cache.empty()) {
            job_.note("cache_control");
        }
        bool can_say = tool.kind == ir::ToolKind::function || tool.dialect == DialectId::openai;
        if (!can_say) {
            LLM_TRY(job_.leave_out("chat completions have no such tool",
                                   tool.name.empty() ? "tools" : tool.name.bytes));
            continue;
        }
        if (!has_tools_) {
            writer_.key("tools").array();
            has_tools_ = true;
        }
        if (tool.kind == ir::ToolKind::function) {
            write_function(tool);
        } else {
            writer_.raw(tool.raw);
        }
    }
    if (has_tools_) {
        writer_.end();
        write_tool_choice();
        if (request_.parallel_tool_calls) {
            writer_.key("parallel_tool_calls").boolean(*request_.parallel_tool_calls);
        }
    }
    return {};
}

void RequestWriter::write_function(const ir::Tool &tool) {
    writer_.object().key("type").plain("function").key("function").object();
    writer_.key("name").text(sent_name(tool.name));
    if (!tool.description.empty()) {
        writer_.key("description").text(tool.description);
    }
    if (!tool.schema.empty()) {
        writer_.key("parameters").raw(tool.schema);
    }
    if (tool.strict) {
        writer_.key("strict").boolean(*tool.strict);
    }
    writer_.end().end();
}

void RequestWriter::write_tool_choice() {
    const ir::ToolChoice &choice = request_.tool_choice;
    switch (choice.kind) {
        case ir::ToolChoiceKind::unset:
            return;
        case ir::ToolChoiceKind::automatic:
            writer_.key("tool_choice").plain("auto");
            return;
        case ir::ToolChoiceKind::none:
            writer_.key("tool_choice").plain("none");
            return;
        case ir::ToolChoiceKind::required:
            writer_.key("tool_choice").plain("required");
            return;
        case ir::ToolChoiceKind::named:
        case ir::ToolChoiceKind::allowed:
            break;
    }
    auto write_named = [this](JsonText name) {
        bool is_custom = false;
        for (const ir::Tool &tool : request_.tools) {
            if (tool.kind == ir::ToolKind::custom && tool.name.bytes == name.bytes) {
                is_custom = true;
            }
        }
        std::string_view type = is_custom ? "custom" : "function";
        writer_.object().key("type").plain(type).key(type).object();
        writer_.key("name").text(is_custom ? name : sent_name(name)).end().end();
    };
    writer_.key("tool_choice");
    if (choice.kind == ir::ToolChoiceKind::named) {
        write_named(choice.name);
        return;
    }
    writer_.object().key("type").plain("allowed_tools").key("allowed_tools").object();
    writer_.key("mode").plain(choice.allowed_required ? "required" : "auto");
    writer_.key("tools").array();
    for (JsonText name : choice.allowed) {
        write_named(name);
    }
    writer_.end().end().end();
}

// --- parameters -----------------------------------------------------------------------------

// Reasoning models take only the usual value; with drop_params another one is left out, else the
// provider may say so itself.
Status RequestWriter::write_number(std::string_view name, RawJson value, RawJson usual,
                                   RawJson usual_too) {
    if (value.empty()) {
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
    LLM_TRY(write_number("temperature", request_.temperature, {"1"}, {"1.0"}));
    LLM_TRY(write_number("top_p", request_.top_p, {"1"}, {"1.0"}));
    LLM_TRY(write_number("frequency_penalty", request_.frequency_penalty, {"0"}, {"0.0"}));
    LLM_TRY(write_number("presence_penalty", request_.presence_penalty, {"0"}, {"0.0"}));
    LLM_TRY(write_number("logit_bias", request_.logit_bias, {"{}"}, {"{}"}));
    if (!request_.top_k.empty()) {
        if (traits_.strict_members) {
            LLM_TRY(job_.leave_out("chat completions have no such parameter", "top_k"));
        } else {
            writer_.key("top_k").raw(request_.top_k);
        }
    }
    if (!request_.seed.empty()) {
        writer_.key("seed").raw(request_.seed);
    }
    if (request_.n > 1) {
        writer_.key("n").number(request_.n);
    }
    if (request_.logprobs) {
        if (traits_.is_reasoning && job_.target.drop_params) {
            job_.note("logprobs");
        } else {
            writer_.key("logprobs").boolean(true);
            if (!request_.top_logprobs.empty()) {
                writer_.key("top_logprobs").raw(request_.top_logprobs);
            }
        }
    }
    write_stop();
    return {};
}

void RequestWriter::write_stop() {
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
    const ir::Thinking &thinking = request_.thinking;
    std::string_view name = client_name("reasoning_effort", "thinking");
    std::optional<Effort> effort = thinking.effort;
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
    if (output.kind == ir::OutputKind::text) {
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
    if (!request_.service_tier.empty()) {
        if (from_chat_) {
            writer_.key("service_tier").text(request_.service_tier);
        } else if (traits_.service_tier && json::equals(request_.service_tier, "standard_only")) {
            writer_.key("service_tier").plain("default");
        } else if (!json::equals(request_.service_tier, "auto")) {
            job_.note("service_tier");
        }
    }
    if (!request_.metadata.empty()) {
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
    if (request_.user.empty()) {
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
