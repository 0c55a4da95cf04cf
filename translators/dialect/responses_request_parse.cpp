// Responses request body -> ir::Request, and the envelope that routing reads first.
//
// Entry points: read_envelope, parse_request. Every member that the IR models is checked for its
// type, and a wrong one is refused by name; the others go to Request::extra, among them those that
// need a provider with a memory (check_state refuses them elsewhere). The items of the input are
// read in responses_input_parse.cpp.
#include <algorithm>

#include "translators/dialect/openai_request.hpp"
#include "translators/dialect/responses.hpp"
#include "translators/dialect/responses_input.hpp"
#include "translators/dialect/responses_reply.hpp"
#include "translators/dialect/tool_history.hpp"

namespace llm::responses {

namespace {

using json::Value;
using openai::read_flag;
using openai::read_integer;
using openai::read_number;
using openai::read_object;
using openai::read_text;

// Members that parse_request understands; all others are `extra`. The answer repeats some of
// those, and `include` decides what it shows.
constexpr std::string_view kKnown[] = {
    "model",        "input",          "instructions", "max_output_tokens",   "temperature",
    "top_p",        "tools",          "tool_choice",  "parallel_tool_calls", "text",
    "reasoning",    "user",           "metadata",     "service_tier",        "stream",
    "top_logprobs", "stream_options",
};

// Members that may stand in the place of `input`.
constexpr std::string_view kInsteadOfInput[] = {"prompt", "previous_response_id", "conversation"};

constexpr uint32_t kMaxTools = 1024;

Status check_input(Value root) {
    Value input = root["input"];
    if (input.size() > kMaxItems) {
        return invalid("too many items", "input");
    }
    if (input.is_string() || (input.is_array() && input.size() > 0)) {
        return {};
    }
    bool is_elsewhere = false;
    for (std::string_view name : kInsteadOfInput) {
        is_elsewhere = is_elsewhere || !root[name].is_unset();
    }
    if (!is_elsewhere || (!input.is_unset() && !input.is_array())) {
        return invalid("input must be a string or a non-empty array", "input");
    }
    return {};
}

// --- tools ----------------------------------------------------------------------------------

Status read_tool(Value entry, ir::Tool &tool) {
    Value type = entry["type"];
    if (!type.is_string()) {
        return invalid("each tool needs a type", "tools[].type");
    }
    tool.dialect = DialectId::responses;
    tool.raw = entry.raw();
    bool is_function = type.equals("function");
    if (!is_function && !type.equals("custom")) {
        tool.kind = ir::ToolKind::server;
        tool.name = type.text();
        return {};
    }
    tool.kind = is_function ? ir::ToolKind::function : ir::ToolKind::custom;
    if (!entry["name"].is_string() || entry["name"].text().empty()) {
        return invalid("needs a name", "tools[].name");
    }
    tool.name = entry["name"].text();
    LLM_TRY(read_text(entry["description"], "tools[].description", tool.description));
    if (!is_function) {
        return {};
    }
    LLM_TRY(read_object(entry["parameters"], "tools[].parameters", tool.schema));
    tool.strict = true;  // the default here, and nowhere else
    return read_flag(entry["strict"], "tools[].strict", tool.strict);
}

Status read_tools(Value tools, Arena &arena, ir::Request &request) {
    if (!tools.is_unset() && !tools.is_array()) {
        return invalid("must be an array", "tools");
    }
    if (tools.size() > kMaxTools) {
        return invalid("too many tools", "tools");
    }
    std::vector<std::string_view> names;
    request.tools.reserve(tools.size());
    names.reserve(tools.size());
    for (Value entry : tools.items()) {
        ir::Tool &tool = request.tools.emplace_back();
        LLM_TRY(read_tool(entry, tool));
        if (tool.kind != ir::ToolKind::server) {
            names.push_back(json::unescape(tool.name, arena));
        }
    }
    std::sort(names.begin(), names.end());
    if (std::adjacent_find(names.begin(), names.end()) != names.end()) {
        return invalid("two tools have the same name", "tools");
    }
    return {};
}

// The name of a tool in a choice: hosted tools go by their type.
JsonText chosen_name(Value tool) {
    bool has_name = tool["type"].equals("function") || tool["type"].equals("custom");
    return has_name ? tool["name"].text() : tool["type"].text();
}

Status read_tool_choice(Value choice, ir::ToolChoice &result) {
    constexpr std::string_view kName = "tool_choice";
    using Kind = ir::ToolChoiceKind;
    if (choice.is_unset()) {
        return {};
    }
    if (choice.equals("auto")) {
        result.kind = Kind::automatic;
    } else if (choice.equals("none")) {
        result.kind = Kind::none;
    } else if (choice.equals("required")) {
        result.kind = Kind::required;
    } else if (choice["type"].equals("allowed_tools")) {
        Value allowed = choice["tools"];
        if (!allowed.is_array() || allowed.size() > kMaxTools) {
            return invalid("needs a list of tools", kName);
        }
        result.kind = Kind::allowed;
        result.allowed_required = choice["mode"].equals("required");
        for (Value tool : allowed.items()) {
            JsonText name = chosen_name(tool);
            if (name.empty()) {
                return invalid("needs names of tools", kName);
            }
            result.allowed.push_back(name);
        }
    } else if (choice.is_object()) {
        result.kind = Kind::named;
        result.name = chosen_name(choice);
        if (result.name.empty()) {
            return invalid("needs the name of a tool", kName);
        }
    } else {
        return invalid("unknown tool choice", kName);
    }
    return {};
}

// --- parameters -----------------------------------------------------------------------------

Status read_output(Value text, ir::Request &request) {
    if (text.is_unset()) {
        return {};
    }
    if (!text.is_object()) {
        return invalid("must be an object", "text");
    }
    LLM_TRY(read_text(text["verbosity"], "text.verbosity", request.verbosity));
    Value format = text["format"];
    if (format.is_unset() || format["type"].equals("text")) {
        return {};
    }
    ir::OutputFormat &output = request.output;
    if (format["type"].equals("json_object")) {
        output.kind = ir::OutputKind::json_object;
        return {};
    }
    if (!format["type"].equals("json_schema")) {
        return invalid("unknown format", "text.format");
    }
    output.kind = ir::OutputKind::json_schema;
    LLM_TRY(read_text(format["name"], "text.format.name", output.name));
    LLM_TRY(read_text(format["description"], "text.format.description", output.description));
    LLM_TRY(read_flag(format["strict"], "text.format.strict", output.strict));
    LLM_TRY(read_object(format["schema"], "text.format.schema", output.schema));
    if (output.schema.empty()) {
        return invalid("needs a schema", "text.format");
    }
    return {};
}

Status read_reasoning(Value reasoning, ir::Thinking &thinking) {
    if (reasoning.is_unset()) {
        return {};
    }
    if (!reasoning.is_object()) {
        return invalid("must be an object", "reasoning");
    }
    LLM_TRY(openai::read_effort(reasoning["effort"], "reasoning.effort", thinking));
    Value summary = reasoning["summary"];
    if (summary.is_unset()) {
        summary = reasoning["generate_summary"];  // its first name
    }
    if (!summary.is_unset() && !summary.is_string()) {
        return invalid("must be a string", "reasoning.summary");
    }
    if (summary.is_string() && !summary.equals("none")) {
        thinking.display = {"summarized"};
    }
    return {};
}

bool includes(Value include, std::string_view what) {
    for (Value entry : include.items()) {
        if (entry.equals(what)) {
            return true;
        }
    }
    return false;
}

Status read_parameters(Value root, ir::Request &request) {
    LLM_TRY(read_integer(root["max_output_tokens"], "max_output_tokens", request.max_tokens));
    LLM_TRY(read_number(root["temperature"], "temperature", request.temperature));
    LLM_TRY(read_number(root["top_p"], "top_p", request.top_p));
    LLM_TRY(read_output(root["text"], request));
    LLM_TRY(read_reasoning(root["reasoning"], request.thinking));
    LLM_TRY(read_text(root["user"], "user", request.user));
    LLM_TRY(read_text(root["service_tier"], "service_tier", request.service_tier));
    LLM_TRY(read_object(root["metadata"], "metadata", request.metadata));
    LLM_TRY(
        read_flag(root["parallel_tool_calls"], "parallel_tool_calls", request.parallel_tool_calls));
    Value include = root["include"];
    if (!include.is_unset() && !include.is_array()) {
        return invalid("must be an array", "include");
    }
    RawJson top_logprobs;
    LLM_TRY(read_integer(root["top_logprobs"], "top_logprobs", top_logprobs));
    request.logprobs = includes(include, "message.output_text.logprobs");
    if (request.logprobs) {
        request.top_logprobs = top_logprobs;
    }
    std::optional<bool> stream;
    LLM_TRY(read_flag(root["stream"], "stream", stream));
    request.stream = stream.value_or(false);
    request.usage_wanted = true;
    return {};
}

Status read_instructions(Value instructions, ir::Request &request) {
    JsonText text;
    LLM_TRY(read_text(instructions, "instructions", text));
    if (!text.empty()) {
        request.system.push_back({text});
        mark_instructions(request.system.back());
    }
    return {};
}

Status read_input(Value input, Arena &arena, ir::Request &request) {
    if (input.is_string()) {
        request.turns.emplace_back().parts.push_back({ir::Text{input.text()}});
        return {};
    }
    request.turns.reserve(input.size());
    InputReader reader(arena, request);
    for (Value item : input.items()) {
        LLM_TRY(reader.read(item));
    }
    return {};
}

}  // namespace

Result<Envelope> read_envelope(Value root) {
    if (!root.is_object()) {
        return invalid("the body must be a JSON object");
    }
    if (std::string_view twice = json::duplicate_key(root); !twice.empty()) {
        return invalid("a member is given twice", twice);
    }
    if (!root["model"].is_string()) {
        return invalid("model must be a string", "model");
    }
    if (Status status = check_input(root); !status) {
        return status.error();
    }
    if (Value stream = root["stream"]; !stream.is_unset() && !stream.is_bool()) {
        return invalid("must be a boolean", "stream");
    }
    Envelope envelope;
    envelope.model = root["model"].text();
    envelope.stream = root["stream"].is_true();
    envelope.usage_wanted = true;
    Value format = root["text"]["format"]["type"];
    envelope.is_structured = format.is_string() && !format.equals("text");
    envelope.has_tools = root["tools"].size() > 0;
    envelope.max_tokens = std::max<int64_t>(root["max_output_tokens"].as_int().value_or(0), 0);
    envelope.previous = root["previous_response_id"].text();
    envelope.keeps_answer = root["store"].is_unset() || root["store"].is_true();
    return envelope;
}

Status parse_request(Value root, Arena &arena, ir::Request &request) {
    if (!root.is_object()) {
        return invalid("the body must be a JSON object");
    }
    if (!root["model"].is_string()) {
        return invalid("model must be a string", "model");
    }
    LLM_TRY(check_input(root));
    request.dialect = DialectId::responses;
    request.model = root["model"].text();
    LLM_TRY(read_instructions(root["instructions"], request));
    LLM_TRY(read_input(root["input"], arena, request));
    LLM_TRY(read_tools(root["tools"], arena, request));
    LLM_TRY(read_tool_choice(root["tool_choice"], request.tool_choice));
    LLM_TRY(read_parameters(root, request));
    for (auto [key, value] : root.members()) {
        std::string_view name = json::unescape(key, arena);
        bool is_known = std::find(std::begin(kKnown), std::end(kKnown), name) != std::end(kKnown);
        if (!is_known && !value.is_null()) {
            request.extra.push_back({key, value.raw()});
        }
    }
    order_tool_calls(request, arena);
    return {};
}

}  // namespace llm::responses
