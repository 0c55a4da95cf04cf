// toolConfig of a request of Converse. A history with calls must have one, so a tool that nobody
// calls stands in where the client sent none. There is no choice `none`: without calls in the
// history the tools are left out, with them the model may call.
#include "translators/dialect/anthropic_plan.hpp"
#include "translators/dialect/anthropic_schema.hpp"
#include "translators/dialect/bedrock_render.hpp"

namespace llm::bedrock {

namespace {

using ir::ToolChoiceKind;
using ir::ToolKind;

constexpr std::string_view kPlaceholder =
    R"([{"toolSpec":{"name":"unused_tool","inputSchema":{"json":{"type":"object"}}}}])";

bool takes_tool(const ir::Tool &tool, const Target &target) {
    return target.traits.claude && tool.dialect == DialectId::anthropic &&
           anthropic::runs_at_client(tool);
}

}  // namespace

Status ToolConfig::select() {
    can_force_ = target_.traits.claude || target_.traits.nova ||
                 target_.model.find("mistral-large") != std::string_view::npos;
    LLM_TRY(tools_.select(takes_tool));
    for (const ir::Tool *tool : tools_.selected()) {
        (tool->kind == ToolKind::server ? built_in_ : specs_).push_back(tool);
    }
    if (!request_.parallel_tool_calls.value_or(true) && !specs_.empty()) {
        notes_.drop("parallel_tool_calls");
    }
    return check_choice();
}

Status ToolConfig::check_choice() {
    const ir::ToolChoice &wish = request_.tool_choice;
    bool is_forced = wish.kind == ToolChoiceKind::required || wish.kind == ToolChoiceKind::named ||
                     (wish.kind == ToolChoiceKind::allowed && wish.allowed_required);
    if (is_forced && !can_force_ && !specs_.empty()) {
        LLM_TRY(anthropic::refuse("tool_choice", target_, notes_));
        drops_choice_ = true;
    }
    return {};
}

bool ToolConfig::is_forced() const {
    return can_force_ && tools_.is_forced();
}

uint32_t ToolConfig::mark_count() const {
    uint32_t count = 0;
    for (const ir::Tool *tool : specs_) {
        count += tool->cache.empty() ? 0 : 1;
    }
    return count;
}

void ToolConfig::write(bool has_history, CachePoints &points, json::Writer &writer) {
    bool is_none = request_.tool_choice.kind == ToolChoiceKind::none;
    bool is_empty = specs_.empty() && !notes_.json_tool;
    if (!has_history && (is_empty || (is_none && !notes_.json_tool))) {
        return;
    }
    writer.key("toolConfig").object().key("tools");
    if (is_empty) {
        writer.raw({kPlaceholder}).end();
        return;
    }
    writer.array();
    for (const ir::Tool *tool : specs_) {
        write_spec(*tool, writer);
        points.write(tool->cache, writer, notes_);
    }
    if (notes_.json_tool) {
        const ir::OutputFormat &format = request_.output;
        writer.object().key("toolSpec").object().key("name").plain(kJsonTool).key("description");
        if (format.description.empty()) {
            writer.plain(anthropic::kJsonToolDescription);
        } else {
            writer.text(format.description);
        }
        writer.key("inputSchema").object().key("json");
        tools_.write_schema(format.schema, false, writer);
        writer.end().end().end();
    }
    writer.end();
    write_choice(writer);
    writer.end();
}

void ToolConfig::write_spec(const ir::Tool &tool, json::Writer &writer) {
    bool is_custom = tool.kind == ToolKind::custom;
    writer.object().key("toolSpec").object().key("name");
    writer.text(tool_name_for_target(tool.name, notes_.renamed, arena_));
    if (is_custom) {
        writer.key("description").open_text().piece(tool.description);
        writer.piece_plain(tool.description.empty() ? "" : "\n\n");
        writer.piece_plain(kTextInputNote).close_text();
    } else if (!tool.description.empty()) {
        writer.key("description").text(tool.description);
    }
    bool is_strict = tool.strict.value_or(false) && target_.traits.structured_output && !is_custom;
    writer.key("inputSchema").object().key("json");
    if (is_custom) {
        writer.raw({kTextInputSchema});
    } else {
        tools_.write_schema(tool.schema, is_strict && tool.dialect != DialectId::anthropic, writer);
    }
    writer.end();
    if (is_strict) {
        writer.key("strict").boolean(true);
    }
    writer.end().end();
}

void ToolConfig::write_choice(json::Writer &writer) {
    const ir::ToolChoice &wish = request_.tool_choice;
    if (notes_.json_tool) {
        if (!can_force_) {
            return;
        }
        if (wish.kind == ToolChoiceKind::named && !specs_.empty()) {
            choice("tool", wish.name, writer);
        } else if (specs_.empty() || wish.kind == ToolChoiceKind::none) {
            choice("tool", {kJsonTool}, writer);
        } else {
            choice("any", {}, writer);
        }
        return;
    }
    if (drops_choice_) {
        return;
    }
    switch (wish.kind) {
        case ToolChoiceKind::unset:
        case ToolChoiceKind::none:
            return;
        case ToolChoiceKind::automatic:
            choice("auto", {}, writer);
            return;
        case ToolChoiceKind::required:
            choice("any", {}, writer);
            return;
        case ToolChoiceKind::named:
            choice("tool", wish.name, writer);
            return;
        case ToolChoiceKind::allowed:
            choice(wish.allowed_required ? "any" : "auto", {}, writer);
            return;
    }
}

void ToolConfig::choice(std::string_view kind, JsonText name, json::Writer &writer) {
    writer.key("toolChoice").object().key(kind).object();
    if (!name.empty()) {
        writer.key("name").text(tool_name_for_target(name, notes_.renamed, arena_));
    }
    writer.end().end();
}

}  // namespace llm::bedrock
