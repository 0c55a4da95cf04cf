// The body of POST /messages as an ir::Request. read_envelope() checks what routing needs and what
// no provider would take; parse_request() reads every member and block. Text and raw JSON stay
// views into the body. A member of a wrong type is Errc::invalid_request naming the member; one
// that is null counts as absent; one that nobody knows is kept in Request::extra. Blocks that only
// this dialect has (server tools, references, compaction) are kept whole as Opaque.
#include <algorithm>
#include <array>
#include <string_view>

#include "translators/dialect/anthropic.hpp"
#include "translators/dialect/opaque_tag.hpp"
#include "translators/dialect/tool_history.hpp"

namespace llm::anthropic {

namespace {

using json::Value;

constexpr uint32_t kMaxMessages = 8192;

constexpr std::array<std::string_view, 17> kKnownMembers = {
    "model",         "messages",       "max_tokens", "system",       "temperature", "top_p",
    "top_k",         "stop_sequences", "tools",      "tool_choice",  "thinking",    "output_config",
    "output_format", "cache_control",  "metadata",   "service_tier", "stream",
};

bool is_known_member(JsonText key) {
    for (std::string_view name : kKnownMembers) {
        if (json::equals(key, name)) {
            return true;
        }
    }
    return false;
}

Status read_string(Value value, std::string_view param, JsonText &into) {
    if (value.is_unset()) {
        return {};
    }
    if (!value.is_string()) {
        return invalid("must be a string", param);
    }
    into = value.text();
    return {};
}

Status read_number(Value value, std::string_view param, RawJson &into) {
    if (value.is_unset()) {
        return {};
    }
    if (!value.is_number()) {
        return invalid("must be a number", param);
    }
    into = value.raw();
    return {};
}

Status read_bool(Value value, std::string_view param, bool &into) {
    if (value.is_unset()) {
        return {};
    }
    if (!value.is_bool()) {
        return invalid("must be a boolean", param);
    }
    into = value.is_true();
    return {};
}

Status read_object(Value value, std::string_view param, RawJson &into) {
    if (value.is_unset()) {
        return {};
    }
    if (!value.is_object()) {
        return invalid("must be an object", param);
    }
    into = value.raw();
    return {};
}

// --- content --------------------------------------------------------------------------------

enum class Where : uint8_t { turn, tool_result };

class ContentParser {
  public:
    explicit ContentParser(Arena &arena) : arena_(arena) {}

    // A string or an array of blocks.
    Status content(Value value, Where where, std::vector<ir::Part> &parts) {
        if (value.is_string()) {
            parts.push_back({ir::Text{value.text(), {}, {}}});
            return {};
        }
        if (!value.is_array()) {
            return invalid("must be a string or an array of content blocks", "messages.content");
        }
        parts.reserve(parts.size() + value.size());
        for (Value block : value.items()) {
            LLM_TRY(this->block(block, where, parts));
        }
        return {};
    }

  private:
    Status block(Value block, Where where, std::vector<ir::Part> &parts) {
        Value type = block.find("type");
        if (!block.is_object() || !type.is_string()) {
            return invalid("every content block must be an object with a type",
                           "messages.content.type");
        }
        RawJson cache;
        LLM_TRY(read_object(block.find("cache_control"), "messages.content.cache_control", cache));
        if (type.equals("text")) {
            if (!block.find("text").is_string()) {
                return invalid("must be a string", "messages.content.text");
            }
            RawJson citations;
            if (block.find("citations").is_array()) {
                citations = block.find("citations").raw();
            }
            parts.push_back({ir::Text{block.find("text").text(), cache, citations}});
            return {};
        }
        if (type.equals("image")) {
            ir::Image image;
            image.cache = cache;
            LLM_TRY(source(block.find("source"), image.source));
            parts.push_back({image});
            return {};
        }
        if (type.equals("document")) {
            return document(block, cache, parts);
        }
        if (type.equals("search_result")) {
            return search_result(block, cache, parts);
        }
        if (where == Where::turn) {
            if (type.equals("tool_use")) {
                return tool_use(block, cache, parts);
            }
            if (type.equals("tool_result")) {
                return tool_result(block, cache, parts);
            }
            if (type.equals("thinking")) {
                return thinking(block, parts);
            }
            if (type.equals("redacted_thinking")) {
                ir::Reasoning reasoning;
                reasoning.is_redacted = true;
                JsonText data;
                LLM_TRY(read_string(block.find("data"), "messages.content.data", data));
                TaggedOpaque opaque = read_opaque(data, DialectId::anthropic);
                reasoning.origin = opaque.origin;
                reasoning.redacted = opaque.data;
                parts.push_back({reasoning});
                return {};
            }
        }
        parts.push_back({ir::Opaque{DialectId::anthropic, type.text(), block.raw()}});
        return {};
    }

