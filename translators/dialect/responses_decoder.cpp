// Responses stream -> ir events.
//
// Entry point: make_decoder. The state is one entry for each output item, found by output_index
// (some services change item ids within an item). Deltas are what counts; the `done` events and
// the items in them repeat the text, and give only what was not streamed, by length. A text or
// refusal block stands for one content part, a reasoning block for one item: it is signed and
// closed when the item is done. Items may overlap. Items of tools that the provider ran itself
// come whole, when they are done. What the final response has and the stream had not is taken
// from there. Bounds: 4096 items and parts, 256 calls, 8 MiB of arguments that wait for a name.
#include "translators/dialect/responses_decoder.hpp"

#include <algorithm>

namespace llm::responses {

using ir::BlockKind;
using ir::EventKind;
using ir::StreamEvent;
using json::Value;

// --- frames ---------------------------------------------------------------------------------

size_t ResponsesDecoder::memory() const {
    size_t sum = splitter_.memory() + answer_id_.capacity() + commentary_.capacity();
    for (const ItemState &item : items_) {
        sum += sizeof item + item.id.capacity() + item.early.capacity() +
               item.parts.capacity() * sizeof(PartState);
    }
    return sum;
}

void ResponsesDecoder::on_json(Value root, std::string_view data, bool is_error) {
    Value type = root["type"];
    if (root.is_object() && type.is_string()) {
        on_event(type, root);
    } else if (root.absent() || (root.is_object() && (is_error || is_error_value(root["error"])))) {
        fail_as(root, data);
    }
}

void ResponsesDecoder::on_event(Value type, Value event) {
    auto is = [type](std::string_view name) { return type.equals(name); };
    if (is("response.output_text.delta")) {
        on_part(event, PartType::text, event["delta"].text(), false);
    } else if (is("response.function_call_arguments.delta")) {
        on_arguments(event, ItemType::call, event["delta"], false);
    } else if (is("response.reasoning_summary_text.delta")) {
        on_part(event, PartType::summary, event["delta"].text(), false);
    } else if (is("response.reasoning_text.delta")) {
        on_part(event, PartType::thoughts, event["delta"].text(), false);
    } else if (is("response.custom_tool_call_input.delta")) {
        on_arguments(event, ItemType::custom_call, event["delta"], false);
    } else if (is("response.refusal.delta")) {
        on_part(event, PartType::refusal, event["delta"].text(), false);
    } else if (is("response.output_item.added")) {
        on_item_added(event);
    } else if (is("response.output_item.done")) {
        on_item_done(index_of(event), event["item"]);
    } else if (is("response.output_text.annotation.added")) {
        on_annotation(event);
    } else if (is("response.content_part.done")) {
        on_part_done(event);
    } else if (is("response.output_text.done")) {
        on_part(event, PartType::text, event["text"].text(), true);
    } else if (is("response.refusal.done")) {
        on_part(event, PartType::refusal, event["refusal"].text(), true);
    } else if (is("response.reasoning_summary_text.done")) {
        on_part(event, PartType::summary, event["text"].text(), true);
    } else if (is("response.reasoning_text.done")) {
        on_part(event, PartType::thoughts, event["text"].text(), true);
    } else if (is("response.function_call_arguments.done")) {
        on_arguments(event, ItemType::call, event["arguments"], true);
    } else if (is("response.custom_tool_call_input.done")) {
        on_arguments(event, ItemType::custom_call, event["input"], true);
    } else if (is("response.created") || is("response.in_progress") || is("response.queued")) {
        start(event["response"]);
    } else if (is("response.completed") || is("response.incomplete") || is("response.failed") ||
               is("response.cancelled")) {
        on_terminal(event["response"]);
    } else if (is("error") || is_error_value(event["error"])) {
        fail_as(event, event.raw().bytes);
    }
}

// The first event that says who answers, or the first content of a service that does not say.
void ResponsesDecoder::start(Value response) {
    if (is_started_) {
        return;
    }
    is_started_ = true;
    answer_id_ = response["id"].text().bytes.substr(0, kMaxKeptId);
    StreamEvent event;
    event.kind = EventKind::start;
    event.id = response["id"].text();
    event.name = response["model"].text();
    event.created = read_created(response);
    emit(event);
}

// --- items ----------------------------------------------------------------------------------

int64_t ResponsesDecoder::index_of(Value event) const {
    int64_t latest = items_.empty() ? 0 : items_.back().index;
    return event["output_index"].as_int().value_or(latest);
}

ItemState *ResponsesDecoder::find(int64_t index) {
    auto at = std::find_if(items_.rbegin(), items_.rend(),
                           [index](const ItemState &item) { return item.index == index; });
    return at == items_.rend() ? nullptr : &*at;
}

// The item that an event is about; a new one where the service never announced it. Null, and
// perhaps failed, when there is no such item any more.
ItemState *ResponsesDecoder::item_of(int64_t index, ItemType kind) {
    if (ItemState *item = find(index)) {
        return item->is_done || item->kind != kind ? nullptr : item;
    }
    if (items_.size() >= kMaxOutput) {
        fail("too many output items");
        return nullptr;
    }
    start({});
    ItemState &item = items_.emplace_back();
    item.index = index;
    item.kind = kind;
    return &item;
}

static ItemType kind_of(Value item) {
    Value type = item["type"];
    return type.equals("message")            ? ItemType::message
           : type.equals("reasoning")        ? ItemType::reasoning
           : type.equals("function_call")    ? ItemType::call
           : type.equals("custom_tool_call") ? ItemType::custom_call
                                             : ItemType::hosted;
}

void ResponsesDecoder::on_item_added(Value event) {
    Value value = event["item"];
    if (!value["type"].is_string()) {
        return;
    }
    int64_t next = items_.empty() ? 0 : items_.back().index + 1;
    ItemState *item = item_of(event["output_index"].as_int().value_or(next), kind_of(value));
    if (item == nullptr) {
        return;
    }
    if (item->kind == ItemType::message) {
        item->phase = read_phase(value);
    } else if (item->kind == ItemType::reasoning) {
        take_item_id(*item, value);
    } else if (item->kind == ItemType::call || item->kind == ItemType::custom_call) {
        open_call(*item, value["call_id"].text(), value["name"].text());
    }
}

void ResponsesDecoder::on_item_done(int64_t index, Value value) {
    if (!value["type"].is_string()) {
        return;
    }
    ItemState *item = item_of(index, kind_of(value));
    if (item == nullptr) {
        return;
    }
    switch (item->kind) {
        case ItemType::message:
            item->phase = read_phase(value);
            on_message_done(*item, value);
            break;
        case ItemType::reasoning:
            on_reasoning_done(*item, value);
            break;
        case ItemType::call:
        case ItemType::custom_call:
            on_call_done(*item, value);
            break;
        case ItemType::hosted:
            on_hosted_done(value);
            break;
    }
    item->is_done = true;
    early_ -= item->early.size();
    std::string().swap(item->early);
    std::vector<PartState>().swap(item->parts);
}

void ResponsesDecoder::on_hosted_done(Value value) {
    StreamEvent event;
    event.kind = EventKind::open;
    event.block = next_block_++;
    bool is_image =
        value["type"].equals("image_generation_call") && !value["result"].text().empty();
    if (is_image) {
        event.block_kind = BlockKind::image;
        event.name = {image_mime(value)};
        event.text = value["result"].text();
    } else {
        event.block_kind = BlockKind::opaque;
        event.name = value["type"].text();
        if (!value["id"].text().empty()) {  // clients of this dialect know items by their ids
            event.raw = value.raw();
        }
    }
    event.origin = DialectId::responses;
    emit(event);
    send(EventKind::close, event.block_kind, event.block);
}

// --- the end --------------------------------------------------------------------------------

void ResponsesDecoder::take_usage(Value response) {
    if (read_usage(response["usage"], usage_)) {
        emit({.kind = EventKind::usage, .usage = &usage_});
    }
}

void ResponsesDecoder::on_terminal(Value response) {
    start(response);
    if (is_error_value(response["error"]) || response["status"].equals("failed") ||
        response["status"].equals("cancelled") || !response.is_object()) {
        take_usage(response);
        if (is_error_value(response["error"])) {
            fail_as(response, response.raw().bytes);
        } else {
            fail(ir::ErrorClass::upstream, {"the provider's answer failed"},
                 response["status"].text());
        }
        return;
    }
    // Items that were never done, or never mentioned. Where there are not more of them than the
    // stream had, an index without a state is only counted in another way.
    size_t seen = items_.size();
    int64_t index = 0;
    for (Value item : response["output"].items()) {
        if (!is_ended_ && (find(index) != nullptr || response["output"].size() > seen)) {
            on_item_done(index, item);
        }
        ++index;
    }
    if (is_ended_) {
        return;
    }
    // Whatever is still open, in order of opening.
    std::vector<std::pair<uint32_t, BlockKind>> open;
    for (ItemState &item : items_) {
        for (PartState &part : item.parts) {
            if (part.held > 0) {
                close_part(part);
            }
        }
        bool is_call = item.kind == ItemType::call || item.kind == ItemType::custom_call;
        if (is_call && !item.is_done && item.block != kNoStreamBlock) {
            open.push_back({item.block, BlockKind::tool});
        }
    }
    if (spoken_ != kNoStreamBlock) {
        open.push_back({spoken_, spoken_kind_});
    }
    if (thought_ != kNoStreamBlock) {
        open.push_back({thought_, BlockKind::reasoning});
    }
    std::sort(open.begin(), open.end());
    for (const auto &[block, kind] : open) {
        send(EventKind::close, kind, block);
    }
    take_usage(response);
    Outcome outcome = read_outcome(response, calls_ > 0, has_refusal_ && !has_text_);
    StreamEvent event;
    event.kind = EventKind::finish;
    event.finish = outcome.finish;
    event.native = outcome.native;
    emit(event);
    is_ended_ = true;
    emit({.kind = EventKind::end});
}

void ResponsesDecoder::send(EventKind kind, BlockKind block_kind, uint32_t block, JsonText text) {
    StreamEvent event;
    event.kind = kind;
    event.block_kind = block_kind;
    event.block = block;
    event.text = text;
    emit(event);
}

std::unique_ptr<Decoder> make_decoder() {
    return std::make_unique<ResponsesDecoder>();
}

}  // namespace llm::responses
