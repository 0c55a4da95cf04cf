// ir::Request -> the body of POST /api/chat.
//
// Entry point: render_request; the messages are written by ollama_messages_render.cpp. Members come
// in one fixed order, numbers as the client wrote them; `stream` is always said, since the server
// streams when it is not. What is only a hint is left out and named in Notes; what changes the
// answer is refused unless Target::drop_params. Options that only this server has may come as
// extensions of any client's request.
#include "translators/dialect/function_tools.hpp"
#include "translators/dialect/ollama.hpp"
#include "translators/dialect/ollama_render.hpp"
#include "translators/dialect/render_hints.hpp"
#include "translators/dialect/render_values.hpp"

namespace llm::ollama {

namespace {

using ir::Effort;
using ir::ThinkingKind;

// Options that the IR does not have.
constexpr std::string_view kOptions[] = {
    "num_ctx", "num_keep",   "min_p",     "typical_p", "repeat_penalty", "repeat_last_n",
    "num_gpu", "num_thread", "num_batch", "mirostat",  "mirostat_eta",   "mirostat_tau",
};

bool is_option(std::string_view name) {
    for (std::string_view option : kOptions) {
        if (name == option) {
            return true;
        }
    }
    return false;
}

bool takes(std::string_view name) {
    return is_option(name) || name == "options" || name == "keep_alive" || name == "truncation";
}

// The members of `options`, opened with the first of them.
class Options {
  public:
    explicit Options(json::Writer &writer) : writer_(writer) {}

    json::Writer &key(std::string_view name) {
        if (!is_open_) {
            writer_.key("options").object();
            is_open_ = true;
        }
        names_.push_back(name);
        return writer_.key(name);
    }
    void number(std::string_view name, RawJson value) {
        if (is_set(value)) {
            key(name).raw(value);
        }
    }
    bool has(std::string_view name) const {
        for (std::string_view known : names_) {
            if (known == name) {
                return true;
            }
        }
        return false;
    }
    void end() {
        if (is_open_) {
            writer_.end();
        }
    }

  private:
    json::Writer &writer_;
    std::vector<std::string_view> names_;
    bool is_open_ = false;
};

class RequestWriter {
  public:
    explicit RequestWriter(const RenderJob &job)
        : job_(job), request_(job.request), writer_(job.writer), tools_(job) {}

    Status write();

  private:
    void write_tools();
    void write_output();
    void write_thinking();
    Status write_options();
    void write_own_options(Options &options);
    void write_extra();

