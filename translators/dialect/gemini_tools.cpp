// Tools and toolConfig of a generateContent request. All functions go into one element; built-in
// tools are Gemini's own or cannot be said. A free text tool becomes a function with one string,
// structured output beside functions at models that cannot have both a function that must be called
// (kJsonTool, Notes::json_tool).
#include <unordered_set>

#include "translators/dialect/gemini_render.hpp"
#include "translators/dialect/gemini_schema.hpp"

namespace llm::gemini {

namespace {

using ir::ToolChoiceKind;
using ir::ToolKind;

constexpr std::string_view kTextInput =
    "{\"type\":\"object\",\"properties\":{\"input\":{\"type\":\"string\"}},"
    "\"required\":[\"input\"]}";
constexpr std::string_view kTextInputNote = "Raw text input.";
constexpr std::string_view kJsonToolNote = "Takes the final answer in the form that was asked for.";
constexpr std::string_view kToolConfig = "toolConfig.";

}  // namespace

bool ToolRenderer::is_allowed(const ir::Tool &tool) const {
    const ir::ToolChoice &choice = job_.request.tool_choice;
    // Names that may be called alone are said in toolConfig, where that is possible.
    if (choice.kind != ToolChoiceKind::allowed || choice.allowed_required) {
        return true;
    }
    std::string_view name = json::unescape(tool.name, job_.arena);
    for (JsonText allowed : choice.allowed) {
        if (json::equals(allowed, name)) {
            return true;
        }
    }
    return false;
}

bool ToolRenderer::has_grammar(const ir::Tool &tool) {
    Result<json::Value> raw = reader_.parse_unpadded(tool.raw.bytes);
    return raw && ((*raw)["custom"]["format"]["type"].equals("grammar") ||
                   (*raw)["format"]["type"].equals("grammar"));
}

Status ToolRenderer::select() {
    std::unordered_set<std::string_view> names;
    std::vector<JsonText> declared;
    for (const ir::Tool &tool : job_.request.tools) {
        if (tool.kind == ToolKind::server) {
            if (tool.dialect == DialectId::gemini) {
                tools_.push_back(&tool);
            } else {
                LLM_TRY(job_.refuse("the target does not have this built-in tool", "tools"));
            }
            continue;
        }
        if (!names.insert(json::unescape(tool.name, job_.arena)).second) {
            return invalid("two tools have the same name", "tools");
        }
        if (tool.kind == ToolKind::custom) {
            if (has_grammar(tool)) {
                LLM_TRY(job_.refuse("the target cannot hold a tool's input to a grammar", "tools"));
            }
            job_.notes.custom_tools.push_back(json::unescape(tool.name, job_.arena));
        }
        declared.push_back(tool.name);
        if (is_allowed(tool)) {
            tools_.push_back(&tool);
            has_functions_ = true;
        }
    }
    plan_tool_names(declared, job_.notes.renamed, job_.arena, NameRule::gemini);
    if (has_functions_ && !job_.request.parallel_tool_calls.value_or(true)) {
        job_.notes.drop("parallel_tool_calls");
    }
    return {};
}

void ToolRenderer::write(json::Writer &writer) {
    if (!tools_.empty() || job_.notes.json_tool) {
        writer.key("tools").array();
        if (has_functions_ || job_.notes.json_tool) {
            writer.object().key("functionDeclarations").array();
            for (const ir::Tool *tool : tools_) {
                if (tool->kind != ToolKind::server) {
                    write_function(*tool, writer);
                }
            }
            if (job_.notes.json_tool) {
                const ir::OutputFormat &format = job_.request.output;
                writer.object().key("name").plain(kJsonTool).key("description");
                if (format.description.empty()) {
                    writer.plain(kJsonToolNote);
                } else {
                    writer.text(format.description);
                }
                write_schema(format.schema, writer);
                writer.end();
            }
            writer.end().end();
        }
        for (const ir::Tool *tool : tools_) {
            if (tool->kind == ToolKind::server) {
                writer.raw(tool->raw);
            }
        }
        writer.end();
    }
    write_config(writer);
}

void ToolRenderer::write_function(const ir::Tool &tool, json::Writer &writer) {
    writer.object().key("name").text(job_.tool_name(tool.name));
    if (tool.kind == ToolKind::custom) {
        writer.key("description").open_text().piece(tool.description);
        writer.piece_plain(tool.description.empty() ? "" : "\n\n").piece_plain(kTextInputNote);
        writer.close_text().key(job_.is_modern() ? "parametersJsonSchema" : "parameters");
        writer.raw({kTextInput});
    } else {
        if (!tool.description.empty()) {
            writer.key("description").text(tool.description);
        }
        write_schema(tool.schema, writer);
    }
    writer.end();
}

void ToolRenderer::write_schema(RawJson schema, json::Writer &writer) {
    Result<json::Value> parsed = reader_.parse_unpadded(schema.bytes);
    if (!is_set(schema) || !parsed || !parsed->is_object()) {
        return;
    }
    // JSON Schema as it came, if its root is what the API wants.
    bool is_plain = parsed->find("type").equals("object");
    if (job_.is_modern() && is_plain) {
        if (parsed->find("properties").size() > 0 || parsed->find("$ref").is_string() ||
            parsed->find("allOf").is_array() || parsed->find("anyOf").is_array()) {
            writer.key("parametersJsonSchema").raw(schema);
        }
        return;
    }
    RawJson rewritten = rewrite_schema(*parsed, true, {}, job_.arena);
    if (!rewritten.empty()) {
        writer.key("parameters").raw(rewritten);
    }
}

void ToolRenderer::write_config(json::Writer &writer) {
    const ir::ToolChoice &choice = job_.request.tool_choice;
    std::string_view mode;
    std::vector<JsonText> names;
    if (job_.notes.json_tool) {
        mode = "ANY";
        if (choice.kind == ToolChoiceKind::named && has_functions_) {
            names = {choice.name};
        } else if (!has_functions_ || choice.kind == ToolChoiceKind::none) {
            names = {{kJsonTool}};
        }
    } else if (has_functions_) {
        switch (choice.kind) {
            case ToolChoiceKind::unset:
                break;
            case ToolChoiceKind::automatic:
                mode = "AUTO";
                break;
            case ToolChoiceKind::none:
                mode = "NONE";
                break;
            case ToolChoiceKind::required:
                mode = "ANY";
                break;
            case ToolChoiceKind::named:
                mode = "ANY";
                names = {choice.name};
                break;
            case ToolChoiceKind::allowed:
                mode = choice.allowed_required ? "ANY" : "AUTO";
                if (choice.allowed_required) {
                    names = choice.allowed;
                }
                break;
        }
    }
    bool is_open = false;
    auto open = [&] {
        if (!is_open) {
            writer.key("toolConfig").object();
            is_open = true;
        }
    };
    if (!mode.empty()) {
        open();
        writer.key("functionCallingConfig").object().key("mode").plain(mode);
        if (!names.empty()) {
            writer.key("allowedFunctionNames").array();
            for (JsonText name : names) {
                writer.text(job_.tool_name(name));
            }
            writer.end();
        }
        writer.end();
    }
    for (const ir::Extra &extra : job_.request.extra) {
        if (job_.is_own() && extra.name.bytes.starts_with(kToolConfig)) {
            open();
            writer.key(JsonText{extra.name.bytes.substr(kToolConfig.size())}).raw(extra.value);
        }
    }
    if (is_open) {
        writer.end();
    }
}

}  // namespace llm::gemini
