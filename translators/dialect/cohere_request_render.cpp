// ir::Request -> the body of POST /v2/chat.
//
// Entry point: render_request; the messages are written by cohere_messages_render.cpp. Members come
// in one fixed order, numbers as the client wrote them unless they are out of range. What is only a
// hint is left out and named in Notes; what changes the answer is refused unless
// Target::drop_params. Cohere's own members may come as extensions of any client's request.
#include "translators/dialect/cohere.hpp"
#include "translators/dialect/cohere_render.hpp"
#include "translators/dialect/function_tools.hpp"
#include "translators/dialect/render_hints.hpp"
#include "translators/dialect/render_values.hpp"

namespace llm::cohere {

namespace {

using ir::Effort;
using ir::ThinkingKind;

constexpr size_t kMaxStops = 5;

// Members of this API that no other has.
constexpr std::string_view kOwnMembers[] = {
    "documents", "citation_options", "safety_mode", "priority", "strict_tools",
};

bool takes(std::string_view name) {
    for (std::string_view known : kOwnMembers) {
        if (name == known) {
            return true;
        }
    }
    return false;
}

class RequestWriter {
  public:
    explicit RequestWriter(const RenderJob &job)
        : job_(job), request_(job.request), writer_(job.writer), tools_(job) {}

    Status write();

  private:
    void write_tools();
    void write_documents();
    Status write_output();
    Status write_sampling();
    void write_number(std::string_view name, std::string_view client_name, RawJson value,
                      RawJson least, RawJson most);
    void write_stop();
    void write_thinking();
    void write_extra();

