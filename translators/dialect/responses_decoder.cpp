// Responses stream -> ir events.
//
// Entry point: make_decoder. The state is one entry for each output item, found by output_index
// (some services change item ids within an item). Deltas are what counts; the `done` events and
// the items in them repeat the text, and give only what was not streamed, by length. A text or
// refusal block stands for one content part, a reasoning block for one item: it is signed and
// closed when the item is done. Items may overlap. Items of tools that the provider ran itself
// come whole, when they are done. What the final response has and the stream had not is taken
// from there. Bounds: 4096 items and parts, 256 calls, 8 MiB of arguments that wait for a name.
#include <algorithm>

#include "translators/dialect/responses.hpp"
#include "translators/dialect/responses_answer.hpp"

namespace llm::responses {

namespace {

using ir::BlockKind;
using ir::ErrorClass;
using ir::EventKind;
using ir::StreamEvent;
using json::Value;

constexpr size_t kMaxTools = 256;
constexpr size_t kMaxParts = 4096;
constexpr size_t kMaxName = 1024;
constexpr size_t kMaxId = 64u << 10;
constexpr size_t kMaxEarly = 8u << 20;
constexpr size_t kMaxKept = 512;  // of the answer's id
constexpr uint32_t kNoBlock = UINT32_MAX;

enum class ItemKind : uint8_t { message, reasoning, call, custom_call, hosted };
enum class PartKind : uint8_t { text, refusal, summary, thoughts };

struct PartState {
    PartKind kind = PartKind::text;
    int64_t index = 0;
    uint32_t block = kNoBlock;  // of texts and refusals
    bool is_closed = false;
    uint32_t cited = 0;   // annotations that went out
    uint64_t length = 0;  // of what went out
};

struct ItemState {
    int64_t index = 0;
    ItemKind kind = ItemKind::message;
    uint32_t block = kNoBlock;  // of reasoning and calls
    bool is_done = false;
    bool has_text = false;           // reasoning: the next summary part is a new paragraph
    std::optional<PartKind> source;  // reasoning: summary or thoughts, never both
    uint64_t length = 0;             // of arguments
    std::string id;                  // reasoning: of the item; calls: of the call
    std::string early;               // arguments that came before the name
    std::vector<PartState> parts;
};

// Length of an escaped text in UTF-16 units: the same however its writer escapes, and whichever
// way surrogate pairs were cut.
uint64_t length_of(JsonText text);
// What stands behind so many units.
JsonText behind(JsonText text, uint64_t units);

class ResponsesDecoder final : public Decoder, private wire::SseHandler {
  public:
    void feed(std::string_view bytes, ir::EventSink &sink) override;
    void finish(ir::EventSink &sink) override;
    bool ended() const override { return is_ended_; }
    size_t memory() const override;

  private:
    Status on_sse(const wire::SseEvent &frame) override;
    void on_event(Value type, Value event);
    void on_item_added(Value event);
    void on_item_done(int64_t index, Value item);
    void on_message_done(ItemState &item, Value value);
    void on_reasoning_done(ItemState &item, Value value);
    void on_call_done(ItemState &item, Value value);
    void on_hosted_done(Value value);
    void on_part(Value event, PartKind kind, JsonText text, bool is_whole);
    void on_part_done(Value event);
    void on_annotation(Value event);
    void on_arguments(Value event, ItemKind kind, Value text, bool is_whole);
    void on_terminal(Value response);

    int64_t index_of(Value event) const;
    ItemState *find(int64_t index);
    ItemState *item_of(int64_t index, ItemKind kind);
    PartState *part_of(ItemState &item, PartKind kind, int64_t index);

