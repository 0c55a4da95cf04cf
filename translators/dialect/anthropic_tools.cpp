// Tools and tool_choice of a messages request. A tool that came in this dialect goes out as its own
// bytes; others are written anew. A free text tool becomes a function with one string, structured
// output at models without it becomes a tool that must be called (kJsonTool, Notes::json_tool).
// Names follow the rules of the target everywhere: here, in the choice and in the history.
#include "translators/dialect/anthropic_tools.hpp"

#include <unordered_set>

#include "translators/dialect/anthropic_beta.hpp"
#include "translators/dialect/anthropic_schema.hpp"

namespace llm::anthropic {

namespace {

using ir::ToolChoiceKind;
using ir::ToolKind;

}  // namespace

bool ToolRenderer::same(JsonText a, JsonText b) {
    return a.bytes == b.bytes || ((a.has_escapes() || b.has_escapes()) &&
                                  json::unescape(a, arena_) == json::unescape(b, arena_));
}

bool ToolRenderer::is_allowed(const ir::Tool &tool) {
    if (request_.tool_choice.kind != ToolChoiceKind::allowed) {
        return true;
    }
    for (JsonText name : request_.tool_choice.allowed) {
        if (same(name, tool.name)) {
            return true;
        }
    }
    return false;
}

Status ToolRenderer::refuse(std::string_view what) {
    if (!target_.drop_params) {
        return unsupported(what, "tools");
    }
    notes_.drop("tools");
    return {};
}

bool runs_at_client(const ir::Tool &tool) {
    for (std::string_view known : {"\"computer_", "\"text_editor_", "\"bash_"}) {
        if (tool.raw.bytes.find(known) != std::string_view::npos) {
            return true;
        }
    }
    return false;
}

bool takes_built_in(const ir::Tool &tool, const Target &target) {
    return tool.dialect == DialectId::anthropic &&
           (target.carrier != Carrier::bedrock || runs_at_client(tool));
}

Status ToolRenderer::select(TakesBuiltIn takes) {
    std::unordered_set<std::string_view> names;
    std::vector<JsonText> declared;
    for (const ir::Tool &tool : request_.tools) {
        if (!tool.name.empty() && !names.insert(json::unescape(tool.name, arena_)).second) {
            return invalid("two tools have the same name", "tools");
        }
        if (tool.kind == ToolKind::server && !takes(tool, target_)) {
            LLM_TRY(refuse("the target does not have this built-in tool"));
            continue;
        }
        LLM_TRY(check_arguments(tool, reader_));
        if (tool.kind == ToolKind::custom && has_grammar(tool, reader_)) {
            // With drop_params the tool stays, without its grammar.
            LLM_TRY(refuse("the target cannot hold a tool's input to a grammar"));
        }
        if (tool.kind != ToolKind::server) {
            declared.push_back(tool.name);
        }
        if (tool.kind == ToolKind::custom) {
            notes_.custom_tools.push_back(json::unescape(tool.name, arena_));
        }
        if (is_allowed(tool)) {
            tools_.push_back(&tool);
        }
    }
    plan_tool_names(declared, notes_.renamed, arena_);
    return {};
}

bool ToolRenderer::is_forced() const {
    const ir::ToolChoice &wish = request_.tool_choice;
    return notes_.json_tool ||
           (!tools_.empty() &&
            (wish.kind == ToolChoiceKind::required || wish.kind == ToolChoiceKind::named ||
             (wish.kind == ToolChoiceKind::allowed && wish.allowed_required)));
}

void ToolRenderer::write(CacheMarks &marks, json::Writer &writer) {
    if (tools_.empty() && !notes_.json_tool) {
        return;
    }
    writer.key("tools").array();
    for (const ir::Tool *tool : tools_) {
        write_tool(*tool, marks, writer);
    }
    if (notes_.json_tool) {
        const ir::OutputFormat &format = request_.output;
        writer.object().key("name").plain(kJsonTool).key("description");
        if (format.description.empty()) {
            writer.plain(kJsonToolDescription);
        } else {
            writer.text(format.description);
        }
        writer.key("input_schema");
        write_schema(format.schema, false, writer);
        writer.end();
    }
    writer.end();
}

// Nothing in the tool as it came that the carrier refuses.
bool ToolRenderer::takes_all(const ir::Tool &tool) {
    if (target_.carrier != Carrier::bedrock) {
        return true;
    }
    Result<json::Value> raw = reader_.parse_unpadded(tool.raw.bytes);
    if (raw) {
        for (auto [key, value] : raw->members()) {
            if (!takes_tool_member(key.bytes, target_)) {
                return false;
            }
        }
    }
    return true;
}

void ToolRenderer::write_tool(const ir::Tool &tool, CacheMarks &marks, json::Writer &writer) {
    if (tool.kind == ToolKind::server) {
        write_server_tool(tool, marks, writer);
        return;
    }
    bool is_own = tool.dialect == DialectId::anthropic;
    bool keeps_mark = tool.cache.empty() ||
                      (marks.skip == 0 && mark_for_target(tool.cache.bytes, target_).size() ==
                                              tool.cache.bytes.size());
    JsonText name = tool_name_for_target(tool.name, notes_.renamed, arena_);
    if (is_own && keeps_mark && takes_all(tool) && name.bytes == tool.name.bytes &&
        !tool.schema.empty()) {
        writer.raw(tool.raw);
        return;
    }
    bool is_custom = tool.kind == ToolKind::custom;
    writer.object().key("name").text(name);
    if (is_custom) {
        writer.key("description").open_text().piece(tool.description);
        writer.piece_plain(tool.description.empty() ? "" : "\n\n").piece_plain(kTextInputNote);
        writer.close_text();
    } else if (!tool.description.empty()) {
        writer.key("description").text(tool.description);
    }
    bool is_strict = tool.strict.value_or(false) && target_.traits.structured_output && !is_custom;
    writer.key("input_schema");
    if (is_custom) {
        writer.raw({kTextInputSchema});
    } else {
        write_schema(tool.schema, is_strict && !is_own, writer);
    }
    if (is_strict) {
        writer.key("strict").boolean(true);
    }
    marks.write(tool.cache, writer);
    writer.end();
}

void ToolRenderer::write_server_tool(const ir::Tool &tool, CacheMarks &marks,
                                     json::Writer &writer) {
    if (tool.cache.empty() || marks.skip == 0) {
        writer.raw(tool.raw);
        return;
    }
    Result<json::Value> raw = reader_.parse_unpadded(tool.raw.bytes);
    writer.object();
    if (raw) {
        for (auto [key, value] : raw->members()) {
            if (!json::equals(key, "cache_control")) {
                writer.key(key).raw(value.raw());
            }
        }
    }
    marks.write(tool.cache, writer);
    writer.end();
}

void ToolRenderer::write_schema(RawJson schema, bool rewrite, json::Writer &writer) {
    Result<json::Value> parsed = reader_.parse_unpadded(schema.bytes);
    if (is_object_schema(parsed ? *parsed : json::Value(), writer)) {
        writer.raw(rewrite ? rewrite_schema(*parsed, {}, arena_) : schema);
    }
}

void ToolRenderer::write_choice(json::Writer &writer) {
    const ir::ToolChoice &wish = request_.tool_choice;
    if (notes_.json_tool) {
        if (wish.kind == ToolChoiceKind::named && !tools_.empty()) {
            choice("tool", wish.name, true, writer);
        } else if (tools_.empty() || wish.kind == ToolChoiceKind::none) {
            choice("tool", {kJsonTool}, true, writer);
        } else {
            choice("any", {}, true, writer);
        }
        return;
    }
    if (tools_.empty()) {
        return;
    }
    bool one_only = !request_.parallel_tool_calls.value_or(true);
    switch (wish.kind) {
        case ToolChoiceKind::unset:
            if (one_only) {
                choice("auto", {}, true, writer);
            }
            return;
        case ToolChoiceKind::automatic:
            choice("auto", {}, one_only, writer);
            return;
        case ToolChoiceKind::none:
            choice("none", {}, false, writer);
            return;
        case ToolChoiceKind::required:
            choice("any", {}, one_only, writer);
            return;
        case ToolChoiceKind::named:
            choice("tool", wish.name, one_only, writer);
            return;
        case ToolChoiceKind::allowed:
            choice(wish.allowed_required ? "any" : "auto", {}, one_only, writer);
            return;
    }
}

void ToolRenderer::choice(std::string_view type, JsonText name, bool one_only,
                          json::Writer &writer) {
    writer.key("tool_choice").object().key("type").plain(type);
    if (!name.empty()) {
        writer.key("name").text(tool_name_for_target(name, notes_.renamed, arena_));
    }
    if (one_only) {
        writer.key("disable_parallel_tool_use").boolean(true);
    }
    writer.end();
}

}  // namespace llm::anthropic