    const RenderJob &job_;
    const ir::Request &request_;
    json::Writer &writer_;
    FunctionTools tools_;
    std::vector<const ir::Part *> documents_;
};

Status RequestWriter::write() {
    if (has_prefill(request_) && !job_.target.traits.prefill) {
        LLM_TRY(job_.leave_out("this model does not continue an assistant turn", "prefill"));
    }
    LLM_TRY(tools_.select());
    LLM_TRY(leave_out_extras(job_, takes));
    note_hints(job_);

    writer_.object();
    writer_.key("model").plain(job_.target.model);
    writer_.key("messages");
    LLM_TRY(render_messages(job_, documents_));
    write_documents();
    write_tools();
    LLM_TRY(write_output());
    LLM_TRY(write_sampling());
    write_stop();
    write_thinking();
    write_extra();
    writer_.key("stream").boolean(request_.stream);
    writer_.end();
    return {};
}

void RequestWriter::write_documents() {
    RawJson given;
    for (const ir::Extra &extra : request_.extra) {
        if (json::equals(extra.name, "documents") && extra.value.bytes.starts_with("[")) {
            given = extra.value;
        }
    }
    if (documents_.empty()) {
        if (!given.empty()) {
            writer_.key("documents").raw(given);
        }
        return;
    }
    writer_.key("documents").array();
    json::Reader reader;
    if (Result<json::Value> list = reader.parse_unpadded(given.bytes); list) {
        for (json::Value document : list->items()) {
            writer_.raw(document.raw());
        }
    }
    for (const ir::Part *part : documents_) {
        write_document(*part, job_);
    }
    writer_.end();
}

void RequestWriter::write_tools() {
    if (tools_.empty()) {
        return;
    }
    writer_.key("tools");
    tools_.write();
    bool is_given = false;
    for (const ir::Extra &extra : request_.extra) {
        is_given = is_given || json::equals(extra.name, "strict_tools");
    }
    if (!is_given && tools_.is_strict()) {
        writer_.key("strict_tools").boolean(true);
    } else if (!is_given) {
        for (const ir::Tool &tool : request_.tools) {
            if (tool.strict.value_or(false)) {
                job_.note("strict");  // it is for all tools or none
            }
        }
    }
    if (request_.tool_choice.kind == ir::ToolChoiceKind::none) {
        writer_.key("tool_choice").plain("NONE");
    } else if (tools_.is_forced()) {
        writer_.key("tool_choice").plain("REQUIRED");
    }
}

Status RequestWriter::write_output() {
    const ir::OutputFormat &output = request_.output;
    if (output.kind == ir::OutputKind::text) {
        return {};
    }
    if (!tools_.empty()) {
        return job_.leave_out("the target gives structured output without tools only",
                              output_name(request_.dialect));
    }
    writer_.key("response_format").object().key("type").plain("json_object");
    if (output.kind == ir::OutputKind::json_schema && is_set(output.schema)) {
        writer_.key("json_schema").raw(output.schema);
    }
    writer_.end();
    return {};
}

// A number in its range, as the client wrote it, else the end of the range. An empty end is open.
void RequestWriter::write_number(std::string_view name, std::string_view client_name, RawJson value,
                                 RawJson least, RawJson most) {
    std::optional<double> number = number_of(value);
    if (!number) {
        return;
    }
    std::optional<double> low = number_of(least);
    std::optional<double> high = number_of(most);
    bool is_low = low && *number < *low;
    bool is_high = high && *number > *high;
    if (is_low || is_high) {
        bool is_usual = client_name == "top_p" && *number == 1;  // all tokens: nothing to name
        if (!is_usual) {
            job_.note(client_name);
        }
        value = is_low ? least : most;
    }
    writer_.key(name).raw(value);
}

Status RequestWriter::write_sampling() {
    if (request_.n > 1) {
        LLM_TRY(job_.leave_out("the target gives one answer", "n"));
    }
    if (is_set(request_.logit_bias)) {
        job_.note("logit_bias");
    }
    if (is_set(request_.max_tokens)) {
        writer_.key("max_tokens").raw(request_.max_tokens);
    }
    write_number("temperature", "temperature", request_.temperature, {"0"}, {"5"});
    write_number("p", "top_p", request_.top_p, {"0.01"}, {"0.99"});
    write_number("k", "top_k", request_.top_k, {"0"}, {"500"});
    write_number("seed", "seed", request_.seed, {}, {});
    write_number("frequency_penalty", "frequency_penalty", request_.frequency_penalty, {"0"},
                 {"1"});
    write_number("presence_penalty", "presence_penalty", request_.presence_penalty, {"0"}, {"1"});
    if (request_.logprobs) {
        writer_.key("logprobs").boolean(true);
        if (is_set(request_.top_logprobs) && number_of(request_.top_logprobs).value_or(0) > 0) {
            job_.note("top_logprobs");
        }
    }
    return {};
}

void RequestWriter::write_stop() {
    size_t count = 0;
    for (JsonText stop : request_.stop) {
        if (stop.empty()) {
            continue;
        }
        if (count == kMaxStops) {
            job_.note(stop_name(request_.dialect));
            break;
        }
        if (count++ == 0) {
            writer_.key("stop_sequences").array();
        }
        writer_.text(stop);
    }
    if (count > 0) {
        writer_.end();
    }
}

void RequestWriter::write_thinking() {
    const ir::Thinking &thinking = request_.thinking;
    if (thinking.kind == ThinkingKind::unset) {
        return;
    }
    bool is_none = thinking.effort.value_or(Effort::low) == Effort::none;
    bool is_off = thinking.kind == ThinkingKind::off ||
                  (thinking.kind == ThinkingKind::effort && is_none) ||
                  (thinking.kind == ThinkingKind::budget && thinking.budget == 0);
    if (!job_.target.traits.thinking) {
        if (!is_off) {
            job_.note(thinking_name(request_.dialect));
        }
        return;
    }
    writer_.key("thinking").object();
    writer_.key("type").plain(is_off ? "disabled" : "enabled");
    if (!is_off && thinking.kind == ThinkingKind::budget && thinking.budget > 0) {
        writer_.key("token_budget").number(thinking.budget);
    } else if (!is_off && thinking.kind == ThinkingKind::effort) {
        writer_.key("token_budget")
            .number(budget_of_effort(thinking.effort.value_or(Effort::medium)));
    }
    writer_.end();
}

void RequestWriter::write_extra() {
    for (std::string_view name : kOwnMembers) {
        RawJson value;
        for (const ir::Extra &extra : request_.extra) {
            value = json::equals(extra.name, name) ? extra.value : value;
        }
        bool has_place = name == "strict_tools" ? !tools_.empty() : name != "documents";
        if (has_place && is_set(value)) {
            writer_.key(name).raw(value);
        }
    }
}

}  // namespace

Status render_request(const ir::Request &request, const Target &target, Arena &arena,
                      json::Writer &writer, Notes &notes) {
    RenderJob job{request, target, arena, writer, notes};
    return RequestWriter(job).write();
}

}  // namespace llm::cohere