    Status source(Value source, ir::Source &into) {
        constexpr std::string_view kParam = "messages.content.source";
        Value type = source.find("type");
        if (!source.is_object() || !type.is_string()) {
            return invalid("must be an object with a type", kParam);
        }
        LLM_TRY(read_string(source.find("media_type"), "messages.content.source.media_type",
                            into.mime));
        std::string_view member = "data";
        if (type.equals("base64")) {
            into.kind = ir::SourceKind::base64;
        } else if (type.equals("url")) {
            into.kind = ir::SourceKind::url;
            member = "url";
        } else if (type.equals("file")) {
            into.kind = ir::SourceKind::file_id;
            member = "file_id";
        } else if (type.equals("text")) {
            into.kind = ir::SourceKind::text;
        } else if (type.equals("content")) {
            into.kind = ir::SourceKind::blocks;
            Value content = source.find("content");
            if (!content.is_array() && !content.is_string()) {
                return invalid("must be a string or an array", "messages.content.source.content");
            }
            into.blocks = content.raw();
            return {};
        } else {
            return invalid("unknown kind of source", "messages.content.source.type");
        }
        if (!source.find(member).is_string()) {
            return invalid("the source has no data of its kind", kParam);
        }
        into.data = source.find(member).text();
        return {};
    }

    Status document(Value block, RawJson cache, std::vector<ir::Part> &parts) {
        ir::Document document;
        document.cache = cache;
        LLM_TRY(source(block.find("source"), document.source));
        LLM_TRY(read_string(block.find("title"), "messages.content.title", document.title));
        LLM_TRY(read_string(block.find("context"), "messages.content.context", document.context));
        LLM_TRY(
            read_object(block.find("citations"), "messages.content.citations", document.citations));
        parts.push_back({document});
        return {};
    }

    // As text: its title and source as a heading, then its texts. No other dialect has the block.
    Status search_result(Value block, RawJson cache, std::vector<ir::Part> &parts) {
        JsonText title;
        JsonText source;
        LLM_TRY(read_string(block.find("title"), "messages.content.title", title));
        LLM_TRY(read_string(block.find("source"), "messages.content.source", source));
        size_t size = title.bytes.size() + source.bytes.size() + 8;
        for (Value item : block.find("content").items()) {
            size += item.find("text").text().bytes.size() + 2;
        }
        char *start = arena_.allocate(size);
        char *end = start;
        auto append = [&end](std::string_view bytes) {
            if (!bytes.empty()) {
                memcpy(end, bytes.data(), bytes.size());
                end += bytes.size();
            }
        };
        append(title.bytes);
        if (!source.empty()) {
            append(title.empty() ? "(" : " (");
            append(source.bytes);
            append(")");
        }
        for (Value item : block.find("content").items()) {
            append("\\n");
            append(item.find("text").text().bytes);
        }
        size_t used = static_cast<size_t>(end - start);
        arena_.shrink_last(start, used);
        parts.push_back({ir::Text{JsonText{{start, used}}, cache, {}}});
        return {};
    }

    Status tool_use(Value block, RawJson cache, std::vector<ir::Part> &parts) {
        ir::ToolCall call;
        call.cache = cache;
        if (!block.find("id").is_string() || block.find("id").text().empty()) {
            return invalid("must be a string", "messages.content.id");
        }
        if (!block.find("name").is_string() || block.find("name").text().empty()) {
            return invalid("must be a string", "messages.content.name");
        }
        RawJson input;
        LLM_TRY(read_object(block.find("input"), "messages.content.input", input));
        call.id = block.find("id").text();
        call.name = block.find("name").text();
        call.arguments = input.empty() ? std::string_view("{}") : input.bytes;
        parts.push_back({call});
        return {};
    }

