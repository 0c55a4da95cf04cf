// The body of POST /models/{model}:generateContent as an ir::Request. The model and whether it is
// a stream stand in the path, so neither is read here. Every member is taken in camelCase and in
// snake_case; a member of a wrong type is Errc::invalid_request naming it; null counts as absent.
//
// What the IR does not model is kept in Request::extra under its path: "safetySettings",
// "generationConfig.speechConfig", "toolConfig.retrievalConfig". A countTokens body may hold the
// whole request in generateContentRequest.
#include "translators/dialect/gemini_request.hpp"

#include <algorithm>
#include <cstring>

#include "translators/core/base64.hpp"
#include "translators/dialect/gemini.hpp"
#include "translators/dialect/opaque_tag.hpp"
#include "translators/dialect/tool_history.hpp"

namespace llm::gemini {

namespace {

using json::Value;

// Google takes 128 of them, newer models 512.
constexpr uint32_t kMaxTools = 1024;

// What parse_request understands; all else is `extra`.
constexpr std::string_view kKnown[] = {"contents",   "systemInstruction", "tools",
                                       "toolConfig", "generationConfig",  "model"};
constexpr std::string_view kKnownConfig[] = {
    "temperature",
    "topP",
    "topK",
    "maxOutputTokens",
    "candidateCount",
    "stopSequences",
    "seed",
    "presencePenalty",
    "frequencyPenalty",
    "responseMimeType",
    "responseSchema",
    "responseJsonSchema",
    "_responseJsonSchema",
    "responseLogprobs",
    "logprobs",
    "thinkingConfig",
};
constexpr std::string_view kKnownToolConfig[] = {"functionCallingConfig"};

template <size_t kSize>
bool is_known(JsonText key, const std::string_view (&names)[kSize]) {
    return std::any_of(std::begin(names), std::end(names),
                       [key](std::string_view name) { return is_member(key, name); });
}

// "generation_config" as "generationConfig", with what stands before it.
JsonText path_of(std::string_view prefix, JsonText key, Arena &arena) {
    std::string name(prefix);
    bool is_start = false;
    for (char c : json::unescape(key, arena)) {
        if (c == '_' && name.size() > prefix.size()) {
            is_start = true;
            continue;
        }
        name += is_start && c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c;
        is_start = false;
    }
    return json::escape(arena.copy(name), arena);
}

template <size_t kSize>
void keep_unknown(Value object, std::string_view prefix, const std::string_view (&known)[kSize],
                  Arena &arena, ir::Request &request) {
    for (auto [key, value] : object.members()) {
        if (!value.is_null() && !is_known(key, known)) {
            request.extra.push_back({path_of(prefix, key, arena), value.raw()});
        }
    }
}

Status read_object(Value value, std::string_view name) {
    if (!value.is_unset() && !value.is_object()) {
        return invalid("must be an object", name);
    }
    return {};
}

// Enumerations: their names, in any case.
bool is_enum(Value value, std::string_view upper) {
    std::string_view text = value.text().bytes;
    return text.size() == upper.size() &&
           std::equal(text.begin(), text.end(), upper.begin(), [](char c, char of_upper) {
               return (c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c) == of_upper;
           });
}

Value request_of(Value root) {
    Value wrapped = member(root, "generateContentRequest");
    return wrapped.is_object() ? wrapped : root;
}

// --- tools ----------------------------------------------------------------------------------

Status read_declaration(Value declaration, Arena &arena, ir::Request &request) {
    ir::Tool tool;
    tool.dialect = DialectId::gemini;
    tool.raw = declaration.raw();
    Value name = declaration.find("name");
    if (!name.is_string() || name.text().empty()) {
        return invalid("every function must have a name", "tools.functionDeclarations.name");
    }
    tool.name = name.text();
    LLM_TRY(read_text(declaration.find("description"), "tools.functionDeclarations.description",
                      tool.description));
    Value schema = member(declaration, "parametersJsonSchema");
    schema = schema.is_unset() ? declaration.find("parameters") : schema;
    LLM_TRY(read_object(schema, "tools.functionDeclarations.parameters"));
    if (schema.is_object()) {
        tool.schema = to_json_schema(schema, arena);
    }
    request.tools.push_back(tool);
    return {};
}

// A tool of Google's own: `{"googleSearch":{}}`, also where it shares an element with others.
ir::Tool server_tool(Value element, json::Member own, Arena &arena) {
    ir::Tool tool;
    tool.kind = ir::ToolKind::server;
    tool.dialect = DialectId::gemini;
    tool.name = path_of({}, own.key, arena);
    tool.raw = element.raw();
    if (element.size() > 1) {
        std::string raw("{\"");
        raw.append(own.key.bytes).append("\":").append(own.value.raw().bytes).append("}");
        tool.raw = {arena.copy(raw)};
    }
    return tool;
}

Status read_tools(Value tools, Arena &arena, ir::Request &request) {
    constexpr std::string_view kFunctions = "tools.functionDeclarations";
    if (tools.is_unset()) {
        return {};
    }
    if (!tools.is_array()) {
        return invalid("must be an array", "tools");
    }
    for (Value element : tools.items()) {
        if (!element.is_object()) {
            return invalid("every tool must be an object", "tools");
        }
        for (json::Member own : element.members()) {
            if (own.value.is_null()) {
                continue;
            }
            if (!is_member(own.key, "functionDeclarations")) {
                request.tools.push_back(server_tool(element, own, arena));
                continue;
            }
            if (!own.value.is_array()) {
                return invalid("must be an array", kFunctions);
            }
            for (Value declaration : own.value.items()) {
                if (!declaration.is_object()) {
                    return invalid("every function must be an object", kFunctions);
                }
                LLM_TRY(read_declaration(declaration, arena, request));
            }
        }
        if (request.tools.size() > kMaxTools) {
            return invalid("too many tools", "tools");
        }
    }
    std::vector<std::string_view> names;
    for (const ir::Tool &tool : request.tools) {
        if (tool.kind == ir::ToolKind::function) {
            names.push_back(json::unescape(tool.name, arena));
        }
    }
    std::sort(names.begin(), names.end());
    if (std::adjacent_find(names.begin(), names.end()) != names.end()) {
        return invalid("two functions have the same name", kFunctions);
    }
    return {};
}

Status read_tool_config(Value config, Arena &arena, ir::Request &request) {
    constexpr std::string_view kName = "toolConfig.functionCallingConfig";
    using Kind = ir::ToolChoiceKind;
    LLM_TRY(read_object(config, "toolConfig"));
    keep_unknown(config, "toolConfig.", kKnownToolConfig, arena, request);
    Value calling = member(config, "functionCallingConfig");
    LLM_TRY(read_object(calling, kName));
    Value mode = calling.find("mode");
    if (mode.is_unset()) {
        return {};
    }
    ir::ToolChoice &choice = request.tool_choice;
    Value allowed = member(calling, "allowedFunctionNames");
    if (!allowed.is_unset() && !allowed.is_array()) {
        return invalid("must be an array of names", "toolConfig.functionCallingConfig");
    }
    std::vector<JsonText> names;
    for (Value name : allowed.items()) {
        if (!name.is_string() || names.size() >= kMaxTools) {
            return invalid("must be an array of names", kName);
        }
        names.push_back(name.text());
    }
    if (is_enum(mode, "AUTO")) {
        choice.kind = Kind::automatic;
    } else if (is_enum(mode, "NONE")) {
        choice.kind = Kind::none;
    } else if (is_enum(mode, "ANY") && names.size() == 1) {
        choice.kind = Kind::named;
        choice.name = names[0];
    } else if (is_enum(mode, "ANY") || is_enum(mode, "VALIDATED")) {
        bool is_any = is_enum(mode, "ANY");
        if (names.empty()) {
            choice.kind = is_any ? Kind::required : Kind::automatic;
        } else {
            choice.kind = Kind::allowed;
            choice.allowed = std::move(names);
            choice.allowed_required = is_any;
        }
    } else if (!is_enum(mode, "MODE_UNSPECIFIED")) {
        return invalid("must be AUTO, ANY, NONE or VALIDATED", kName);
    }
    return {};
}

// --- generationConfig -----------------------------------------------------------------------

Status read_thinking(Value config, ir::Thinking &thinking) {
    LLM_TRY(read_object(config, "generationConfig.thinkingConfig"));
    Value level = member(config, "thinkingLevel");
    Value budget = member(config, "thinkingBudget");
    if (std::optional<bool> shown = member(config, "includeThoughts").as_bool()) {
        thinking.display = {*shown ? "summarized" : "omitted"};
    }
    if (!budget.is_unset()) {
        std::optional<int64_t> tokens = budget.as_int();
        if (!tokens || *tokens < -1) {
            return invalid("must be a number of tokens, 0 or -1",
                           "generationConfig.thinkingConfig.thinkingBudget");
        }
        thinking.kind = *tokens == 0  ? ir::ThinkingKind::off
                        : *tokens < 0 ? ir::ThinkingKind::adaptive
                                      : ir::ThinkingKind::budget;
        thinking.budget = *tokens > 0 ? *tokens : 0;
    }
    if (level.is_unset() || is_enum(level, "THINKING_LEVEL_UNSPECIFIED")) {
        return {};
    }
    constexpr struct {
        std::string_view name;
        ir::Effort effort;
    } kLevels[] = {{"MINIMAL", ir::Effort::minimal},
                   {"LOW", ir::Effort::low},
                   {"MEDIUM", ir::Effort::medium},
                   {"HIGH", ir::Effort::high}};
    for (const auto &row : kLevels) {
        if (is_enum(level, row.name)) {
            thinking.kind = ir::ThinkingKind::effort;
            thinking.effort = row.effort;
            return {};
        }
    }
    return invalid("must be MINIMAL, LOW, MEDIUM or HIGH",
                   "generationConfig.thinkingConfig.thinkingLevel");
}

Status read_output(Value config, Arena &arena, ir::Request &request) {
    Value mime = member(config, "responseMimeType");
    Value schema = member(config, "responseJsonSchema");
    schema = schema.is_unset() ? config.find("_responseJsonSchema") : schema;
    schema = schema.is_unset() ? member(config, "responseSchema") : schema;
    JsonText type;
    LLM_TRY(read_text(mime, "generationConfig.responseMimeType", type));
    LLM_TRY(read_object(schema, "generationConfig.responseSchema"));
    bool is_json = mime.equals("application/json");
    if (!is_json && !mime.is_unset() && !mime.equals("text/plain")) {
        // text/x.enum: the answer is one of the words of the schema, bare. Nobody else has it.
        request.extra.push_back({{"generationConfig.responseMimeType"}, mime.raw()});
        if (schema.is_object()) {
            request.extra.push_back({{"generationConfig.responseSchema"}, schema.raw()});
        }
        return {};
    }
    if (schema.is_object()) {
        request.output.kind = ir::OutputKind::json_schema;
        request.output.strict = false;  // members may be optional, as nowhere in strict schemas
        request.output.schema = to_json_schema(schema, arena);
    } else if (is_json) {
        request.output.kind = ir::OutputKind::json_object;
    }
    return {};
}

Status read_stop(Value stop, ir::Request &request) {
    constexpr std::string_view kName = "generationConfig.stopSequences";
    if (!stop.is_unset() && !stop.is_array()) {
        return invalid("must be an array of strings", kName);
    }
    for (Value entry : stop.items()) {
        if (!entry.is_string()) {
            return invalid("must be an array of strings", kName);
        }
        request.stop.push_back(entry.text());
    }
    return {};
}

Status read_config(Value config, Arena &arena, ir::Request &request) {
    LLM_TRY(read_object(config, "generationConfig"));
    auto number = [&](std::string_view path, RawJson &out) {
        return read_number(member(config, path.substr(path.find('.') + 1)), path, out);
    };
    LLM_TRY(number("generationConfig.temperature", request.temperature));
    LLM_TRY(number("generationConfig.topP", request.top_p));
    LLM_TRY(number("generationConfig.topK", request.top_k));
    LLM_TRY(number("generationConfig.maxOutputTokens", request.max_tokens));
    LLM_TRY(number("generationConfig.seed", request.seed));
    LLM_TRY(number("generationConfig.presencePenalty", request.presence_penalty));
    LLM_TRY(number("generationConfig.frequencyPenalty", request.frequency_penalty));
    LLM_TRY(number("generationConfig.logprobs", request.top_logprobs));
    request.logprobs = member(config, "responseLogprobs").is_true();
    if (Value count = member(config, "candidateCount"); !count.is_unset()) {
        std::optional<int64_t> n = count.as_int();
        if (!n || *n < 1 || *n > 128) {
            return invalid("must be an integer from 1 to 128", "generationConfig.candidateCount");
        }
        request.n = *n;
    }
    LLM_TRY(read_stop(member(config, "stopSequences"), request));
    LLM_TRY(read_output(config, arena, request));
    LLM_TRY(read_thinking(member(config, "thinkingConfig"), request.thinking));
    keep_unknown(config, "generationConfig.", kKnownConfig, arena, request);
    return {};
}

std::string_view base64_tagged(JsonText sent, Arena &arena) {
    // Base64 of "gw1." and whatever follows begins like this.
    if (!sent.bytes.starts_with("Z3cxL")) {
        return {};
    }
    std::optional<std::string_view> plain =
        decode_strict_base64(json::unescape(sent, arena), arena);
    return plain.value_or(std::string_view());
}

}  // namespace

// --- members --------------------------------------------------------------------------------

bool is_member(JsonText key, std::string_view camel) {
    if (key.bytes == camel) {
        return true;
    }
    std::string_view name = key.bytes;
    size_t at = 0;
    for (char c : camel) {
        bool is_capital = c >= 'A' && c <= 'Z';
        if (is_capital) {
            if (at >= name.size() || name[at++] != '_') {
                return false;
            }
            c = static_cast<char>(c + 32);
        }
        if (at >= name.size() || name[at++] != c) {
            return false;
        }
    }
    return at == name.size();
}

Value member(Value object, std::string_view camel) {
    Value found = object.find(camel);
    if (!found.absent()) {
        return found;
    }
    char snake[64];
    size_t size = 0;
    for (char c : camel) {
        if (size + 2 > sizeof snake) {
            return {};
        }
        bool is_capital = c >= 'A' && c <= 'Z';
        if (is_capital) {
            snake[size++] = '_';
        }
        snake[size++] = is_capital ? static_cast<char>(c + 32) : c;
    }
    return size == camel.size() ? found : object.find({snake, size});
}

Status read_text(Value value, std::string_view name, JsonText &out) {
    if (value.is_unset()) {
        return {};
    }
    if (!value.is_string()) {
        return invalid("must be a string", name);
    }
    out = value.text();
    return {};
}

Status read_number(Value value, std::string_view name, RawJson &out) {
    if (value.is_unset()) {
        return {};
    }
    if (!value.is_number()) {
        return invalid("must be a number", name);
    }
    out = value.raw();
    return {};
}

ir::Reasoning read_signature(JsonText sent, Arena &arena) {
    ir::Reasoning reasoning;
    std::string_view tagged = base64_tagged(sent, arena);
    JsonText text = tagged.empty() ? sent : json::escape(tagged, arena);
    TaggedOpaque opaque = read_opaque(text, DialectId::gemini);
    reasoning.origin = opaque.origin;
    if (opaque.origin != DialectId::gemini && opaque.data.bytes.starts_with(kRedactedMark)) {
        reasoning.is_redacted = true;
        reasoning.redacted.bytes = opaque.data.bytes.substr(kRedactedMark.size());
    } else {
        reasoning.signature = opaque.data;
    }
    return reasoning;
}

bool is_foreign_signature(JsonText sent, Arena &arena) {
    return read_signature(sent, arena).origin != DialectId::gemini;
}

bool is_reasoning_wanted(const ir::Request &request) {
    return json::equals(request.thinking.display, "summarized");
}

// --- entry points ---------------------------------------------------------------------------

Result<Envelope> read_envelope(Value root) {
    if (!root.is_object()) {
        return invalid("the body must be a JSON object");
    }
    if (std::string_view twice = json::duplicate_key(root); !twice.empty()) {
        return invalid("a member is given twice", twice);
    }
    Value request = request_of(root);
    Value contents = request.find("contents");
    bool has_contents = (contents.is_array() && contents.size() > 0) ||
                        (contents.is_object() && contents.size() > 0) || contents.is_string();
    if (!has_contents) {
        return invalid("contents is required", "contents");
    }
    if (contents.is_array() && contents.size() > kMaxMessages) {
        return invalid("too many contents", "contents");
    }
    Envelope envelope;  // its model and stream come from the path
    Value config = member(request, "generationConfig");
    envelope.is_structured = member(config, "responseMimeType").equals("application/json") ||
                             member(config, "responseSchema").is_object() ||
                             member(config, "responseJsonSchema").is_object();
    envelope.has_tools = request.find("tools").size() > 0;
    int64_t limit = member(config, "maxOutputTokens").as_int().value_or(0);
    envelope.max_tokens = limit > 0 ? limit : 0;
    int64_t candidates = member(config, "candidateCount").as_int().value_or(1);
    envelope.answers = std::max<int64_t>(candidates, 1);
    envelope.usage_wanted = true;
    return envelope;
}

Status parse_request(Value root, Arena &arena, ir::Request &request) {
    if (!root.is_object()) {
        return invalid("the body must be a JSON object");
    }
    root = request_of(root);
    request.dialect = DialectId::gemini;
    request.usage_wanted = true;
    LLM_TRY(read_text(root.find("model"), "model", request.model));
    LLM_TRY(read_system(member(root, "systemInstruction"), request));
    LLM_TRY(read_contents(root.find("contents"), arena, request));
    LLM_TRY(read_tools(root.find("tools"), arena, request));
    LLM_TRY(read_tool_config(member(root, "toolConfig"), arena, request));
    LLM_TRY(read_config(member(root, "generationConfig"), arena, request));
    keep_unknown(root, {}, kKnown, arena, request);
    order_tool_calls(request, arena);
    return {};
}

}  // namespace llm::gemini