    const RenderJob &job_;
    const ir::Request &request_;
    json::Writer &writer_;
    FunctionTools tools_;
};

Status RequestWriter::write() {
    LLM_TRY(tools_.select());
    LLM_TRY(leave_out_extras(job_, takes));
    note_hints(job_);

    writer_.object();
    writer_.key("model").plain(job_.target.model);
    writer_.key("messages");
    LLM_TRY(render_messages(job_));
    write_tools();
    write_output();
    write_thinking();
    LLM_TRY(write_options());
    write_extra();
    writer_.key("stream").boolean(request_.stream);
    writer_.end();
    return {};
}

// The server cannot be told to call: all that is left of a choice is which tools there are.
void RequestWriter::write_tools() {
    if (tools_.empty()) {
        return;
    }
    if (tools_.is_forced()) {
        job_.note("tool_choice");
    }
    if (request_.tool_choice.kind == ir::ToolChoiceKind::none) {
        return;
    }
    for (const ir::Tool &tool : request_.tools) {
        if (tool.strict.value_or(false)) {
            job_.note("strict");
        }
    }
    writer_.key("tools");
    tools_.write();
}

void RequestWriter::write_output() {
    const ir::OutputFormat &output = request_.output;
    if (output.kind == ir::OutputKind::json_schema && is_set(output.schema)) {
        writer_.key("format").raw(output.schema);
    } else if (output.kind != ir::OutputKind::text) {
        writer_.key("format").plain("json");
    }
}

std::string_view level_name(Effort effort, bool has_max) {
    switch (effort) {
        case Effort::none:
        case Effort::minimal:
        case Effort::low:
            return "low";
        case Effort::medium:
            return "medium";
        case Effort::high:
        case Effort::xhigh:
            return "high";
        case Effort::max:
            return has_max ? "max" : "high";
    }
    return "medium";
}

void RequestWriter::write_thinking() {
    const ir::Thinking &thinking = request_.thinking;
    const ModelTraits &traits = job_.target.traits;
    std::string_view name = thinking_name(request_.dialect);
    std::optional<Effort> effort = thinking.effort;
    bool is_off = thinking.kind == ThinkingKind::off;
    switch (thinking.kind) {
        case ThinkingKind::unset:
            return;
        case ThinkingKind::off:
            break;
        case ThinkingKind::effort:
            is_off = effort == Effort::none;
            break;
        case ThinkingKind::budget:
            is_off = thinking.budget == 0;
            effort = effort ? effort : effort_of_budget(thinking.budget);
            break;
        case ThinkingKind::adaptive:
            break;
    }
    if (!traits.thinking || (is_off && traits.thinking_level)) {
        // A model that does not think refuses the wish; one of levels cannot be told to stop.
        if (!is_off || traits.thinking) {
            job_.note(name);
        }
        return;
    }
    writer_.key("think");
    if (is_off) {
        writer_.boolean(false);
    } else if (effort || traits.thinking_level) {
        writer_.plain(level_name(effort.value_or(Effort::medium), !traits.thinking_level));
    } else {
        writer_.boolean(true);
    }
}

Status RequestWriter::write_options() {
    if (request_.n > 1) {
        LLM_TRY(job_.leave_out("the target gives one answer", "n"));
    }
    if (is_set(request_.logit_bias)) {
        job_.note("logit_bias");
    }
    if (request_.logprobs) {
        writer_.key("logprobs").boolean(true);
        if (is_set(request_.top_logprobs)) {
            writer_.key("top_logprobs").raw(request_.top_logprobs);
        }
    }
    Options options(writer_);
    options.number("num_predict", request_.max_tokens);
    options.number("temperature", request_.temperature);
    options.number("top_p", request_.top_p);
    options.number("top_k", request_.top_k);
    options.number("seed", request_.seed);
    options.number("frequency_penalty", request_.frequency_penalty);
    options.number("presence_penalty", request_.presence_penalty);
    bool has_stop = false;
    for (JsonText stop : request_.stop) {
        if (stop.empty()) {
            continue;
        }
        if (!has_stop) {
            options.key("stop").array();
            has_stop = true;
        }
        writer_.text(stop);
    }
    if (has_stop) {
        writer_.end();
    }
    write_own_options(options);
    options.end();
    return {};
}

// What came as `options` or as a member of its own; what the client said in its dialect's words
// stands.
void RequestWriter::write_own_options(Options &options) {
    for (const ir::Extra &extra : request_.extra) {
        std::string_view name = json::unescape(extra.name, job_.arena);
        if (is_option(name) && is_set(extra.value) && !options.has(name)) {
            options.key(name).raw(extra.value);
        }
    }
    for (const ir::Extra &extra : request_.extra) {
        if (!json::equals(extra.name, "options")) {
            continue;
        }
        json::Reader reader;
        Result<json::Value> given = reader.parse_unpadded(extra.value.bytes);
        if (!given) {
            continue;
        }
        for (auto [key, value] : given->members()) {
            std::string_view name = job_.arena.copy(json::unescape(key, job_.arena));
            bool is_plain =
                name.find_first_not_of("abcdefghijklmnopqrstuvwxyz_") == std::string_view::npos;
            if (is_plain && !value.is_unset() && !options.has(name)) {
                options.key(name).raw(value.raw());
            }
        }
    }
}

void RequestWriter::write_extra() {
    bool has_keep_alive = false;
    bool has_truncation = false;
    for (const ir::Extra &extra : request_.extra) {
        if (json::equals(extra.name, "keep_alive") && is_set(extra.value) && !has_keep_alive) {
            writer_.key("keep_alive").raw(extra.value);
            has_keep_alive = true;
        } else if (json::equals(extra.name, "truncation") && extra.value.bytes == "\"auto\"" &&
                   !has_truncation) {
            writer_.key("truncate").boolean(true);
            has_truncation = true;
        }
    }
}

}  // namespace

Status render_request(const ir::Request &request, const Target &target, Arena &arena,
                      json::Writer &writer, Notes &notes) {
    RenderJob job{request, target, arena, writer, notes};
    return RequestWriter(job).write();
}

}  // namespace llm::ollama
