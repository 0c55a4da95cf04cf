// See function_tools.hpp.
#include "translators/dialect/function_tools.hpp"

#include <cstring>
#include <unordered_set>

namespace llm {

using ir::ToolChoiceKind;
using ir::ToolKind;

bool has_grammar(const ir::Tool &tool, json::Reader &reader) {
    Result<json::Value> raw = reader.parse_unpadded(tool.raw.bytes);
    return raw && ((*raw)["custom"]["format"]["type"].equals("grammar") ||
                   (*raw)["format"]["type"].equals("grammar"));
}

bool FunctionTools::is_chosen(const ir::Tool &tool) const {
    const ir::ToolChoice &choice = job_.request.tool_choice;
    std::string_view name = json::unescape(tool.name, job_.arena);
    if (choice.kind == ToolChoiceKind::named) {
        return json::equals(choice.name, name);
    }
    if (choice.kind != ToolChoiceKind::allowed) {
        return true;
    }
    for (JsonText allowed : choice.allowed) {
        if (json::equals(allowed, name)) {
            return true;
        }
    }
    return false;
}

Status FunctionTools::select() {
    std::unordered_set<std::string_view> names;
    for (const ir::Tool &tool : job_.request.tools) {
        if (!tool.cache.empty()) {
            job_.note("cache_control");
        }
        if (tool.kind == ToolKind::server) {
            LLM_TRY(job_.leave_out("the target does not have this built-in tool", "tools"));
            continue;
        }
        std::string_view name = json::unescape(tool.name, job_.arena);
        if (!names.insert(name).second) {
            return invalid("two tools have the same name", "tools");
        }
        LLM_TRY(check_arguments(tool, reader_));
        if (tool.kind == ToolKind::custom) {
            if (has_grammar(tool, reader_)) {
                // With drop_params the tool stays, without its grammar.
                LLM_TRY(
                    job_.leave_out("the target cannot hold a tool's input to a grammar", "tools"));
            }
            job_.notes.custom_tools.push_back(name);
        }
        if (is_chosen(tool)) {
            tools_.push_back(&tool);
        }
    }
    if (tools_.empty() && !names.empty() && is_forced()) {
        return invalid("names no tool of the request", "tool_choice");
    }
    return {};
}

bool FunctionTools::is_forced() const {
    const ir::ToolChoice &choice = job_.request.tool_choice;
    return choice.kind == ToolChoiceKind::required || choice.kind == ToolChoiceKind::named ||
           (choice.kind == ToolChoiceKind::allowed && choice.allowed_required);
}

bool FunctionTools::is_strict() {
    for (const ir::Tool *tool : tools_) {
        Result<json::Value> schema = reader_.parse_unpadded(tool->schema.bytes);
        if (!tool->strict.value_or(false) || !schema || (*schema)["required"].size() == 0) {
            return false;
        }
    }
    return !tools_.empty();
}

void FunctionTools::write() {
    json::Writer &writer = job_.writer;
    writer.array();
    for (const ir::Tool *tool : tools_) {
        bool is_custom = tool->kind == ToolKind::custom;
        writer.object().key("type").plain("function").key("function").object();
        writer.key("name").text(tool->name);
        if (is_custom) {
            write_text_input(*tool, writer);
        } else {
            if (!tool->description.empty()) {
                writer.key("description").text(tool->description);
            }
            writer.key("parameters");
            write_schema(tool->schema);
        }
        writer.end().end();
    }
    writer.end();
}

void write_text_input(const ir::Tool &tool, json::Writer &writer) {
    writer.key("description").open_text().piece(tool.description);
    writer.piece_plain(tool.description.empty() ? "" : "\n\n");
    writer.piece_plain(kTextInputNote).close_text();
    writer.key("parameters").raw({kTextInputSchema});
}

void FunctionTools::write_schema(RawJson schema) {
    Result<json::Value> parsed = reader_.parse_unpadded(schema.bytes);
    if (is_object_schema(parsed ? *parsed : json::Value(), job_.writer)) {
        job_.writer.raw(schema);
    }
}

namespace {

bool has_object_type(json::Value schema) {
    json::Value type = schema.find("type");
    bool has_object = type.is_unset() || type.equals("object");
    for (json::Value one : type.items()) {
        has_object = has_object || one.equals("object");
    }
    return has_object;
}

}  // namespace

Status check_arguments(const ir::Tool &tool, json::Reader &reader) {
    Result<json::Value> schema = reader.parse_unpadded(tool.schema.bytes);
    if (tool.kind == ir::ToolKind::function && schema && !has_object_type(*schema)) {
        return invalid("the arguments of a tool must be an object", "tools");
    }
    return {};
}

bool is_object_schema(json::Value schema, json::Writer &writer) {
    if (!schema.is_object() || schema.size() == 0) {
        writer.raw({kEmptySchema});
        return false;
    }
    if (schema.find("type").is_string()) {
        return true;  // checked before
    }
    writer.object().key("type").plain("object");
    for (auto [key, value] : schema.members()) {
        if (!json::equals(key, "type")) {
            writer.key(key).raw(value.raw());
        }
    }
    writer.end();
    return false;
}

std::string_view function_arguments(const ir::ToolCall &call, Arena &arena) {
    if (!call.custom) {
        size_t first = call.arguments.find_first_not_of(" \t\r\n");
        if (first == std::string_view::npos) {
            return "{}";
        }
        size_t last = call.arguments.find_last_not_of(" \t\r\n");
        bool is_null = call.arguments.substr(first, last + 1 - first) == "null";
        return is_null ? std::string_view("{}") : call.arguments;
    }
    constexpr std::string_view kHead = "{\"input\":\"";
    constexpr std::string_view kTail = "\"}";
    JsonText text = json::escape(call.arguments, arena);
    size_t size = kHead.size() + text.bytes.size() + kTail.size();
    char *start = arena.allocate(size);
    memcpy(start, kHead.data(), kHead.size());
    if (!text.empty()) {
        memcpy(start + kHead.size(), text.bytes.data(), text.bytes.size());
    }
    memcpy(start + size - kTail.size(), kTail.data(), kTail.size());
    return {start, size};
}

}  // namespace llm
