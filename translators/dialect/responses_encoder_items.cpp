// The items and parts of a Responses answer as they grow, and the frames that tell of it: every
// frame of the stream is written here, numbered from 0 without gaps.
#include "translators/dialect/openai_answer.hpp"
#include "translators/dialect/responses.hpp"
#include "translators/dialect/responses_encoder.hpp"

namespace llm::responses {

namespace {

constexpr size_t kMaxHeld = 16u << 20;  // of all that the last object repeats
constexpr uint32_t kNone = UINT32_MAX;

// How the events of a part are called, and the member of the one that ends it.
struct PartNames {
    std::string_view added;
    std::string_view delta;
    std::string_view text_done;
    std::string_view done;
    std::string_view member;
};

// In the order of PartKind.
constexpr PartNames kNames[] = {
    {"response.content_part.added", "response.output_text.delta", "response.output_text.done",
     "response.content_part.done", "text"},
    {"response.content_part.added", "response.refusal.delta", "response.refusal.done",
     "response.content_part.done", "refusal"},
    {"response.reasoning_summary_part.added", "response.reasoning_summary_text.delta",
     "response.reasoning_summary_text.done", "response.reasoning_summary_part.done", "text"},
    {{},
     "response.function_call_arguments.delta",
     "response.function_call_arguments.done",
     {},
     "arguments"},
    {{},
     "response.custom_tool_call_input.delta",
     "response.custom_tool_call_input.done",
     {},
     "input"},
};

const PartNames &names_of(PartKind kind) {
    return kNames[static_cast<size_t>(kind)];
}

std::string_view id_prefix(ItemKind kind) {
    switch (kind) {
        case ItemKind::message:
            return "msg_";
        case ItemKind::reasoning:
            return "rs_";
        case ItemKind::call:
            return "fc_";
        case ItemKind::custom_call:
            return "ctc_";
        case ItemKind::image:
            return "ig_";
        case ItemKind::whole:
            break;
    }
    return "item_";
}

}  // namespace

// --- items ----------------------------------------------------------------------------------

bool ResponsesEncoder::hold(size_t bytes, ByteBuffer &out) {
    held_bytes_ += bytes;
    if (held_bytes_ <= kMaxHeld || !is_stream()) {  // a body was limited when it was read
        return true;
    }
    error(ApiError{ErrorClass::upstream_protocol, 0, {"the answer is too large"}}, out);
    return false;
}

uint32_t ResponsesEncoder::add_item(ItemKind kind, ByteBuffer &out) {
    settle(out);
    uint32_t index = static_cast<uint32_t>(items_.size());
    ReplyItem &item = items_.emplace_back();
    item.kind = kind;
    item.id = ids_.make(id_prefix(kind), index + 1);
    return index;
}

// The message that further text belongs to: the last item, where it is one.
uint32_t ResponsesEncoder::add_message(ByteBuffer &out) {
    bool goes_on =
        !items_.empty() && items_.back().kind == ItemKind::message && !items_.back().is_done;
    if (goes_on) {
        unsettled_ = kNone;
        return static_cast<uint32_t>(items_.size() - 1);
    }
    uint32_t index = add_item(ItemKind::message, out);
    announce(index, out);
    return index;
}

void ResponsesEncoder::add_reasoning(Slot &slot, ByteBuffer &out) {
    slot.state = Slot::State::open;
    slot.item = add_item(ItemKind::reasoning, out);
    if (slot.id.starts_with("rs_")) {
        items_[slot.item].id = slot.id;
    }
    announce(slot.item, out);
}

uint32_t ResponsesEncoder::add_part(uint32_t index, PartKind kind, ByteBuffer &out) {
    ReplyItem &item = items_[index];
    uint32_t at = static_cast<uint32_t>(item.parts.size());
    ReplyPart &part = item.parts.emplace_back();
    part.kind = kind;
    part.place = ",\"item_id\":\"" + item.id + "\",\"output_index\":" + std::to_string(index);
    if (kind == PartKind::summary) {
        part.place += ",\"summary_index\":" + std::to_string(at);
    } else if (kind == PartKind::text || kind == PartKind::refusal) {
        part.place += ",\"content_index\":" + std::to_string(at);
    }
    if (is_stream() && !names_of(kind).added.empty()) {
        part_frame(names_of(kind).added, part, true, out);
    }
    return at;
}

void ResponsesEncoder::grow_part(uint32_t index, uint32_t at, JsonText text, ByteBuffer &out) {
    ReplyPart &part = items_[index].parts[at];
    if (text.empty() || !hold(text.bytes.size(), out)) {
        return;
    }
    part.text.append(text.bytes);
    if (!is_stream()) {
        return;
    }
    begin_frame(names_of(part.kind).delta, out);
    out.append(part.place);
    out.append(",\"delta\":\"");
    out.append(text.bytes);
    out.append(part.kind == PartKind::text ? "\",\"logprobs\":[]}\n\n" : "\"}\n\n");
}

void ResponsesEncoder::add_annotation(uint32_t index, uint32_t at, std::string_view json,
                                      ByteBuffer &out) {
    ReplyPart &part = items_[index].parts[at];
    part.annotations.append(part.annotations.empty() ? "" : ",").append(json);
    uint32_t number = part.annotation_count++;
    if (is_stream()) {
        begin_frame("response.output_text.annotation.added", out);
        out.append(part.place);
        out.append(",\"annotation_index\":");
        json::Writer(out).number(number);
        out.append(",\"annotation\":");
        out.append(json);
        out.append("}\n\n");
    }
}

void ResponsesEncoder::close_part(uint32_t index, uint32_t at, ByteBuffer &out) {
    ReplyItem &item = items_[index];
    ReplyPart &part = item.parts[at];
    const PartNames &names = names_of(part.kind);
    part.is_open = false;
    if (is_stream()) {
        begin_frame(names.text_done, out);
        out.append(part.place);
        if (part.kind == PartKind::arguments) {
            out.append(",\"name\":\"");
            out.append(item.name);
            out.append('"');
        }
        out.append(",\"");
        out.append(names.member);
        out.append("\":\"");
        out.append(part.text);
        out.append('"');
        if (part.kind == PartKind::text) {
            out.append(",\"logprobs\":[");
            out.append(part.logprobs);
            out.append(']');
        }
        out.append("}\n\n");
        if (!names.done.empty()) {
            part_frame(names.done, part, false, out);
        }
    }
    if (!item.has_open_parts()) {
        finish_or_wait(index, out);
    }
}

// The last item may go on, or turn out to be cut; one with others behind it is done.
void ResponsesEncoder::finish_or_wait(uint32_t index, ByteBuffer &out) {
    if (index + 1 == items_.size()) {
        unsettled_ = index;
    } else {
        finish_item(index, out);
    }
}

// Tells of a new item, once it has all that announces it.
void ResponsesEncoder::announce(uint32_t index, ByteBuffer &out) {
    if (is_stream()) {
        item_frame("response.output_item.added", index, out);
    }
}

// What follows is not of the item that waits to be done.
void ResponsesEncoder::settle(ByteBuffer &out) {
    if (unsettled_ != kNone) {
        finish_item(unsettled_, out);
        unsettled_ = kNone;
    }
}

void ResponsesEncoder::finish_item(uint32_t index, ByteBuffer &out) {
    if (items_[index].is_done) {
        return;
    }
    items_[index].is_done = true;
    if (is_stream()) {
        item_frame("response.output_item.done", index, out);
    }
}

// --- frames ---------------------------------------------------------------------------------

// The event line and the first two members; the caller goes on with a comma.
void ResponsesEncoder::begin_frame(std::string_view type, ByteBuffer &out) {
    out.append("event: ");
    out.append(type);
    out.append("\ndata: {\"type\":\"");
    out.append(type);
    out.append("\",\"sequence_number\":");
    json::Writer(out).number(sequence_++);
}

void ResponsesEncoder::response_frame(std::string_view type, std::string_view status,
                                      ByteBuffer &out) {
    begin_frame(type, out);
    out.append(",\"response\":");
    json::Writer writer(out);
    write_object(status, writer);
    out.append("}\n\n");
}

void ResponsesEncoder::item_frame(std::string_view type, uint32_t index, ByteBuffer &out) {
    begin_frame(type, out);
    out.append(",\"output_index\":");
    json::Writer(out).number(index);
    out.append(",\"item\":");
    json::Writer writer(out);
    write_item(items_[index], !items_[index].is_done, writer);
    out.append("}\n\n");
}

void ResponsesEncoder::part_frame(std::string_view type, const ReplyPart &part, bool is_fresh,
                                  ByteBuffer &out) {
    begin_frame(type, out);
    out.append(part.place);
    out.append(",\"part\":");
    json::Writer writer(out);
    write_part(part, is_fresh, writer);
    out.append("}\n\n");
}

// The response object; `status` decides how much of it is known.
void ResponsesEncoder::write_object(std::string_view status, json::Writer &writer) {
    bool is_over = status != "in_progress";
    bool is_failed = status == "failed";
    if (id_.empty()) {
        id_ = ids_.make("resp_", 0);
    }
    writer.object().key("id").text({id_}).key("object").plain("response");
    writer.key("created_at").number(created_).key("status").plain(status);
    writer.key("background").boolean(false).key("error");
    if (is_failed) {
        writer.object().key("code").plain(failure_code(failure_class_));
        writer.key("message").text({failure_message_}).end();
    } else {
        writer.null();
    }
    writer.key("incomplete_details");
    if (status == "incomplete") {
        bool is_filter = finish_ == ir::Finish::content_filter;
        writer.object().key("reason").plain(is_filter ? "content_filter" : "max_output_tokens");
        writer.end();
    } else {
        writer.null();
    }
    writer.key("model").text({model_}).key("output").array();
    for (const ReplyItem &item : items_) {
        if (is_over && item.is_done && (held_bytes_ <= kMaxHeld || !is_stream())) {
            write_item(item, false, writer);
        }
    }
    writer.end().key("usage");
    if (is_over && usage_.known) {
        write_usage(usage_, writer);
    } else {
        writer.null();
    }
    // The members of the echo, without its braces.
    std::string_view echo = echo_.view();
    writer.out().append(',');
    writer.out().append(echo.substr(1, echo.size() - 2));
    writer.end();
}

}  // namespace llm::responses
