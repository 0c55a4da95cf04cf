// See responses_reply.hpp. Clients check the response object member by member: all of them are
// there, with null where nothing is known.
#include "translators/dialect/responses_reply.hpp"

#include <algorithm>

namespace llm::responses {

namespace {

constexpr std::string_view kHex = "0123456789abcdef";
constexpr size_t kRandomDigits = 40;
constexpr size_t kOrdinalDigits = 8;

constexpr std::string_view kEfforts[] = {"none", "minimal", "low", "medium",
                                         "high", "xhigh",   "max"};

RawJson find_extra(const ir::Request &request, std::string_view name) {
    for (const ir::Extra &extra : request.extra) {
        if (json::equals(extra.name, name)) {
            return extra.value;
        }
    }
    return {};
}

void text_or_null(JsonText text, json::Writer &writer) {
    text.empty() ? writer.null() : writer.text(text);
}

void raw_or_null(RawJson value, json::Writer &writer) {
    if (value.empty()) {
        writer.null();
    } else {
        write_line(value, writer);
    }
}

void write_instructions(const ir::Request &request, json::Writer &writer) {
    bool is_given = !request.system.empty() && is_instructions(request.system.front());
    text_or_null(is_given ? request.system.front().text : JsonText{}, writer);
}

void write_reasoning(const ir::Thinking &thinking, json::Writer &writer) {
    writer.object().key("effort");
    if (thinking.effort) {
        writer.plain(kEfforts[static_cast<size_t>(*thinking.effort)]);
    } else {
        writer.null();
    }
    writer.key("summary");
    thinking.display.empty() ? writer.null() : writer.plain("auto");
    writer.end();
}

void write_text(const ir::Request &request, json::Writer &writer) {
    const ir::OutputFormat &output = request.output;
    writer.object().key("format").object().key("type");
    switch (output.kind) {
        case ir::OutputKind::text:
            writer.plain("text");
            break;
        case ir::OutputKind::json_object:
            writer.plain("json_object");
            break;
        case ir::OutputKind::json_schema:
            writer.plain("json_schema").key("name").text(output.name);
            writer.key("description");
            text_or_null(output.description, writer);
            writer.key("schema");
            raw_or_null(output.schema, writer);
            writer.key("strict").boolean(output.strict.value_or(false));
            break;
    }
    writer.end();
    if (!request.verbosity.empty()) {
        writer.key("verbosity").text(request.verbosity);
    }
    writer.end();
}

// A tool in a choice: hosted ones have a type and no name.
void write_chosen(const ir::Request &request, JsonText name, json::Writer &writer) {
    ir::ToolKind kind = ir::ToolKind::function;
    for (const ir::Tool &tool : request.tools) {
        if (tool.name.bytes == name.bytes) {
            kind = tool.kind;
        }
    }
    writer.object().key("type");
    if (kind == ir::ToolKind::server) {
        writer.text(name);
    } else {
        writer.plain(kind == ir::ToolKind::custom ? "custom" : "function").key("name").text(name);
    }
    writer.end();
}

void write_tool_choice(const ir::Request &request, json::Writer &writer) {
    const ir::ToolChoice &choice = request.tool_choice;
    switch (choice.kind) {
        case ir::ToolChoiceKind::unset:
        case ir::ToolChoiceKind::automatic:
            writer.plain("auto");
            return;
        case ir::ToolChoiceKind::none:
            writer.plain("none");
            return;
        case ir::ToolChoiceKind::required:
            writer.plain("required");
            return;
        case ir::ToolChoiceKind::named:
            write_chosen(request, choice.name, writer);
            return;
        case ir::ToolChoiceKind::allowed:
            writer.object().key("type").plain("allowed_tools");
            writer.key("mode").plain(choice.allowed_required ? "required" : "auto");
            writer.key("tools").array();
            for (JsonText name : choice.allowed) {
                write_chosen(request, name, writer);
            }
            writer.end().end();
            return;
    }
}

void write_list(std::string_view objects, json::Writer &writer) {
    writer.array();
    if (!objects.empty()) {
        writer.raw({objects});
    }
    writer.end();
}

}  // namespace

// --- ids ------------------------------------------------------------------------------------

ReplyIds::ReplyIds(const ClientView &view) {
    uint64_t random = 0;
    random_.reserve(kRandomDigits);
    for (size_t i = 0; i < kRandomDigits; ++i) {
        if (i % 16 == 0) {
            random = view.ids != nullptr ? view.ids->next() : 0;
        }
        random_ += kHex[(random >> (60 - i % 16 * 4)) & 15];
    }
}

std::string ReplyIds::make(std::string_view prefix, uint32_t ordinal) const {
    std::string id;
    id.reserve(prefix.size() + kRandomDigits + kOrdinalDigits);
    id.append(prefix).append(random_);
    for (size_t i = 0; i < kOrdinalDigits; ++i) {
        id += kHex[(ordinal >> (28 - 4 * i)) & 15];
    }
    return id;
}

// --- items ----------------------------------------------------------------------------------

bool ReplyItem::has_open_parts() const {
    return std::any_of(parts.begin(), parts.end(), [](const ReplyPart &p) { return p.is_open; });
}

void write_part(const ReplyPart &part, bool is_fresh, json::Writer &writer) {
    JsonText text = {is_fresh ? std::string_view() : part.text};
    writer.object().key("type");
    switch (part.kind) {
        case PartKind::text:
            writer.plain("output_text").key("text").text(text).key("annotations");
            write_list(is_fresh ? std::string_view() : part.annotations, writer);
            writer.key("logprobs");
            write_list(is_fresh ? std::string_view() : part.logprobs, writer);
            break;
        case PartKind::refusal:
            writer.plain("refusal").key("refusal").text(text);
            break;
        case PartKind::summary:
            writer.plain("summary_text").key("text").text(text);
            break;
        case PartKind::arguments:
        case PartKind::input:
            writer.plain("none");  // these have no object of their own
            break;
    }
    writer.end();
}

void write_item(const ReplyItem &item, bool is_fresh, json::Writer &writer) {
    if (item.kind == ItemKind::whole) {
        writer.raw({item.data});
        return;
    }
    std::string_view status = is_fresh             ? "in_progress"
                              : item.is_incomplete ? "incomplete"
                                                   : "completed";
    JsonText text = {item.parts.empty() || is_fresh ? std::string_view() : item.parts[0].text};
    writer.object().key("id").text({item.id}).key("type");
    switch (item.kind) {
        case ItemKind::message:
            writer.plain("message").key("status").plain(status);
            writer.key("role").plain("assistant").key("content").array();
            break;
        case ItemKind::reasoning:
            writer.plain("reasoning").key("summary").array();
            break;
        case ItemKind::call:
        case ItemKind::custom_call: {
            bool is_custom = item.kind == ItemKind::custom_call;
            writer.plain(is_custom ? "custom_tool_call" : "function_call");
            writer.key("status").plain(status).key("call_id").text({item.call_id});
            writer.key("name").text({item.name});
            writer.key(is_custom ? "input" : "arguments").text(text).end();
            return;
        }
        case ItemKind::image:
            writer.plain("image_generation_call").key("status").plain(status);
            writer.key("result");
            is_fresh ? writer.null() : writer.text({item.data});
            if (item.name.starts_with("image/")) {
                writer.key("output_format").text({std::string_view(item.name).substr(6)});
            }
            writer.end();
            return;
        case ItemKind::whole:
            break;
    }
    for (const ReplyPart &part : item.parts) {
        if (!is_fresh) {
            write_part(part, false, writer);
        }
    }
    writer.end();
    if (item.kind == ItemKind::reasoning && !is_fresh && !item.data.empty()) {
        writer.key("encrypted_content").text({item.data});
    }
    writer.end();
}

// --- the response object --------------------------------------------------------------------

void write_echo(const ir::Request *request, json::Writer &writer) {
    static const ir::Request kNone;
    const ir::Request &from = request != nullptr ? *request : kNone;
    writer.key("instructions");
    write_instructions(from, writer);
    writer.key("max_output_tokens");
    raw_or_null(from.max_tokens, writer);
    writer.key("max_tool_calls");
    raw_or_null(find_extra(from, "max_tool_calls"), writer);
    writer.key("parallel_tool_calls").boolean(from.parallel_tool_calls.value_or(true));
    writer.key("previous_response_id").null();
    writer.key("prompt_cache_key");
    raw_or_null(find_extra(from, "prompt_cache_key"), writer);
    writer.key("reasoning");
    write_reasoning(from.thinking, writer);
    writer.key("safety_identifier");
    raw_or_null(find_extra(from, "safety_identifier"), writer);
    writer.key("service_tier");
    text_or_null(from.service_tier, writer);
    writer.key("store").boolean(false);  // nothing is kept, whatever was asked for
    writer.key("temperature");
    raw_or_null(from.temperature, writer);
    writer.key("text");
    write_text(from, writer);
    writer.key("tool_choice");
    write_tool_choice(from, writer);
    writer.key("tools").array();
    for (const ir::Tool &tool : from.tools) {
        write_line(tool.raw, writer);
    }
    writer.end();
    writer.key("top_logprobs");
    from.top_logprobs.empty() ? writer.number(0) : writer.raw(from.top_logprobs);
    writer.key("top_p");
    raw_or_null(from.top_p, writer);
    writer.key("truncation");
    RawJson truncation = find_extra(from, "truncation");
    truncation.empty() ? writer.plain("disabled") : writer.raw(truncation);
    writer.key("user");
    text_or_null(from.user, writer);
    writer.key("metadata");
    from.metadata.empty() ? writer.object().end() : (write_line(from.metadata, writer), writer);
}

void write_usage(const Usage &usage, json::Writer &writer) {
    writer.object().key("input_tokens").number(usage.input);
    writer.key("input_tokens_details").object();
    writer.key("cached_tokens").number(usage.cache_read);
    writer.key("cache_write_tokens").number(usage.cache_write).end();
    writer.key("output_tokens").number(usage.output);
    writer.key("output_tokens_details").object();
    writer.key("reasoning_tokens").number(usage.reasoning).end();
    writer.key("total_tokens").number(usage.total()).end();
}

// Outside of strings a line break is white space, and inside it cannot stand.
void write_line(RawJson value, json::Writer &writer) {
    if (value.bytes.find_first_of("\r\n") == std::string_view::npos) {
        writer.raw(value);
        return;
    }
    std::string line(value.bytes);
    std::replace(line.begin(), line.end(), '\n', ' ');
    std::replace(line.begin(), line.end(), '\r', ' ');
    writer.raw({line});
}

}  // namespace llm::responses