    Status tool_result(Value block, RawJson cache, std::vector<ir::Part> &parts) {
        ir::ToolResult result;
        result.cache = cache;
        if (!block.find("tool_use_id").is_string()) {
            return invalid("must be a string", "messages.content.tool_use_id");
        }
        result.call_id = block.find("tool_use_id").text();
        LLM_TRY(read_bool(block.find("is_error"), "messages.content.is_error", result.is_error));
        if (!block.find("content").is_unset()) {
            LLM_TRY(content(block.find("content"), Where::tool_result, result.parts));
        }
        parts.push_back({std::move(result)});
        return {};
    }

    Status thinking(Value block, std::vector<ir::Part> &parts) {
        ir::Reasoning reasoning;
        LLM_TRY(read_string(block.find("thinking"), "messages.content.thinking", reasoning.text));
        JsonText signature;
        LLM_TRY(read_string(block.find("signature"), "messages.content.signature", signature));
        TaggedOpaque opaque = read_opaque(signature, DialectId::anthropic);
        reasoning.origin = opaque.origin;
        reasoning.signature = opaque.data;
        parts.push_back({reasoning});
        return {};
    }

    Arena &arena_;
};

// --- top level ------------------------------------------------------------------------------

Status parse_system(Value system, ir::Request &request) {
    if (system.is_unset()) {
        return {};
    }
    if (system.is_string()) {
        request.system.push_back({system.text(), {}, {}});
        return {};
    }
    if (!system.is_array()) {
        return invalid("must be a string or an array of text blocks", "system");
    }
    for (Value block : system.items()) {
        if (!block.find("type").equals("text") || !block.find("text").is_string()) {
            return invalid("must hold text blocks only", "system");
        }
        ir::Text text;
        text.text = block.find("text").text();
        LLM_TRY(read_object(block.find("cache_control"), "system.cache_control", text.cache));
        request.system.push_back(text);
    }
    return {};
}

Status parse_messages(Value messages, Arena &arena, ir::Request &request) {
    if (!messages.is_array() || messages.size() == 0) {
        return invalid("must be an array with at least one message", "messages");
    }
    ContentParser parser(arena);
    for (Value message : messages.items()) {
        if (!message.is_object()) {
            return invalid("every message must be an object", "messages");
        }
        Value role = message.find("role");
        ir::Turn turn;
        if (role.equals("user")) {
            turn.role = ir::Role::user;
        } else if (role.equals("assistant")) {
            turn.role = ir::Role::assistant;
        } else if (role.equals("system")) {
            turn.role = ir::Role::system;
        } else {
            return invalid("must be user, assistant or system", "messages.role");
        }
        LLM_TRY(parser.content(message.find("content"), Where::turn, turn.parts));
        if (turn.role == ir::Role::system && request.turns.empty()) {
            for (const ir::Part &part : turn.parts) {
                if (const ir::Text *text = std::get_if<ir::Text>(&part.is)) {
                    request.system.push_back(*text);
                }
            }
            continue;
        }
        request.turns.push_back(std::move(turn));
    }
    return {};
}

Status parse_tools(Value tools, ir::Request &request) {
    if (tools.is_unset()) {
        return {};
    }
    if (!tools.is_array()) {
        return invalid("must be an array", "tools");
    }
    request.tools.reserve(tools.size());
    for (Value item : tools.items()) {
        if (!item.is_object()) {
            return invalid("every tool must be an object", "tools");
        }
        ir::Tool tool;
        tool.dialect = DialectId::anthropic;
        tool.raw = item.raw();
        Value type = item.find("type");
        JsonText type_name;
        LLM_TRY(read_string(type, "tools.type", type_name));
        bool is_server = !type.is_unset() && !type.equals("custom");
        tool.kind = is_server ? ir::ToolKind::server : ir::ToolKind::function;
        LLM_TRY(read_string(item.find("name"), "tools.name", tool.name));
        if (!is_server && tool.name.empty()) {
            return invalid("every tool must have a name", "tools.name");
        }
        LLM_TRY(read_string(item.find("description"), "tools.description", tool.description));
        LLM_TRY(read_object(item.find("cache_control"), "tools.cache_control", tool.cache));
        if (!is_server) {
            LLM_TRY(read_object(item.find("input_schema"), "tools.input_schema", tool.schema));
            if (!item.find("strict").is_unset()) {
                bool strict = false;
                LLM_TRY(read_bool(item.find("strict"), "tools.strict", strict));
                tool.strict = strict;
            }
        }
        request.tools.push_back(tool);
    }
    return {};
}

Status parse_tool_choice(Value choice, ir::Request &request) {
    if (choice.is_unset()) {
        return {};
    }
    Value type = choice.find("type");
    if (!choice.is_object() || !type.is_string()) {
        return invalid("must be an object with a type", "tool_choice");
    }
    ir::ToolChoice &into = request.tool_choice;
    if (type.equals("auto")) {
        into.kind = ir::ToolChoiceKind::automatic;
    } else if (type.equals("none")) {
        into.kind = ir::ToolChoiceKind::none;
    } else if (type.equals("any")) {
        into.kind = ir::ToolChoiceKind::required;
    } else if (type.equals("tool")) {
        into.kind = ir::ToolChoiceKind::named;
        LLM_TRY(read_string(choice.find("name"), "tool_choice.name", into.name));
        if (into.name.empty()) {
            return invalid("names no tool", "tool_choice.name");
        }
    } else {
        return invalid("must be auto, any, tool or none", "tool_choice.type");
    }
    Value one_only = choice.find("disable_parallel_tool_use");
    if (!one_only.is_unset()) {
        bool is_disabled = false;
        LLM_TRY(read_bool(one_only, "tool_choice.disable_parallel_tool_use", is_disabled));
        request.parallel_tool_calls = !is_disabled;
    }
    return {};
}

Status parse_thinking(Value thinking, ir::Request &request) {
    if (thinking.is_unset()) {
        return {};
    }
    Value type = thinking.find("type");
    if (!thinking.is_object() || !type.is_string()) {
        return invalid("must be an object with a type", "thinking");
    }
    LLM_TRY(read_string(thinking.find("display"), "thinking.display", request.thinking.display));
    if (type.equals("disabled")) {
        request.thinking.kind = ir::ThinkingKind::off;
        return {};
    }
    if (type.equals("adaptive")) {
        request.thinking.kind = ir::ThinkingKind::adaptive;
        return {};
    }
    if (!type.equals("enabled")) {
        return invalid("must be enabled, adaptive or disabled", "thinking.type");
    }
    std::optional<int64_t> budget = thinking.find("budget_tokens").as_int();
    if (!budget || *budget < 0) {
        return invalid("must be a whole number", "thinking.budget_tokens");
    }
    request.thinking.kind = ir::ThinkingKind::budget;
    request.thinking.budget = *budget;
    return {};
}

struct EffortName {
    std::string_view name;
    ir::Effort effort;
};

constexpr std::array<EffortName, 5> kEfforts = {{
    {"low", ir::Effort::low},
    {"medium", ir::Effort::medium},
    {"high", ir::Effort::high},
    {"xhigh", ir::Effort::xhigh},
    {"max", ir::Effort::max},
}};

Status parse_format(Value format, std::string_view param, ir::Request &request) {
    if (format.is_unset()) {
        return {};
    }
    if (!format.find("type").equals("json_schema") || !format.find("schema").is_object()) {
        return invalid("must be an object of type json_schema with a schema", param);
    }
    request.output.kind = ir::OutputKind::json_schema;
    request.output.schema = format.find("schema").raw();
    request.output.name = {"structured_output"};
    request.output.strict = true;
    return {};
}

Status parse_output(Value root, ir::Request &request) {
    LLM_TRY(parse_format(root.find("output_format"), "output_format", request));
    Value config = root.find("output_config");
    if (config.is_unset()) {
        return {};
    }
    if (!config.is_object()) {
        return invalid("must be an object", "output_config");
    }
    LLM_TRY(parse_format(config.find("format"), "output_config.format", request));
    Value effort = config.find("effort");
    if (effort.is_unset()) {
        return {};
    }
    for (const EffortName &known : kEfforts) {
        if (effort.equals(known.name)) {
            request.thinking.effort = known.effort;
            if (request.thinking.kind == ir::ThinkingKind::unset) {
                request.thinking.kind = ir::ThinkingKind::effort;
            }
            return {};
        }
    }
    return invalid("must be low, medium, high, xhigh or max", "output_config.effort");
}

Status parse_stop(Value stop, ir::Request &request) {
    if (stop.is_unset()) {
        return {};
    }
    if (!stop.is_array()) {
        return invalid("must be an array of strings", "stop_sequences");
    }
    for (Value sequence : stop.items()) {
        if (!sequence.is_string()) {
            return invalid("must be an array of strings", "stop_sequences");
        }
        request.stop.push_back(sequence.text());
    }
    return {};
}

Status parse_numbers(Value root, ir::Request &request) {
    Value max_tokens = root.find("max_tokens");
    if (!max_tokens.is_unset()) {
        std::optional<int64_t> count = max_tokens.as_int();
        if (!count || *count < 0) {
            return invalid("must be a whole number", "max_tokens");
        }
        request.max_tokens = max_tokens.raw();
    }
    LLM_TRY(read_number(root.find("temperature"), "temperature", request.temperature));
    LLM_TRY(read_number(root.find("top_p"), "top_p", request.top_p));
    return read_number(root.find("top_k"), "top_k", request.top_k);
}

}  // namespace

Result<Envelope> read_envelope(Value root) {
    if (!root.is_object()) {
        return invalid("the body must be an object", {});
    }
    if (std::string_view twice = json::duplicate_key(root); !twice.empty()) {
        return invalid("the member stands twice", twice);
    }
    Value model = root.find("model");
    if (!model.is_string() || model.text().empty()) {
        return invalid("must be a string", "model");
    }
    Value messages = root.find("messages");
    if (!messages.is_array() || messages.size() == 0) {
        return invalid("must be an array with at least one message", "messages");
    }
    if (messages.size() > kMaxMessages) {
        return invalid("too many messages", "messages");
    }
    for (Value message : messages.items()) {
        if (!message.is_object()) {
            return invalid("every message must be an object", "messages");
        }
    }
    Envelope envelope;
    envelope.model = model.text();
    LLM_TRY(read_bool(root.find("stream"), "stream", envelope.stream));
    envelope.usage_wanted = true;
    envelope.is_structured =
        root.find("output_format").is_object() || root["output_config"]["format"].is_object();
    envelope.has_tools = root.find("tools").size() > 0;
    envelope.max_tokens = std::max<int64_t>(root.find("max_tokens").as_int().value_or(0), 0);
    return envelope;
}

Status parse_request(Value root, Arena &arena, ir::Request &request) {
    if (!root.is_object()) {
        return invalid("the body must be an object", {});
    }
    request.dialect = DialectId::anthropic;
    LLM_TRY(read_string(root.find("model"), "model", request.model));
    LLM_TRY(parse_system(root.find("system"), request));
    LLM_TRY(parse_messages(root.find("messages"), arena, request));
    LLM_TRY(parse_tools(root.find("tools"), request));
    LLM_TRY(parse_tool_choice(root.find("tool_choice"), request));
    LLM_TRY(parse_numbers(root, request));
    LLM_TRY(parse_stop(root.find("stop_sequences"), request));
    LLM_TRY(parse_thinking(root.find("thinking"), request));
    LLM_TRY(parse_output(root, request));
    LLM_TRY(read_object(root.find("metadata"), "metadata", request.metadata));
    LLM_TRY(read_string(root["metadata"]["user_id"], "metadata.user_id", request.user));
    LLM_TRY(read_string(root.find("service_tier"), "service_tier", request.service_tier));
    LLM_TRY(read_object(root.find("cache_control"), "cache_control", request.cache));
    LLM_TRY(read_bool(root.find("stream"), "stream", request.stream));
    request.usage_wanted = true;
    for (auto [key, value] : root.members()) {
        if (!is_known_member(key)) {
            request.extra.push_back({key, value.raw()});
        }
    }
    order_tool_calls(request, arena);
    return {};
}

}  // namespace llm::anthropic