    void give(ItemState &item, PartState &part, JsonText text, bool is_whole);
    void cite(PartState &part, Value annotation);
    void cite_rest(PartState &part, Value annotations);
    void close_part(PartState &part);
    void open_reasoning(ItemState &item);
    void open_call(ItemState &item, JsonText id, JsonText name);
    void give_arguments(ItemState &item, Value text, bool is_whole);
    void start(Value response);
    void take_usage(Value response);
    void send(EventKind kind, BlockKind block_kind, uint32_t block, JsonText text = {});
    void fail(ErrorClass error_class, JsonText message, JsonText code = {});
    void fail(std::string_view message) { fail(ErrorClass::upstream_protocol, {message}); }
    void fail_as(Value error, std::string_view body);
    void emit(const StreamEvent &event) { sink_->on_event(event); }

    wire::SseSplitter splitter_;
    json::Reader reader_;
    Arena arena_;
    ir::EventSink *sink_ = nullptr;
    std::vector<ItemState> items_;
    std::string answer_id_;
    Usage usage_;
    size_t early_ = 0;  // bytes that wait for names
    size_t parts_ = 0;
    uint32_t next_block_ = 0;
    uint32_t calls_ = 0;
    bool has_text_ = false;
    bool has_refusal_ = false;
    bool is_started_ = false;
    bool is_ended_ = false;
    bool is_draining_ = false;  // the input is over: half an event is no malformed one
};

// --- lengths --------------------------------------------------------------------------------

// Bytes of the character or escape at `at`, and its units.
size_t step(std::string_view bytes, size_t at, uint64_t &units) {
    unsigned char c = static_cast<unsigned char>(bytes[at]);
    size_t size = 1;
    units = 1;
    if (c == '\\') {
        size = at + 1 < bytes.size() && bytes[at + 1] == 'u' ? 6 : 2;
    } else if (c >= 0xf0) {
        size = 4;
        units = 2;
    } else if (c >= 0xc0) {
        size = c >= 0xe0 ? 3 : 2;
    }
    return std::min(size, bytes.size() - at);
}

uint64_t length_of(JsonText text) {
    uint64_t length = 0;
    uint64_t units = 0;
    for (size_t at = 0; at < text.bytes.size(); length += units) {
        at += step(text.bytes, at, units);
    }
    return length;
}

JsonText behind(JsonText text, uint64_t skip) {
    size_t at = 0;
    uint64_t units = 0;
    for (uint64_t length = 0; at < text.bytes.size() && length < skip; length += units) {
        at += step(text.bytes, at, units);
    }
    return {text.bytes.substr(at)};
}

// --- frames ---------------------------------------------------------------------------------

Error stop() {
    return Error{Errc::upstream_protocol, "the stream is over", {}, 0};
}

void ResponsesDecoder::feed(std::string_view bytes, ir::EventSink &sink) {
    if (is_ended_) {
        return;
    }
    sink_ = &sink;
    Status status = splitter_.feed(bytes, *this);
    if (!status && !is_ended_) {
        fail(status.error().what);
    }
}

void ResponsesDecoder::finish(ir::EventSink &sink) {
    if (is_ended_) {
        return;
    }
    sink_ = &sink;
    is_draining_ = true;
    static_cast<void>(splitter_.finish(*this));
    if (!is_ended_) {
        fail(ErrorClass::stream_truncated, {"the provider's stream ended early"});
    }
}

size_t ResponsesDecoder::memory() const {
    size_t sum = splitter_.memory() + answer_id_.capacity();
    for (const ItemState &item : items_) {
        sum += sizeof item + item.id.capacity() + item.early.capacity() +
               item.parts.capacity() * sizeof(PartState);
    }
    return sum;
}

Status ResponsesDecoder::on_sse(const wire::SseEvent &frame) {
    std::string_view data = frame.data;
    size_t first = data.find_first_not_of(" \t\r\n");
    if (!frame.has_data || first == std::string_view::npos) {
        return {};
    }
    data = data.substr(first, data.find_last_not_of(" \t\r\n") + 1 - first);
    if (data == "[DONE]") {  // imitators; what they end with before it has ended us
        fail(ErrorClass::stream_truncated, {"the provider's stream ended early"});
        return stop();
    }
    arena_.reset();
    json::Limits limits;
    limits.allow_lone_surrogates = true;
    Result<Value> root = reader_.parse(data, limits);
    if (!root) {
        if (is_draining_) {
            return {};
        }
        if (frame.name == "error") {
            fail_as({}, data);
        } else {
            fail("an event of the provider's stream is not JSON");
        }
        return stop();
    }
    if (root->is_object()) {
        Value type = (*root)["type"];
        if (type.is_string()) {
            on_event(type, *root);
        } else if (frame.name == "error" || is_error_value((*root)["error"])) {
            fail_as(*root, data);
        }
    }
    return is_ended_ ? Status(stop()) : Status();
}

void ResponsesDecoder::on_event(Value type, Value event) {
    auto is = [type](std::string_view name) { return type.equals(name); };
    if (is("response.output_text.delta")) {
        on_part(event, PartKind::text, event["delta"].text(), false);
    } else if (is("response.function_call_arguments.delta")) {
        on_arguments(event, ItemKind::call, event["delta"], false);
    } else if (is("response.reasoning_summary_text.delta")) {
        on_part(event, PartKind::summary, event["delta"].text(), false);
    } else if (is("response.reasoning_text.delta")) {
        on_part(event, PartKind::thoughts, event["delta"].text(), false);
    } else if (is("response.custom_tool_call_input.delta")) {
        on_arguments(event, ItemKind::custom_call, event["delta"], false);
    } else if (is("response.refusal.delta")) {
        on_part(event, PartKind::refusal, event["delta"].text(), false);
    } else if (is("response.output_item.added")) {
        on_item_added(event);
    } else if (is("response.output_item.done")) {
        on_item_done(index_of(event), event["item"]);
    } else if (is("response.output_text.annotation.added")) {
        on_annotation(event);
    } else if (is("response.content_part.done")) {
        on_part_done(event);
    } else if (is("response.output_text.done")) {
        on_part(event, PartKind::text, event["text"].text(), true);
    } else if (is("response.refusal.done")) {
        on_part(event, PartKind::refusal, event["refusal"].text(), true);
    } else if (is("response.reasoning_summary_text.done")) {
        on_part(event, PartKind::summary, event["text"].text(), true);
    } else if (is("response.reasoning_text.done")) {
        on_part(event, PartKind::thoughts, event["text"].text(), true);
    } else if (is("response.function_call_arguments.done")) {
        on_arguments(event, ItemKind::call, event["arguments"], true);
    } else if (is("response.custom_tool_call_input.done")) {
        on_arguments(event, ItemKind::custom_call, event["input"], true);
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
    answer_id_ = response["id"].text().bytes.substr(0, kMaxKept);
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
ItemState *ResponsesDecoder::item_of(int64_t index, ItemKind kind) {
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

ItemKind kind_of(Value item) {
    Value type = item["type"];
    return type.equals("message")            ? ItemKind::message
           : type.equals("reasoning")        ? ItemKind::reasoning
           : type.equals("function_call")    ? ItemKind::call
           : type.equals("custom_tool_call") ? ItemKind::custom_call
                                             : ItemKind::hosted;
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
    if (item->kind == ItemKind::reasoning) {
        item->id = value["id"].text().bytes.substr(0, kMaxKept);
    } else if (item->kind == ItemKind::call || item->kind == ItemKind::custom_call) {
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
        case ItemKind::message:
            on_message_done(*item, value);
            break;
        case ItemKind::reasoning:
            on_reasoning_done(*item, value);
            break;
        case ItemKind::call:
        case ItemKind::custom_call:
            on_call_done(*item, value);
            break;
        case ItemKind::hosted:
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
        event.raw = value.raw();
    }
    event.origin = DialectId::responses;
    emit(event);
    send(EventKind::close, event.block_kind, event.block);
}

// --- texts ----------------------------------------------------------------------------------

PartState *ResponsesDecoder::part_of(ItemState &item, PartKind kind, int64_t index) {
    for (PartState &part : item.parts) {
        if (part.kind == kind && part.index == index) {
            return &part;
        }
    }
    if (parts_ >= kMaxParts) {
        fail("too many content parts");
        return nullptr;
    }
    ++parts_;
    PartState &part = item.parts.emplace_back();
    part.kind = kind;
    part.index = index;
    return &part;
}

bool is_reasoning(PartKind kind) {
    return kind == PartKind::summary || kind == PartKind::thoughts;
}

void ResponsesDecoder::on_part(Value event, PartKind kind, JsonText text, bool is_whole) {
    ItemState *item =
        item_of(index_of(event), is_reasoning(kind) ? ItemKind::reasoning : ItemKind::message);
    if (item == nullptr || text.empty()) {
        return;
    }
    std::string_view name = kind == PartKind::summary ? "summary_index" : "content_index";
    PartState *part = part_of(*item, kind, event[name].as_int().value_or(0));
    if (part == nullptr) {
        return;
    }
    give(*item, *part, text, is_whole);
    if (Value logprobs = event["logprobs"]; !is_whole && logprobs.size() > 0) {
        StreamEvent found;
        found.kind = EventKind::logprobs;
        std::string_view list = logprobs.raw().bytes;
        constexpr std::string_view kHead = "{\"content\":";
        constexpr std::string_view kTail = ",\"refusal\":null}";
        char *made = arena_.allocate(kHead.size() + list.size() + kTail.size());
        size_t size = kHead.copy(made, kHead.size());
        size += list.copy(made + size, list.size());
        size += kTail.copy(made + size, kTail.size());
        found.raw = {{made, size}};
        emit(found);
    }
}

// A fragment, or the whole text of the part, of which only what is missing goes out.
void ResponsesDecoder::give(ItemState &item, PartState &part, JsonText text, bool is_whole) {
    text = is_whole ? behind(text, part.length) : text;
    if (text.empty() || part.is_closed) {
        return;
    }
    BlockKind kind = part.kind == PartKind::text      ? BlockKind::text
                     : part.kind == PartKind::refusal ? BlockKind::refusal
                                                      : BlockKind::reasoning;
    uint32_t block = part.block;
    if (kind == BlockKind::reasoning) {
        if (item.source.value_or(part.kind) != part.kind) {
            return;  // summary and thoughts: the first that came is shown
        }
        item.source = part.kind;
        open_reasoning(item);
        block = item.block;
        if (part.length == 0 && item.has_text && part.kind == PartKind::summary) {
            send(EventKind::delta, kind, block, {"\\n\\n"});
        }
        item.has_text = true;
    } else if (block == kNoBlock) {
        for (PartState &other : item.parts) {
            close_part(other);
        }
        part.is_closed = false;
        block = part.block = next_block_++;
        send(EventKind::open, kind, block);
        has_text_ = has_text_ || kind == BlockKind::text;
        has_refusal_ = has_refusal_ || kind == BlockKind::refusal;
    }
    part.length += length_of(text);
    send(EventKind::delta, kind, block, text);
}

void ResponsesDecoder::close_part(PartState &part) {
    if (part.block != kNoBlock && !part.is_closed) {
        part.is_closed = true;
        send(EventKind::close, part.kind == PartKind::text ? BlockKind::text : BlockKind::refusal,
             part.block);
    }
}

void ResponsesDecoder::on_part_done(Value event) {
    Value value = event["part"];
    ItemState *item = find(index_of(event));
    if (item == nullptr || item->is_done || item->kind != ItemKind::message) {
        return;
    }
    bool is_refusal = value["type"].equals("refusal");
    PartState *part = part_of(*item, is_refusal ? PartKind::refusal : PartKind::text,
                              event["content_index"].as_int().value_or(0));
    if (part != nullptr) {
        give(*item, *part, value[is_refusal ? "refusal" : "text"].text(), true);
        cite_rest(*part, value["annotations"]);
        close_part(*part);
    }
}

void ResponsesDecoder::on_message_done(ItemState &item, Value value) {
    int64_t index = 0;
    for (Value content : value["content"].items()) {
        bool is_refusal = content["type"].equals("refusal");
        PartState *part = part_of(item, is_refusal ? PartKind::refusal : PartKind::text, index++);
        if (part == nullptr) {
            return;
        }
        give(item, *part, content[is_refusal ? "refusal" : "text"].text(), true);
        cite_rest(*part, content["annotations"]);
        close_part(*part);
    }
    for (PartState &part : item.parts) {
        close_part(part);
    }
}

void ResponsesDecoder::on_annotation(Value event) {
    ItemState *item = find(index_of(event));
    if (item == nullptr || item->is_done || item->kind != ItemKind::message) {
        return;
    }
    int64_t index = event["content_index"].as_int().value_or(0);
    for (PartState &part : item->parts) {
        if (part.kind == PartKind::text && part.index == index) {
            cite(part, event["annotation"]);
        }
    }
}

void ResponsesDecoder::cite(PartState &part, Value annotation) {
    if (part.block == kNoBlock || part.is_closed || !annotation.is_object()) {
        return;
    }
    ++part.cited;
    ir::Citation citation;
    StreamEvent event;
    event.kind = EventKind::cite;
    event.block = part.block;
    event.raw = annotation.raw();
    event.origin = DialectId::responses;
    event.citation = read_annotation(annotation, citation) ? &citation : nullptr;
    emit(event);
}

void ResponsesDecoder::cite_rest(PartState &part, Value annotations) {
    uint32_t skip = part.cited;
    for (Value annotation : annotations.items()) {
        if (skip > 0) {
            --skip;
        } else {
            cite(part, annotation);
        }
    }
}

// --- reasoning ------------------------------------------------------------------------------

void ResponsesDecoder::open_reasoning(ItemState &item) {
    if (item.block != kNoBlock) {
        return;
    }
    item.block = next_block_++;
    StreamEvent event;
    event.kind = EventKind::open;
    event.block_kind = BlockKind::reasoning;
    event.block = item.block;
    event.id = {item.id};
    event.origin = DialectId::responses;
    emit(event);
}

// The encrypted content of the finished item is the one that counts: it grows meanwhile.
void ResponsesDecoder::on_reasoning_done(ItemState &item, Value value) {
    if (JsonText id = value["id"].text(); item.block == kNoBlock && !id.empty()) {
        item.id = id.bytes.substr(0, kMaxKept);
    }
    for (PartKind kind : {PartKind::summary, PartKind::thoughts}) {
        int64_t index = 0;
        for (Value content : value[kind == PartKind::summary ? "summary" : "content"].items()) {
            PartState *part = part_of(item, kind, index++);
            if (part == nullptr) {
                return;
            }
            give(item, *part, content["text"].text(), true);
        }
    }
    if (JsonText encrypted = value["encrypted_content"].text(); !encrypted.empty()) {
        open_reasoning(item);
        StreamEvent event;
        event.kind = EventKind::signature;
        event.block_kind = BlockKind::reasoning;
        event.block = item.block;
        event.text = encrypted;
        event.origin = DialectId::responses;
        emit(event);
    }
    if (item.block != kNoBlock) {
        send(EventKind::close, BlockKind::reasoning, item.block);
    }
}

// --- calls ----------------------------------------------------------------------------------

// Opens as soon as the name is known; the id is the call's, never the item's own where both are.
void ResponsesDecoder::open_call(ItemState &item, JsonText id, JsonText name) {
    if (item.block != kNoBlock || name.empty() || is_ended_) {
        return;
    }
    if (calls_ >= kMaxTools || name.bytes.size() > kMaxName || id.bytes.size() > kMaxId) {
        fail("too many tool calls, or one with an overlong name or id");
        return;
    }
    bool is_known = std::any_of(items_.begin(), items_.end(), [&](const ItemState &other) {
        return other.kind != ItemKind::reasoning && !other.id.empty() && other.id == id.bytes;
    });
    bool is_usable = !id.empty() && !is_known;
    id = is_usable ? id : invent_call_id({answer_id_}, calls_, arena_);
    item.id = id.bytes;
    item.block = next_block_++;
    ++calls_;
    StreamEvent event;
    event.kind = EventKind::open;
    event.block_kind = BlockKind::tool;
    event.block = item.block;
    event.id = id;
    event.name = name;
    emit(event);
    if (!item.early.empty()) {
        send(EventKind::delta, BlockKind::tool, item.block, {item.early});
        early_ -= item.early.size();
        std::string().swap(item.early);
    }
}

void ResponsesDecoder::on_arguments(Value event, ItemKind kind, Value text, bool is_whole) {
    ItemState *item = item_of(index_of(event), kind);
    if (item == nullptr) {
        return;
    }
    open_call(*item, event["call_id"].text(), event["name"].text());
    give_arguments(*item, text, is_whole);
}

void ResponsesDecoder::give_arguments(ItemState &item, Value value, bool is_whole) {
    JsonText text = value.is_object() ? json::escape(value.raw().bytes, arena_) : value.text();
    text = is_whole ? behind(text, item.length) : text;
    if (text.empty() || is_ended_) {
        return;
    }
    item.length += length_of(text);
    if (item.block != kNoBlock) {
        send(EventKind::delta, BlockKind::tool, item.block, text);
        return;
    }
    early_ += text.bytes.size();
    item.early.append(text.bytes);
    if (early_ > kMaxEarly) {
        fail("a tool call without a name");
    }
}

void ResponsesDecoder::on_call_done(ItemState &item, Value value) {
    JsonText id = value["call_id"].text();
    open_call(item, id.empty() ? value["id"].text() : id, value["name"].text());
    if (item.block == kNoBlock || is_ended_) {
        return;  // never had a name: nobody could answer it
    }
    give_arguments(item, value[item.kind == ItemKind::call ? "arguments" : "input"], true);
    send(EventKind::close, BlockKind::tool, item.block);
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
            fail(ErrorClass::upstream, {"the provider's answer failed"}, response["status"].text());
        }
        return;
    }
    // Items that were never done, or never mentioned. Where there are not more of them than the
    // stream had, an index without a state is only counted in another way.
    size_t seen = items_.size();
    int64_t index = 0;
    for (Value item : response["output"].items()) {
        if (is_ended_) {
            return;
        }
        if (find(index) != nullptr || response["output"].size() > seen) {
            on_item_done(index, item);
        }
        ++index;
    }
    // Whatever is still open, in order of opening.
    std::vector<std::pair<uint32_t, BlockKind>> open;
    for (const ItemState &item : items_) {
        if (item.is_done) {
            continue;
        }
        if (item.block != kNoBlock) {
            bool is_call = item.kind != ItemKind::reasoning;
            open.push_back({item.block, is_call ? BlockKind::tool : BlockKind::reasoning});
        }
        for (const PartState &part : item.parts) {
            if (part.block != kNoBlock && !part.is_closed) {
                bool is_text = part.kind == PartKind::text;
                open.push_back({part.block, is_text ? BlockKind::text : BlockKind::refusal});
            }
        }
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

void ResponsesDecoder::fail(ErrorClass error_class, JsonText message, JsonText code) {
    if (is_ended_) {
        return;
    }
    is_ended_ = true;
    StreamEvent event;
    event.kind = EventKind::error;
    event.error_class = error_class;
    event.text = message;
    event.name = code;
    emit(event);
}

void ResponsesDecoder::fail_as(Value root, std::string_view body) {
    ApiError error = read_error(0, root, body, arena_);
    fail(error.error_class, error.message, error.code);
}

}  // namespace

std::unique_ptr<Decoder> make_decoder() {
    return std::make_unique<ResponsesDecoder>();
}

}  // namespace llm::responses
