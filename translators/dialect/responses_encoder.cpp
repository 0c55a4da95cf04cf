// ir events -> Responses events: which item and part each event belongs to. The items and the
// frames themselves are in responses_encoder_items.cpp.
//
// Items are numbered in order of opening and may be open side by side. Texts and refusals that
// follow one another are parts of one message. An item is declared done when the next one opens or
// the answer ends: only then is it known whether the answer stops in it (status incomplete).
// Reasoning becomes an item with its first fragment; opaque parts go to clients that asked for
// encrypted_content, tagged where another dialect made them. They get the text as well, asked for
// or not: a signature holds for its text only, and the client has to bring back both.
#include "translators/dialect/responses_encoder.hpp"
#include "translators/dialect/json_stream.hpp"

#include <algorithm>

#include "translators/dialect/opaque_tag.hpp"
#include "translators/dialect/openai_answer.hpp"
#include "translators/dialect/responses.hpp"
#include "translators/dialect/responses_input.hpp"

namespace llm::responses {

using ir::BlockKind;
using ir::EventKind;

namespace {

constexpr uint32_t kMaxBlocks = 8192;
constexpr size_t kMaxShownModel = 256;

bool wants_encrypted(const ir::Request *request) {
    if (request == nullptr) {
        return true;  // a replay: the provider gave what it was asked for
    }
    for (const ir::Extra &extra : request->extra) {
        if (json::equals(extra.name, "include") &&
            extra.value.bytes.find("\"reasoning.encrypted_content\"") != std::string_view::npos) {
            return true;
        }
    }
    return false;
}

bool is_incomplete(ir::Finish finish) {
    return finish == ir::Finish::length || finish == ir::Finish::context_length ||
           finish == ir::Finish::content_filter;
}

}  // namespace

ResponsesEncoder::ResponsesEncoder(const ClientView &view, Form form)
    : view_(view),
      form_(form),
      shows_encrypted_(view.show_reasoning && wants_encrypted(view.request)),
      shows_summary_(shows_encrypted_ || (view.show_reasoning && view.request != nullptr &&
                                          !view.request->thinking.display.empty())),
      created_(view.now),
      ids_(view),
      unsettled_(UINT32_MAX) {
    json::append_escaped(view.model.substr(0, kMaxShownModel), scratch_);
    model_ = scratch_.view();
    json::Writer writer(echo_);
    writer.object();
    write_echo(view.request, writer);
    writer.end();
    view_.request = nullptr;  // gone after this
}

void ResponsesEncoder::event(const ir::StreamEvent &event, ByteBuffer &out) {
    if (is_ended_ || (event.choice != 0 && event.kind != EventKind::error)) {
        return;
    }
    if (event.usage != nullptr && event.usage->known) {
        usage_ = *event.usage;
    }
    switch (event.kind) {
        case EventKind::start:
            start(event, out);
            return;
        case EventKind::open:
            open(event, out);
            return;
        case EventKind::delta:
            delta(event, out);
            return;
        case EventKind::signature:
            sign(event, out);
            return;
        case EventKind::redacted:
            redacted(event, out);
            return;
        case EventKind::cite:
            cite(event, out);
            return;
        case EventKind::close:
            close(event.block, out);
            return;
        case EventKind::logprobs:
            logprobs(event, out);
            return;
        case EventKind::finish:
            if (!has_finish_) {
                has_finish_ = true;
                finish_ = event.finish;
            }
            return;
        case EventKind::end:
            end(out);
            return;
        case EventKind::error:
            error(error_of(event), out);
            return;
        case EventKind::usage:
        case EventKind::ping:
            return;
    }
}

void ResponsesEncoder::ping(ByteBuffer &out) {
    if (!is_ended_) {
        out.append(kResponses.ping_frame);
    }
}

void ResponsesEncoder::error(const ApiError &error, ByteBuffer &out) {
    if (is_ended_) {
        return;
    }
    is_ended_ = true;
    has_failed_ = true;
    failure_class_ = error.error_class;
    failure_message_ = error.message.bytes;
    if (is_stream()) {
        append_error_event(error, sequence_++, out);
        response_frame("response.failed", "failed", out);
    }
}

void ResponsesEncoder::start(const ir::StreamEvent &event, ByteBuffer &out) {
    if (is_started_) {
        return;
    }
    is_started_ = true;
    // Another dialect's id would not be taken for one of an answer.
    bool is_own_id = event.id.bytes.starts_with("resp_");
    id_ = is_own_id ? std::string(event.id.bytes) : ids_.make("resp_", 0);
    if (event.created != 0) {
        created_ = event.created;
    }
    if (!event.name.empty()) {
        model_ = event.name.bytes;
    }
    if (is_stream()) {
        response_frame("response.created", "in_progress", out);
        response_frame("response.in_progress", "in_progress", out);
    }
}

// --- blocks ---------------------------------------------------------------------------------

void ResponsesEncoder::open(const ir::StreamEvent &event, ByteBuffer &out) {
    start({}, out);
    if (event.block >= kMaxBlocks) {
        error(ApiError{ErrorClass::upstream_protocol, 0, {"too many content blocks"}}, out);
        return;
    }
    if (event.block >= slots_.size()) {
        slots_.resize(event.block + 1);
    }
    Slot &slot = slots_[event.block];
    if (slot.state != Slot::State::unknown) {
        return;
    }
    slot.state = Slot::State::open;
    slot.kind = event.block_kind;
    switch (event.block_kind) {
        case BlockKind::text:
        case BlockKind::refusal: {
            slot.item = add_message(out);
            bool is_text = event.block_kind == BlockKind::text;
            slot.part = add_part(slot.item, is_text ? PartKind::text : PartKind::refusal, out);
            return;
        }
        case BlockKind::reasoning:
            slot.state = Slot::State::waiting;
            slot.id = event.id.bytes;
            return;
        case BlockKind::tool:
            open_call(event, slot, out);
            return;
        case BlockKind::image:
        case BlockKind::opaque:
            slot.state = Slot::State::closed;
            open_whole(event, out);
            return;
    }
}

void ResponsesEncoder::open_call(const ir::StreamEvent &event, Slot &slot, ByteBuffer &out) {
    if (view_.json_tool && json::equals(event.name, kJsonTool)) {
        slot.kind = BlockKind::text;
        slot.is_output = true;
        slot.item = add_message(out);
        slot.part = add_part(slot.item, PartKind::text, out);
        return;
    }
    JsonText name = tool_name_for_client(event.name, view_.renamed);
    bool is_custom = event.is_custom || is_custom_tool(view_, name);
    if (is_custom && !event.is_custom) {
        slot.input = std::make_unique<CustomInput>();
    }
    slot.item = add_item(is_custom ? ItemKind::custom_call : ItemKind::call, out);
    ReplyItem &item = items_[slot.item];
    item.call_id = event.id.bytes;
    item.name = name.bytes;
    announce(slot.item, out);
    slot.part = add_part(slot.item, is_custom ? PartKind::input : PartKind::arguments, out);
}

// Images, and items of tools that the provider ran.
void ResponsesEncoder::open_whole(const ir::StreamEvent &event, ByteBuffer &out) {
    bool is_image = event.block_kind == BlockKind::image;
    if (!is_image && (event.origin != DialectId::responses || event.raw.empty())) {
        return;
    }
    std::string_view data = is_image ? event.text.bytes : event.raw.bytes;
    if (!hold(data.size(), out)) {
        return;
    }
    uint32_t index = add_item(is_image ? ItemKind::image : ItemKind::whole, out);
    ReplyItem &item = items_[index];
    item.name = event.name.bytes;
    item.data = data;
    if (!is_image) {
        std::replace(item.data.begin(), item.data.end(), '\n', ' ');
        std::replace(item.data.begin(), item.data.end(), '\r', ' ');
    }
    announce(index, out);
    unsettled_ = index;
}

void ResponsesEncoder::delta(const ir::StreamEvent &event, ByteBuffer &out) {
    if (event.block >= slots_.size() || event.text.empty()) {
        return;
    }
    Slot &slot = slots_[event.block];
    if (slot.state == Slot::State::waiting) {
        add_reasoning(slot, out);
        if (shows_summary_) {
            slot.part = add_part(slot.item, PartKind::summary, out);
        }
    }
    if (slot.state != Slot::State::open || items_[slot.item].is_done) {
        return;
    }
    if (slot.kind == BlockKind::reasoning) {
        if (!shows_summary_) {
            return;
        }
        if (items_[slot.item].parts.empty()) {  // its signature came first
            slot.part = add_part(slot.item, PartKind::summary, out);
        }
    }
    if (slot.input != nullptr) {
        scratch_.clear();
        size_t before = slot.input->waiting();
        bool is_fed = slot.input->feed(event.text, scratch_);
        held_bytes_ -= std::min(held_bytes_, before);
        if (is_fed && hold(slot.input->waiting(), out)) {
            grow_part(slot.item, slot.part, {scratch_.view()}, out);
        } else {  // nothing where the bound of the whole answer has said so already
            error(ApiError{ErrorClass::upstream_protocol, 0, {"the input of a tool is too large"}},
                  out);
        }
        return;
    }
    grow_part(slot.item, slot.part, event.text, out);
}

void ResponsesEncoder::sign(const ir::StreamEvent &event, ByteBuffer &out) {
    bool has_block = event.block < slots_.size();
    if (!has_block || event.text.empty() || !shows_encrypted_) {
        return;
    }
    Slot &slot = slots_[event.block];
    if (slot.kind != BlockKind::reasoning || !hold(event.text.bytes.size(), out)) {
        return;
    }
    if (slot.state == Slot::State::waiting) {
        add_reasoning(slot, out);
    }
    bool is_foreign = event.origin != DialectId::responses;
    std::string_view tag = is_foreign ? opaque_tag(event.origin) : std::string_view();
    if (slot.state != Slot::State::open || (is_foreign && tag.empty())) {
        return;
    }
    std::string &data = items_[slot.item].data;
    data.append(data.empty() ? tag : "");  // it may come in pieces
    data.append(event.text.bytes);
}

// A block of its own, which often comes without being opened or closed.
void ResponsesEncoder::redacted(const ir::StreamEvent &event, ByteBuffer &out) {
    ir::StreamEvent opening;
    opening.kind = EventKind::open;
    opening.block_kind = BlockKind::reasoning;
    opening.block = event.block;
    open(opening, out);
    std::string_view tag = opaque_tag(event.origin);
    if (is_ended_ || !shows_encrypted_ || event.text.empty() || tag.empty() ||
        slots_[event.block].state != Slot::State::waiting || !hold(event.text.bytes.size(), out)) {
        return;
    }
    add_reasoning(slots_[event.block], out);
    std::string &data = items_[slots_[event.block].item].data;
    data.assign(tag);
    data.append(kRedacted).append(event.text.bytes);
    close(event.block, out);
}

// Annotations say which characters of the part they are for; those that say none are for all of
// it so far.
void ResponsesEncoder::cite(const ir::StreamEvent &event, ByteBuffer &out) {
    if (event.block >= slots_.size()) {
        return;
    }
    const Slot &slot = slots_[event.block];
    if (slot.state != Slot::State::open || slot.kind != BlockKind::text) {
        return;
    }
    scratch_.clear();
    json::Writer writer(scratch_);
    if (event.origin == DialectId::responses && !event.raw.empty()) {
        write_line(event.raw, writer);
    } else if (event.citation != nullptr && !event.citation->url.empty()) {
        const ir::Citation &cited = *event.citation;
        bool has_place = cited.start >= 0 && cited.end >= cited.start;
        const std::string &text = items_[slot.item].parts[slot.part].text;
        writer.object().key("type").plain("url_citation");
        writer.key("start_index").number(has_place ? cited.start : 0);
        writer.key("end_index").number(has_place ? cited.end : openai::count_characters({text}));
        writer.key("url").text(cited.url).key("title").text(cited.title).end();
    } else {
        return;
    }
    if (hold(scratch_.size(), out)) {
        add_annotation(slot.item, slot.part, scratch_.view(), out);
    }
}

// Tokens of the text at hand; they stand in the events that end it.
void ResponsesEncoder::logprobs(const ir::StreamEvent &event, ByteBuffer &out) {
    if (items_.empty() || items_.back().kind != ItemKind::message || items_.back().is_done ||
        items_.back().parts.back().kind != PartKind::text || !items_.back().has_open_parts()) {
        return;
    }
    Result<json::Value> object = reader_.parse_unpadded(event.raw.bytes);
    if (!object || !hold(event.raw.bytes.size(), out)) {
        return;
    }
    std::string &list = items_.back().parts.back().logprobs;
    for (json::Value token : object.value()["content"].items()) {
        scratch_.clear();
        json::Writer writer(scratch_);
        write_line(token.raw(), writer);
        list.append(list.empty() ? "" : ",").append(scratch_.view());
    }
}

void ResponsesEncoder::close(uint32_t block, ByteBuffer &out) {
    if (block >= slots_.size() || slots_[block].state == Slot::State::closed) {
        return;
    }
    Slot &slot = slots_[block];
    bool is_empty = slot.state != Slot::State::open;
    slot.state = Slot::State::closed;
    if (is_empty) {
        return;
    }
    if (slot.kind == BlockKind::reasoning && items_[slot.item].parts.empty()) {
        finish_or_wait(slot.item, out);
        return;
    }
    ReplyPart &part = items_[slot.item].parts[slot.part];
    if (slot.input != nullptr) {
        scratch_.clear();
        held_bytes_ -= std::min(held_bytes_, slot.input->waiting());
        slot.input->finish(reader_, scratch_);
        grow_part(slot.item, slot.part, {scratch_.view()}, out);
    } else if (json::is_blank({part.text}) &&
               (part.kind == PartKind::arguments || slot.is_output)) {
        grow_part(slot.item, slot.part, {"{}"}, out);  // blank is no JSON, and clients parse it
    }
    if (!is_ended_) {
        close_part(slot.item, slot.part, out);
    }
}

// --- the end --------------------------------------------------------------------------------

// A refusal is told by its part, also where the provider gave no words for it.
void ResponsesEncoder::refuse_without_words(ByteBuffer &out) {
    for (const ReplyItem &item : items_) {
        for (const ReplyPart &part : item.parts) {
            if (part.kind == PartKind::refusal) {
                return;
            }
        }
    }
    uint32_t item = add_message(out);
    uint32_t part = add_part(item, PartKind::refusal, out);
    close_part(item, part, out);
}

void ResponsesEncoder::end(ByteBuffer &out) {
    start({}, out);
    if (finish_ == ir::Finish::error) {
        error(ApiError{ErrorClass::upstream, 0, {"the provider ended with an error"}}, out);
        return;
    }
    for (uint32_t block = 0; block < slots_.size(); ++block) {
        close(block, out);
    }
    if (finish_ == ir::Finish::refusal) {
        refuse_without_words(out);
    }
    if (is_ended_) {
        return;
    }
    bool is_cut = is_incomplete(finish_);
    if (is_cut && unsettled_ < items_.size()) {
        items_[unsettled_].is_incomplete = true;
    }
    settle(out);
    is_ended_ = true;
    if (is_stream()) {
        is_cut ? response_frame("response.incomplete", "incomplete", out)
               : response_frame("response.completed", "completed", out);
    }
}

void ResponsesEncoder::write_body(json::Writer &writer) {
    write_object(has_failed_              ? "failed"
                 : is_incomplete(finish_) ? "incomplete"
                                          : "completed",
                 writer);
}

std::unique_ptr<Encoder> make_encoder(const ClientView &view) {
    return std::make_unique<ResponsesEncoder>(view, ResponsesEncoder::Form::stream);
}

}  // namespace llm::responses
