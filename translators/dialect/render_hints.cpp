// See render_hints.hpp.
#include "translators/dialect/render_hints.hpp"

#include "translators/dialect/render_values.hpp"

namespace llm {

namespace {

// Members that a client cannot do without when it sends them.
constexpr std::string_view kMeaningful[] = {
    "audio",        "web_search_options", "previous_response_id",
    "conversation", "cachedContent",      "prompt",
};

bool changes_answer(std::string_view name, RawJson value) {
    if (name == "modalities") {
        return value.bytes.find("\"audio\"") != std::string_view::npos;
    }
    if (name == "background") {
        return value.bytes == "true";
    }
    for (std::string_view meaningful : kMeaningful) {
        if (name == meaningful) {
            return true;
        }
    }
    return false;
}

}  // namespace

void note_hints(const RenderJob &job) {
    const ir::Request &request = job.request;
    bool from_messages = request.dialect == DialectId::anthropic;
    if (!request.user.empty()) {
        job.note(from_messages ? "metadata" : "user");
    }
    if (is_set(request.metadata)) {
        job.note("metadata");
    }
    if (!request.verbosity.empty()) {
        job.note("verbosity");
    }
    if (!request.service_tier.empty() && !json::equals(request.service_tier, "auto")) {
        job.note("service_tier");
    }
    if (!request.cache.empty()) {
        job.note("cache_control");
    }
    if (!request.parallel_tool_calls.value_or(true) && !request.tools.empty()) {
        job.note(from_messages ? "tool_choice.disable_parallel_tool_use" : "parallel_tool_calls");
    }
}

Status leave_out_extras(const RenderJob &job, bool (*takes)(std::string_view name)) {
    for (const ir::Extra &extra : job.request.extra) {
        std::string_view name = json::unescape(extra.name, job.arena);
        if (!is_set(extra.value) || name == "stream_options" || takes(name)) {
            continue;
        }
        if (changes_answer(name, extra.value)) {
            LLM_TRY(job.leave_out("the target has no such parameter", name));
        } else if (name != "modalities" && name != "background") {
            job.note(name);
        }
    }
    for (std::string_view name : job.request.unmodelled) {
        job.note(name);
    }
    return {};
}

std::string_view output_name(DialectId client) {
    switch (client) {
        case DialectId::anthropic:
            return "output_config.format";
        case DialectId::responses:
            return "text.format";
        case DialectId::gemini:
            return "responseMimeType";
        default:
            return "response_format";
    }
}

std::string_view thinking_name(DialectId client) {
    switch (client) {
        case DialectId::openai:
            return "reasoning_effort";
        case DialectId::responses:
            return "reasoning";
        case DialectId::gemini:
            return "thinkingConfig";
        default:
            return "thinking";
    }
}

std::string_view thoughts_name(DialectId client) {
    switch (client) {
        case DialectId::responses:
            return "reasoning_items";
        case DialectId::gemini:
            return "thoughts";
        default:
            return "thinking_blocks";
    }
}

bool says_anything(const ir::Reasoning &reasoning) {
    return !reasoning.text.empty() || !reasoning.signature.empty() || !reasoning.redacted.empty();
}

std::string_view stop_name(DialectId client) {
    switch (client) {
        case DialectId::anthropic:
            return "stop_sequences";
        case DialectId::gemini:
            return "stopSequences";
        default:
            return "stop";
    }
}

std::string_view file_name(DialectId client) {
    switch (client) {
        case DialectId::openai:
            return "file";
        case DialectId::responses:
            return "input_file";
        case DialectId::gemini:
            return "inlineData";
        default:
            return "document";
    }
}

bool has_prefill(const ir::Request &request) {
    bool is_answered =
        request.dialect == DialectId::openai || request.dialect == DialectId::responses;
    return !is_answered && ends_with_assistant(request);
}

bool ends_with_assistant(const ir::Request &request) {
    if (request.turns.empty() || request.turns.back().role != ir::Role::assistant) {
        return false;
    }
    for (const ir::Part &part : request.turns.back().parts) {
        if (std::holds_alternative<ir::ToolCall>(part.is)) {
            return false;
        }
    }
    return true;
}

}  // namespace llm
