// Chat completions request body -> ir::Request, and the envelope that routing reads first.
//
// Entry points: read_envelope, parse_request. The body is already valid JSON; here every member
// that the IR models is checked for its type, and a wrong one is refused by name. Members nobody
// knows go to Request::extra. The messages are read in openai_messages_parse.cpp.
#include "translators/dialect/openai.hpp"

#include <algorithm>

#include "translators/dialect/openai_request.hpp"
#include "translators/dialect/tool_history.hpp"

namespace llm::openai {

namespace {

using json::Value;

// Members that parse_request understands; all others are `extra`.
constexpr std::string_view kKnown[] = {
    "model",
    "messages",
    "max_tokens",
    "max_completion_tokens",
    "temperature",
    "top_p",
    "top_k",
    "seed",
    "frequency_penalty",
    "presence_penalty",
    "logit_bias",
    "stop",
    "n",
    "logprobs",
    "top_logprobs",
    "tools",
    "tool_choice",
    "parallel_tool_calls",
    "functions",
    "function_call",
    "response_format",
    "reasoning_effort",
    "reasoning",
    "thinking",
    "verbosity",
    "service_tier",
    "user",
    "metadata",
    "cache_control",
    "stream",
    "stream_options",
};

// Providers take 128 of them; a few gateways a little more.
constexpr uint32_t kMaxTools = 1024;

Status check_messages(Value messages) {
    if (!messages.is_array() || messages.size() == 0) {
        return invalid("messages must be a non-empty array", "messages");
    }
    if (messages.size() > kMaxMessages) {
        return invalid("too many messages", "messages");
    }
    for (Value message : messages.items()) {
        if (!message.is_object()) {
            return invalid("each message must be an object", "messages");
        }
    }
    return {};
}

// --- tools ----------------------------------------------------------------------------------

Status read_function(Value function, ir::Tool &tool) {
    if (!function["name"].is_string() || function["name"].text().empty()) {
        return invalid("needs a name", "tools[].function.name");
    }
    tool.name = function["name"].text();
    LLM_TRY(read_text(function["description"], "tools[].function.description", tool.description));
    LLM_TRY(read_object(function["parameters"], "tools[].function.parameters", tool.schema));
    return read_flag(function["strict"], "tools[].function.strict", tool.strict);
}

Status read_tools(Value root, Arena &arena, ir::Request &request) {
    Value tools = root["tools"];
    Value functions = root["functions"];
    if (!tools.is_unset() && !tools.is_array()) {
        return invalid("must be an array", "tools");
    }
    if (!functions.is_unset() && !functions.is_array()) {
        return invalid("must be an array", "functions");
    }
    if (tools.size() > kMaxTools || functions.size() > kMaxTools) {
        return invalid("too many tools", "tools");
    }
    for (Value entry : tools.items()) {
        Value type = entry["type"];
        if (!type.is_string()) {
            return invalid("each tool needs a type", "tools[].type");
        }
        ir::Tool tool;
        tool.raw = entry.raw();
        tool.cache = cache_mark(entry);
        if (type.equals("function")) {
            LLM_TRY(read_function(entry["function"], tool));
            if (tool.cache.empty()) {
                tool.cache = cache_mark(entry["function"]);
            }
        } else if (type.equals("custom")) {
            tool.kind = ir::ToolKind::custom;
            LLM_TRY(read_function(entry["custom"], tool));
        } else {
            tool.kind = ir::ToolKind::server;
            tool.name = type.text();
        }
        request.tools.push_back(tool);
    }
    request.legacy_functions = tools.size() == 0 && functions.size() > 0;
    if (request.legacy_functions) {
        for (Value entry : functions.items()) {
            ir::Tool tool;
            tool.raw = entry.raw();
            LLM_TRY(read_function(entry, tool));
            request.tools.push_back(tool);
        }
    }

    std::vector<std::string_view> names;
    names.reserve(request.tools.size());
    for (const ir::Tool &tool : request.tools) {
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
    } else if (choice.equals("required") || choice.equals("any")) {
        result.kind = Kind::required;
    } else if (choice["type"].equals("function") || choice["type"].equals("custom")) {
        Value named = choice[choice["type"].equals("custom") ? "custom" : "function"];
        if (!named["name"].is_string()) {
            return invalid("needs the name of a tool", kName);
        }
        result.kind = Kind::named;
        result.name = named["name"].text();
    } else if (choice["type"].equals("allowed_tools")) {
        Value allowed = choice["allowed_tools"];
        result.kind = Kind::allowed;
        if (allowed["tools"].size() > kMaxTools) {
            return invalid("too many tools", kName);
        }
        result.allowed_required = allowed["mode"].equals("required");
        for (Value tool : allowed["tools"].items()) {
            Value named = tool[tool["type"].equals("custom") ? "custom" : "function"];
            if (!named["name"].is_string()) {
                return invalid("needs names of tools", kName);
            }
            result.allowed.push_back(named["name"].text());
        }
    } else {
        return invalid("unknown tool choice", kName);
    }
    return {};
}

Status read_function_call(Value choice, ir::ToolChoice &result) {
    if (choice.is_object()) {
        if (!choice["name"].is_string()) {
            return invalid("needs the name of a function", "function_call");
        }
        result.kind = ir::ToolChoiceKind::named;
        result.name = choice["name"].text();
        return {};
    }
    return read_tool_choice(choice, result);
}

// --- parameters -----------------------------------------------------------------------------

Status read_stop(Value stop, ir::Request &request) {
    if (stop.is_string()) {
        request.stop.push_back(stop.text());
        return {};
    }
    if (!stop.is_unset() && !stop.is_array()) {
        return invalid("must be a string or an array of strings", "stop");
    }
    for (Value entry : stop.items()) {
        if (!entry.is_string()) {
            return invalid("must be a string or an array of strings", "stop");
        }
        request.stop.push_back(entry.text());
    }
    return {};
}

Status read_output(Value format, ir::OutputFormat &output) {
    if (format.is_unset()) {
        return {};
    }
    if (format["type"].equals("json_object")) {
        output.kind = ir::OutputKind::json_object;
    } else if (format["type"].equals("json_schema")) {
        Value schema = format["json_schema"];
        output.kind = ir::OutputKind::json_schema;
        LLM_TRY(read_text(schema["name"], "response_format.json_schema.name", output.name));
        LLM_TRY(read_text(schema["description"], "response_format.json_schema.description",
                          output.description));
        LLM_TRY(read_flag(schema["strict"], "response_format.json_schema.strict", output.strict));
        LLM_TRY(read_object(schema["schema"], "response_format.json_schema.schema", output.schema));
        if (output.schema.empty()) {
            return invalid("needs a schema", "response_format.json_schema");
        }
    } else if (!format["type"].equals("text")) {
        return invalid("unknown response format", "response_format");
    }
    return {};
}

Status read_budget(Value value, std::string_view name, ir::Thinking &thinking) {
    if (value.is_unset()) {
        return {};
    }
    std::optional<int64_t> budget = value.as_int();
    if (!budget || *budget < 0) {
        return invalid("must be a number of tokens", name);
    }
    thinking.kind = ir::ThinkingKind::budget;
    thinking.budget = *budget;
    return {};
}

// reasoning_effort is the dialect's own; `reasoning` (OpenRouter) and `thinking` (as in messages,
// at DeepSeek, Z.ai and LiteLLM) say more where they are given and win.
Status read_thinking(Value root, ir::Thinking &thinking) {
    LLM_TRY(read_effort(root["reasoning_effort"], "reasoning_effort", thinking));
    if (Value reasoning = root["reasoning"]; reasoning.is_object()) {
        LLM_TRY(read_effort(reasoning["effort"], "reasoning.effort", thinking));
        LLM_TRY(read_budget(reasoning["max_tokens"], "reasoning.max_tokens", thinking));
        if (std::optional<bool> enabled = reasoning["enabled"].as_bool()) {
            if (!*enabled) {
                thinking.kind = ir::ThinkingKind::off;
            } else if (thinking.kind == ir::ThinkingKind::unset) {
                thinking.kind = ir::ThinkingKind::adaptive;
            }
        }
        if (reasoning["exclude"].is_true()) {
            thinking.display = {"omitted"};
        }
    }
    Value member = root["thinking"];
    if (member.is_unset()) {
        return {};
    }
    if (member["type"].equals("disabled")) {
        thinking.kind = ir::ThinkingKind::off;
        thinking.effort.reset();
    } else if (member["type"].equals("adaptive") || member["type"].equals("enabled")) {
        thinking.kind = ir::ThinkingKind::adaptive;
        LLM_TRY(read_budget(member["budget_tokens"], "thinking.budget_tokens", thinking));
    } else {
        return invalid("unknown type of thinking", "thinking");
    }
    return read_text(member["display"], "thinking.display", thinking.display);
}

Status read_parameters(Value root, ir::Request &request) {
    LLM_TRY(read_integer(root["max_tokens"], "max_tokens", request.max_tokens));
    LLM_TRY(
        read_integer(root["max_completion_tokens"], "max_completion_tokens", request.max_tokens));
    LLM_TRY(read_number(root["temperature"], "temperature", request.temperature));
    LLM_TRY(read_number(root["top_p"], "top_p", request.top_p));
    LLM_TRY(read_integer(root["top_k"], "top_k", request.top_k));
    LLM_TRY(read_number(root["seed"], "seed", request.seed));
    LLM_TRY(read_number(root["frequency_penalty"], "frequency_penalty", request.frequency_penalty));
    LLM_TRY(read_number(root["presence_penalty"], "presence_penalty", request.presence_penalty));
    LLM_TRY(read_object(root["logit_bias"], "logit_bias", request.logit_bias));
    LLM_TRY(read_stop(root["stop"], request));
    if (Value n = root["n"]; !n.is_unset()) {
        std::optional<int64_t> count = n.as_int();
        if (!count || *count < 1 || *count > 128) {
            return invalid("must be an integer from 1 to 128", "n");
        }
        request.n = *count;
    }
    std::optional<bool> logprobs;
    LLM_TRY(read_flag(root["logprobs"], "logprobs", logprobs));
    request.logprobs = logprobs.value_or(false);
    LLM_TRY(read_integer(root["top_logprobs"], "top_logprobs", request.top_logprobs));
    LLM_TRY(read_output(root["response_format"], request.output));
    LLM_TRY(read_thinking(root, request.thinking));
    LLM_TRY(read_text(root["verbosity"], "verbosity", request.verbosity));
    LLM_TRY(read_text(root["service_tier"], "service_tier", request.service_tier));
    LLM_TRY(read_text(root["user"], "user", request.user));
    LLM_TRY(read_object(root["metadata"], "metadata", request.metadata));
    request.cache = cache_mark(root);
    std::optional<bool> stream;
    LLM_TRY(read_flag(root["stream"], "stream", stream));
    request.stream = stream.value_or(false);
    request.usage_wanted = root["stream_options"]["include_usage"].is_true();
    return read_flag(root["parallel_tool_calls"], "parallel_tool_calls",
                     request.parallel_tool_calls);
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
    if (Status status = check_messages(root["messages"]); !status) {
        return status.error();
    }
    if (Value stream = root["stream"]; !stream.is_unset() && !stream.is_bool()) {
        return invalid("must be a boolean", "stream");
    }
    Envelope envelope;
    envelope.model = root["model"].text();
    envelope.stream = root["stream"].is_true();
    envelope.usage_wanted = root["stream_options"]["include_usage"].is_true();
    Value format = root["response_format"]["type"];
    envelope.is_structured = format.is_string() && !format.equals("text");
    envelope.has_tools = root["tools"].size() > 0 || root["functions"].size() > 0;
    for (std::string_view name : {"max_completion_tokens", "max_tokens"}) {
        if (int64_t limit = root[name].as_int().value_or(0); limit > 0) {
            envelope.max_tokens = limit;
            break;
        }
    }
    envelope.answers = std::max<int64_t>(root["n"].as_int().value_or(1), 1);
    return envelope;
}

Status parse_request(Value root, Arena &arena, ir::Request &request) {
    if (!root.is_object()) {
        return invalid("the body must be a JSON object");
    }
    if (!root["model"].is_string()) {
        return invalid("model must be a string", "model");
    }
    LLM_TRY(check_messages(root["messages"]));
    request.dialect = DialectId::openai;
    request.model = root["model"].text();
    request.turns.reserve(root["messages"].size());
    MessageReader messages(arena, request);
    for (Value message : root["messages"].items()) {
        LLM_TRY(messages.read(message));
    }
    LLM_TRY(read_tools(root, arena, request));
    LLM_TRY(request.legacy_functions
                ? read_function_call(root["function_call"], request.tool_choice)
                : read_tool_choice(root["tool_choice"], request.tool_choice));
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

}  // namespace llm::openai
