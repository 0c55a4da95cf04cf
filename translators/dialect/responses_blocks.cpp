// The blocks of a Responses stream: texts and refusals by content part, reasoning and calls by
// item. See responses_decoder.hpp.
//
// Each fragment goes out as it comes. Its length is counted in UTF-16 units, so that the whole
// text, which comes again behind the fragments, is compared with what went out however its writer
// escapes and cuts it.
#include <algorithm>

#include "translators/dialect/responses_decoder.hpp"

namespace llm::responses {

namespace {

constexpr size_t kMaxTools = 256;
constexpr size_t kMaxParts = 4096;
constexpr size_t kMaxName = 1024;
constexpr size_t kMaxId = 64u << 10;
constexpr size_t kMaxEarly = 8u << 20;

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

// What stands behind so many units.
JsonText behind(JsonText text, uint64_t skip) {
    size_t at = 0;
    uint64_t units = 0;
    for (uint64_t length = 0; at < text.bytes.size() && length < skip; length += units) {
        at += step(text.bytes, at, units);
    }
    return {text.bytes.substr(at)};
}

}  // namespace

using ir::BlockKind;
using ir::EventKind;
using ir::StreamEvent;
using json::Value;

// --- texts ----------------------------------------------------------------------------------

PartState *ResponsesDecoder::part_of(ItemState &item, PartType kind, int64_t index) {
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

static bool is_reasoning(PartType kind) {
    return kind == PartType::summary || kind == PartType::thoughts;
}

void ResponsesDecoder::on_part(Value event, PartType kind, JsonText text, bool is_whole) {
    ItemState *item =
        item_of(index_of(event), is_reasoning(kind) ? ItemType::reasoning : ItemType::message);
    if (item == nullptr || text.empty()) {
        return;
    }
    std::string_view name = kind == PartType::summary ? "summary_index" : "content_index";
    PartState *part = part_of(*item, kind, event[name].as_int().value_or(0));
    if (part == nullptr) {
        return;
    }
    Value logprobs = event["logprobs"];
    if (logprobs.size() > 0) {
        release(*part);
        has_answer_ = has_answer_ || item->phase == Phase::final_answer;
    }
    give(*item, *part, text, is_whole);
    if (!is_whole && logprobs.size() > 0) {
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

static BlockKind block_kind(PartType kind) {
    return kind == PartType::text      ? BlockKind::text
           : kind == PartType::refusal ? BlockKind::refusal
                                       : BlockKind::reasoning;
}

// A fragment, or the whole text of the part, of which only what is missing goes out.
void ResponsesDecoder::give(ItemState &item, PartState &part, JsonText text, bool is_whole) {
    text = is_whole ? behind(text, part.length) : text;
    if (text.empty() || part.is_closed) {
        return;
    }
    BlockKind kind = block_kind(part.kind);
    if (kind == BlockKind::reasoning) {
        if (item.source.value_or(part.kind) != part.kind) {
            return;  // summary and thoughts: the first that came is shown
        }
        item.source = part.kind;
        open_reasoning(item);
        if (part.length == 0 && item.has_text && part.kind == PartType::summary) {
            send(EventKind::delta, kind, item.block, {"\\n\\n"});
        }
        item.has_text = true;
        part.length += length_of(text);
        send(EventKind::delta, kind, item.block, text);
        return;
    }
    if (is_repeated(item, part, text)) {
        return;
    }
    if (part.block == kNoStreamBlock || part.block != spoken_) {
        open_part(part);
    }
    part.length += length_of(text);
    send(EventKind::delta, kind, spoken_, text);
}

void ResponsesDecoder::open_part(PartState &part) {
    BlockKind kind = block_kind(part.kind);
    close_spoken();
    spoken_ = part.block = next_block_++;
    spoken_kind_ = kind;
    send(EventKind::open, kind, spoken_);
    has_text_ = has_text_ || kind == BlockKind::text;
    has_refusal_ = has_refusal_ || kind == BlockKind::refusal;
}

// Newer models comment first and answer then, sometimes twice in the same words. As long as the
// answer only repeats the commentary it is held back; close_part knows whether it was all.
bool ResponsesDecoder::is_repeated(const ItemState &item, PartState &part, JsonText text) {
    if (part.kind != PartType::text || item.phase == Phase::none) {
        return false;
    }
    if (item.phase == Phase::commentary) {
        if (!has_answer_ && commentary_.size() + text.bytes.size() <= kMaxCommentary) {
            commentary_.append(text.bytes);
        } else if (!has_answer_) {
            commentary_.clear();
            has_answer_ = true;
        }
        return false;
    }
    bool is_first = !has_answer_;
    has_answer_ = true;
    if (part.block != kNoStreamBlock || (!is_first && part.held == 0)) {
        return false;
    }
    if (std::string_view(commentary_).substr(part.held).starts_with(text.bytes)) {
        part.held += text.bytes.size();
        part.length += length_of(text);
        return true;
    }
    release(part);
    return false;
}

void ResponsesDecoder::release(PartState &part) {
    if (part.held == 0 || part.block != kNoStreamBlock || part.is_closed) {
        return;
    }
    open_part(part);
    send(EventKind::delta, BlockKind::text, spoken_,
         {std::string_view(commentary_).substr(0, part.held)});
}

void ResponsesDecoder::close_spoken() {
    if (spoken_ != kNoStreamBlock) {
        send(EventKind::close, spoken_kind_, spoken_);
        spoken_ = kNoStreamBlock;
    }
}

void ResponsesDecoder::close_part(PartState &part) {
    if (part.held > 0 && part.held == commentary_.size() && part.block == kNoStreamBlock) {
        part.is_closed = true;  // said already
        return;
    }
    release(part);
    if (part.block != kNoStreamBlock && part.block == spoken_) {
        close_spoken();
    }
    part.is_closed = part.is_closed || part.block != kNoStreamBlock;
}

void ResponsesDecoder::on_part_done(Value event) {
    Value value = event["part"];
    ItemState *item = find(index_of(event));
    if (item == nullptr || item->is_done || item->kind != ItemType::message) {
        return;
    }
    bool is_refusal = value["type"].equals("refusal");
    PartState *part = part_of(*item, is_refusal ? PartType::refusal : PartType::text,
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
        PartState *part = part_of(item, is_refusal ? PartType::refusal : PartType::text, index++);
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
    if (item == nullptr || item->is_done || item->kind != ItemType::message) {
        return;
    }
    int64_t index = event["content_index"].as_int().value_or(0);
    for (PartState &part : item->parts) {
        if (part.kind == PartType::text && part.index == index) {
            cite(part, event["annotation"]);
        }
    }
}

void ResponsesDecoder::cite(PartState &part, Value annotation) {
    release(part);
    if (part.block == kNoStreamBlock || part.block != spoken_ || !annotation.is_object()) {
        return;
    }
    ++part.cited;
    ir::Citation citation;
    StreamEvent event;
    event.kind = EventKind::cite;
    event.block = part.block;
    event.raw = annotation["type"].is_string() ? annotation.raw() : RawJson();
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

void ResponsesDecoder::take_item_id(ItemState &item, Value value) {
    if (JsonText id = value["id"].text(); !id.empty() && id.bytes.size() <= kMaxKeptId) {
        item.id = id.bytes;
    }
}

void ResponsesDecoder::open_reasoning(ItemState &item) {
    if (item.block != kNoStreamBlock && item.block == thought_) {
        return;
    }
    close_thought();
    thought_ = item.block = next_block_++;
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
    if (item.block == kNoStreamBlock) {
        take_item_id(item, value);
    }
    for (PartType kind : {PartType::summary, PartType::thoughts}) {
        int64_t index = 0;
        for (Value content : value[kind == PartType::summary ? "summary" : "content"].items()) {
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
    if (item.block == thought_) {
        close_thought();
    }
}

void ResponsesDecoder::close_thought() {
    if (thought_ != kNoStreamBlock) {
        send(EventKind::close, BlockKind::reasoning, thought_);
        thought_ = kNoStreamBlock;
    }
}

// --- calls ----------------------------------------------------------------------------------

// Opens as soon as the name is known; the id is the call's, never the item's own where both are.
void ResponsesDecoder::open_call(ItemState &item, JsonText id, JsonText name) {
    if (item.block != kNoStreamBlock || name.empty() || is_ended_) {
        return;
    }
    if (calls_ >= kMaxTools || name.bytes.size() > kMaxName || id.bytes.size() > kMaxId) {
        fail("too many tool calls, or one with an overlong name or id");
        return;
    }
    bool is_known = std::any_of(items_.begin(), items_.end(), [&](const ItemState &other) {
        return other.kind != ItemType::reasoning && !other.id.empty() && other.id == id.bytes;
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
    event.is_custom = item.kind == ItemType::custom_call;
    emit(event);
    if (!item.early.empty()) {
        send(EventKind::delta, BlockKind::tool, item.block, {item.early});
        early_ -= item.early.size();
        std::string().swap(item.early);
    }
}

void ResponsesDecoder::on_arguments(Value event, ItemType kind, Value text, bool is_whole) {
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
    if (item.block != kNoStreamBlock) {
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
    if (item.block == kNoStreamBlock || is_ended_) {
        return;  // never had a name: nobody could answer it
    }
    give_arguments(item, value[item.kind == ItemType::call ? "arguments" : "input"], true);
    send(EventKind::close, BlockKind::tool, item.block);
}

}  // namespace llm::responses
