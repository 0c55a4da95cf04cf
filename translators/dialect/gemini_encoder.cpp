// ir events -> streamGenerateContent chunks, as server-sent events or as one growing array.
//
// Text and thoughts go out as they come. A call needs its whole arguments: they are held until its
// block is closed and every call opened before it went out, so calls keep their order. A signature
// is held for the call that follows; when none does, it goes out on an empty text part. The finish
// reasons of all candidates, citations and usage stand in the last chunk. Behind an error nothing
// follows, but that an array is closed. Another dialect's signature comes behind its thoughts, and
// SDKs overlook one on a part without text: the last character of thoughts waits for it.
#include <algorithm>
#include <string>

#include "translators/dialect/custom_input.hpp"
#include "translators/dialect/gemini.hpp"
#include "translators/dialect/gemini_client.hpp"
#include "translators/dialect/json_stream.hpp"
#include "translators/dialect/tool_arguments.hpp"
#include "translators/json/escapes.hpp"
#include "translators/wire/json_array.hpp"

namespace llm::gemini {

namespace {

using ir::BlockKind;
using ir::EventKind;
using ir::StreamEvent;

constexpr uint32_t kNone = UINT32_MAX;
constexpr size_t kMaxHeld = 8u << 20;  // arguments and signatures, of all open blocks
constexpr size_t kMaxBlocks = 8192;    // open at once

struct Block {
    uint32_t number = 0;
    uint32_t choice = 0;
    BlockKind kind = BlockKind::text;
    DialectId origin = DialectId::gemini;  // of the signature
    bool is_closed = false;                // a call that waits for one before it
    bool has_text = false;
    std::string id = {};
    std::string name = {};
    std::string held = {};       // arguments of a call; signature of thoughts; escaped
    std::string last = {};       // character of thoughts, which waits for their signature
    std::string signature = {};  // of a call, as the client gets it
};

struct ChoiceState {
    uint32_t index = 0;
    std::string signature = {};  // waits for a call, as the client gets it
    Grounding grounding = {};
    ir::Finish finish = ir::Finish::other;
};

// Raw JSON may be spread over lines; a frame may not.
void append_line(std::string_view raw, ByteBuffer &out) {
    while (!raw.empty()) {
        size_t end = raw.find_first_of("\r\n");
        out.append(raw.substr(0, end));
        if (end == std::string_view::npos) {
            return;
        }
        out.append(' ');
        raw.remove_prefix(end + 1);
    }
}

class GeminiEncoder final : public Encoder {
  public:
    explicit GeminiEncoder(const ClientView &view) : view_(view), shown_model_(view.model) {
        view_.request = nullptr;
    }

    void event(const StreamEvent &event, ByteBuffer &out) override;
    void ping(ByteBuffer &out) override;
    void error(const ApiError &error, ByteBuffer &out) override;

  private:
    void take(const StreamEvent &event, ByteBuffer &out);
    void start(const StreamEvent &event);
    void open(const StreamEvent &event, ByteBuffer &out);
    void delta(const StreamEvent &event, ByteBuffer &out);
    void hold(std::string &into, JsonText text, ByteBuffer &out);
    void redacted(const StreamEvent &event, ByteBuffer &out);
    void cite(const StreamEvent &event);
    void close(const StreamEvent &event, ByteBuffer &out);
    void close_thoughts(Block &block, ByteBuffer &out);
    void think(Block &block, JsonText text, JsonText signature, ByteBuffer &out);
    void let_go(uint32_t but, ByteBuffer &out);
    void send_calls(uint32_t choice, ByteBuffer &out);
    void keep_signature(uint32_t choice, JsonText signature, ByteBuffer &out);
    void logprobs(const StreamEvent &event, ByteBuffer &out);
    void end(ByteBuffer &out);

    void fail(ErrorClass error_class, std::string_view message, ByteBuffer &out) {
        ApiError failure;
        failure.error_class = error_class;
        failure.message = {message};
        error(failure, out);
    }

    ChoiceState &choice(uint32_t index);
    Block *find(uint32_t number);
    void forget(Block *block);
    void begin_frame(ByteBuffer &out);
    void end_frame(ByteBuffer &out) { out.append(view_.json_array ? "" : "\r\n\r\n"); }
    // `{"candidates":[{"content":{"parts":[`, and a signature that waits: parts follow, in commas.
    bool begin_chunk(ChoiceState *owner, ByteBuffer &out);
    void end_chunk(uint32_t choice, ByteBuffer &out);
    void text_chunk(uint32_t choice, JsonText text, ByteBuffer &out);

    ClientView view_;
    std::string shown_model_;
    ByteBuffer prompt_;  // usageMetadata of the chunks before the last, where it is known
    ByteBuffer tail_;    // modelVersion and responseId
    wire::JsonArrayFraming framing_;
    std::vector<ChoiceState> choices_;
    std::vector<Block> blocks_;  // the open ones, and calls that wait; in order of opening
    size_t held_ = 0;
    CustomAsFunction custom_;
    json::Reader reader_;  // for logprobs only
    Arena arena_;          // one event's
    Usage usage_;
    bool is_ended_ = false;
};

void GeminiEncoder::event(const StreamEvent &event, ByteBuffer &out) {
    custom_.pass(event, [&](const StreamEvent &one) { take(one, out); });
}

void GeminiEncoder::take(const StreamEvent &event, ByteBuffer &out) {
    if (is_ended_) {
        return;
    }
    if (tail_.size() == 0 && event.kind != EventKind::error && event.kind != EventKind::ping) {
        start(event);
    }
    if (event.usage != nullptr && event.usage->known) {
        usage_ = *event.usage;
    }
    switch (event.kind) {
        case EventKind::start:
            choice(event.choice);
            break;
        case EventKind::open:
            open(event, out);
            break;
        case EventKind::delta:
            delta(event, out);
            break;
        case EventKind::signature:
            if (Block *block = find(event.block); block != nullptr) {
                if (block->kind == BlockKind::reasoning) {
                    block->origin = event.origin;
                    hold(block->held, event.text, out);
                }
            }
            break;
        case EventKind::redacted:
            redacted(event, out);
            break;
        case EventKind::cite:
            cite(event);
            break;
        case EventKind::close:
            close(event, out);
            break;
        case EventKind::logprobs:
            logprobs(event, out);
            break;
        case EventKind::finish:
            choice(event.choice).finish = event.finish;
            break;
        case EventKind::end:
            end(out);
            break;
        case EventKind::error:
            error(error_of(event), out);
            break;
        case EventKind::ping:
            ping(out);
            break;
        case EventKind::usage:
            break;
    }
    arena_.reset();
}

void GeminiEncoder::ping(ByteBuffer &out) {
    if (is_ended_) {
        return;
    }
    if (view_.json_array) {
        framing_.ping(out);
    } else {
        out.append(kGemini.ping_frame);
    }
}

void GeminiEncoder::error(const ApiError &error, ByteBuffer &out) {
    if (is_ended_) {
        return;
    }
    is_ended_ = true;
    if (!view_.json_array) {
        render_error_frame(error, out);
        return;
    }
    framing_.begin(out);
    json::Writer writer(out);
    render_error(error, {}, writer);
    framing_.finish(out);
}

// --- chunks ---------------------------------------------------------------------------------

void GeminiEncoder::start(const StreamEvent &event) {
    bool is_start = event.kind == EventKind::start;
    if (is_start && event.usage != nullptr && event.usage->known && event.usage->input > 0) {
        prompt_.append("\"usageMetadata\":{\"promptTokenCount\":");
        json::Writer(prompt_).number(event.usage->input);
        prompt_.append("},");
    }
    tail_.append("\"modelVersion\":");
    if (is_start && !event.name.empty()) {
        json::Writer(tail_).text(event.name);
    } else {
        json::Writer(tail_).plain(shown_model_);
    }
    tail_.append(",\"responseId\":");
    json::Writer id(tail_);
    if (is_start && !event.id.empty()) {
        id.text(event.id);
    } else {
        write_answer_id(view_, id);
    }
    tail_.append('}');
}

ChoiceState &GeminiEncoder::choice(uint32_t index) {
    for (ChoiceState &known : choices_) {
        if (known.index == index) {
            return known;
        }
    }
    choices_.emplace_back().index = index;
    return choices_.back();
}

Block *GeminiEncoder::find(uint32_t number) {
    for (Block &block : blocks_) {
        if (block.number == number && !block.is_closed) {
            return &block;
        }
    }
    return nullptr;
}

void GeminiEncoder::forget(Block *block) {
    held_ -= std::min(held_, block->held.size());
    blocks_.erase(blocks_.begin() + (block - blocks_.data()));
}

void GeminiEncoder::begin_frame(ByteBuffer &out) {
    if (view_.json_array) {
        framing_.begin(out);
    } else {
        out.append("data: ");
    }
}

// True when a part was written already.
bool GeminiEncoder::begin_chunk(ChoiceState *owner, ByteBuffer &out) {
    begin_frame(out);
    out.append("{\"candidates\":[{\"content\":{\"parts\":[");
    if (owner == nullptr || owner->signature.empty()) {
        return false;
    }
    out.append("{\"text\":\"\",\"thoughtSignature\":\"");
    out.append(owner->signature);
    out.append("\"}");
    owner->signature.clear();
    return true;
}

void GeminiEncoder::end_chunk(uint32_t index, ByteBuffer &out) {
    out.append("],\"role\":\"model\"},\"index\":");
    json::Writer(out).number(index);
    out.append("}],");
    out.append(prompt_.view());
    out.append(tail_.view());
    end_frame(out);
}

void GeminiEncoder::text_chunk(uint32_t index, JsonText text, ByteBuffer &out) {
    ChoiceState &owner = choice(index);
    owner.grounding.text(text);
    out.append(begin_chunk(&owner, out) ? ",{\"text\":\"" : "{\"text\":\"");
    out.append(text.bytes);
    out.append("\"}");
    end_chunk(index, out);
}

// --- blocks ---------------------------------------------------------------------------------

void GeminiEncoder::open(const StreamEvent &event, ByteBuffer &out) {
    if (blocks_.size() >= kMaxBlocks) {
        fail(ErrorClass::upstream_protocol, "too many open blocks", out);
        return;
    }
    let_go(event.block, out);
    ChoiceState &owner = choice(event.choice);
    Block block;
    block.number = event.block;
    block.choice = event.choice;
    block.kind = event.block_kind;
    switch (event.block_kind) {
        case BlockKind::tool:
            if (view_.json_tool && json::equals(event.name, kJsonTool)) {
                block.kind = BlockKind::text;
                owner.grounding.open_text();
                break;
            }
            block.id = event.id.bytes;
            block.name = event.name.bytes;
            block.signature.swap(owner.signature);
            break;
        case BlockKind::refusal:
            block.kind = BlockKind::text;
            owner.grounding.open_text();
            break;
        case BlockKind::text:
            owner.grounding.open_text();
            break;
        case BlockKind::image:
            out.append(begin_chunk(&owner, out) ? "," : "");
            out.append("{\"inlineData\":{\"mimeType\":\"");
            out.append(event.name.empty() ? std::string_view("image/png") : event.name.bytes);
            out.append("\",\"data\":\"");
            out.append(event.text.bytes);
            out.append("\"}}");
            end_chunk(event.choice, out);
            break;
        case BlockKind::opaque:
            if (event.origin == DialectId::gemini && !event.raw.empty()) {
                out.append(begin_chunk(&owner, out) ? "," : "");
                append_line(event.raw.bytes, out);
                end_chunk(event.choice, out);
            }
            break;
        case BlockKind::reasoning:
            break;
    }
    blocks_.push_back(std::move(block));
}

void GeminiEncoder::delta(const StreamEvent &event, ByteBuffer &out) {
    Block *block = find(event.block);
    if (block == nullptr || event.text.empty()) {
        return;
    }
    block->has_text = true;
    let_go(event.block, out);
    switch (block->kind) {
        case BlockKind::text:
            text_chunk(event.choice, event.text, out);
            break;
        case BlockKind::reasoning:
            if (view_.show_reasoning) {
                block->last.append(event.text.bytes);
                std::string_view text = arena_.copy(block->last);
                size_t last = json::last_character(text);
                block->last = text.substr(last);
                think(*block, {text.substr(0, last)}, {}, out);
            }
            break;
        case BlockKind::tool:
            hold(block->held, event.text, out);
            break;
        case BlockKind::refusal:
        case BlockKind::image:
        case BlockKind::opaque:
            break;
    }
}

void GeminiEncoder::hold(std::string &into, JsonText text, ByteBuffer &out) {
    held_ += text.bytes.size();
    if (held_ > kMaxHeld) {
        fail(ErrorClass::upstream_protocol, "the arguments of a call are too large", out);
        return;
    }
    into += text.bytes;
}

void GeminiEncoder::redacted(const StreamEvent &event, ByteBuffer &out) {
    if (Block *block = find(event.block)) {
        forget(block);
    }
    keep_signature(event.choice, signature_for_client(event.origin, event.text, true, arena_), out);
}

void GeminiEncoder::keep_signature(uint32_t index, JsonText signature, ByteBuffer &out) {
    if (signature.empty()) {
        return;
    }
    ChoiceState &owner = choice(index);
    if (!owner.signature.empty()) {
        begin_chunk(&owner, out);
        end_chunk(index, out);
    }
    if (signature.bytes.size() <= kMaxHeld) {
        owner.signature = signature.bytes;
    }
}

void GeminiEncoder::cite(const StreamEvent &event) {
    Grounding &grounding = choice(event.choice).grounding;
    if (event.origin == DialectId::gemini && !event.raw.empty()) {
        grounding.cite_raw(event.raw);
    } else if (event.citation != nullptr) {
        grounding.cite(*event.citation);
    }
}

void GeminiEncoder::close(const StreamEvent &event, ByteBuffer &out) {
    Block *block = find(event.block);
    if (block == nullptr) {
        return;
    }
    if (block->kind == BlockKind::tool) {
        block->is_closed = true;
        send_calls(block->choice, out);
        return;
    }
    if (block->kind == BlockKind::reasoning && !block->held.empty()) {
        close_thoughts(*block, out);
    }
    think(*block, {block->last}, {}, out);
    forget(block);
}

void GeminiEncoder::think(Block &block, JsonText text, JsonText signature, ByteBuffer &out) {
    if (text.empty() && signature.empty()) {
        return;
    }
    out.append(begin_chunk(&choice(block.choice), out) ? "," : "");
    out.append("{\"text\":\"");
    out.append(text.bytes);
    out.append("\",\"thought\":true");
    if (!signature.empty()) {
        out.append(",\"thoughtSignature\":\"");
        out.append(signature.bytes);
        out.append('"');
    }
    out.append('}');
    end_chunk(block.choice, out);
}

// Thoughts wait no longer when another block goes on.
void GeminiEncoder::let_go(uint32_t but, ByteBuffer &out) {
    for (Block &block : blocks_) {
        if (block.number != but && !block.last.empty()) {
            think(block, {block.last}, {}, out);
            block.last.clear();
        }
    }
}

void GeminiEncoder::close_thoughts(Block &block, ByteBuffer &out) {
    JsonText signature = signature_for_client(block.origin, {block.held}, false, arena_);
    bool is_foreign = block.origin != DialectId::gemini;
    if (signature.empty()) {
        return;
    }
    if (!is_foreign || !block.has_text || !view_.show_reasoning) {
        let_go(kNone, out);
        if (stands_alone(block.origin, block.has_text)) {
            keep_signature(block.choice, signature, out);
        }
        return;
    }
    think(block, {block.last}, signature, out);
    block.last.clear();
}

// The calls that no open one stands before, in one chunk.
void GeminiEncoder::send_calls(uint32_t index, ByteBuffer &out) {
    bool has_part = false;
    for (size_t i = 0; i < blocks_.size();) {
        Block &block = blocks_[i];
        if (block.choice != index || block.kind != BlockKind::tool) {
            ++i;
            continue;
        }
        if (!block.is_closed) {
            break;
        }
        if (!has_part) {
            has_part = begin_chunk(nullptr, out);
        }
        out.append(has_part ? "," : "");
        has_part = true;
        json::Writer writer(out);
        writer.object().key("functionCall").object();
        if (!block.id.empty()) {
            writer.key("id").text({block.id});
        }
        writer.key("name").text(tool_name_for_client({block.name}, view_.renamed));
        writer.key("args");
        std::string_view arguments = json::unescape({block.held}, arena_);
        append_line(arguments_as_object(arguments, arena_).bytes, out);
        out.append('}');
        if (!block.signature.empty()) {
            out.append(",\"thoughtSignature\":\"");
            out.append(block.signature);
            out.append('"');
        }
        out.append('}');
        forget(&block);
    }
    if (has_part) {
        end_chunk(index, out);
    }
}

// --- the end --------------------------------------------------------------------------------

void GeminiEncoder::logprobs(const StreamEvent &event, ByteBuffer &out) {
    ByteBuffer result;
    json::Writer writer(result);
    writer.object();
    write_logprobs(event.raw, reader_, writer);
    writer.end();
    if (result.size() <= 2) {
        return;
    }
    begin_frame(out);
    out.append("{\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"\"}],\"role\":\"model\"},");
    append_line(result.view().substr(1, result.size() - 2), out);
    out.append(",\"index\":");
    json::Writer(out).number(event.choice);
    out.append("}],");
    out.append(prompt_.view());
    out.append(tail_.view());
    end_frame(out);
}

void GeminiEncoder::end(ByteBuffer &out) {
    choice(0);
    let_go(kNone, out);
    for (Block &block : blocks_) {
        block.is_closed = true;
    }
    for (ChoiceState &owner : choices_) {
        if (owner.finish == ir::Finish::error) {
            fail(ErrorClass::upstream, "the provider ended with an error", out);
            return;
        }
        send_calls(owner.index, out);
    }
    is_ended_ = true;
    begin_frame(out);
    out.append("{\"candidates\":[");
    bool is_first = true;
    for (ChoiceState &owner : choices_) {
        out.append(is_first ? "" : ",");
        is_first = false;
        json::Writer writer(out);
        writer.object().key("content").object().key("parts").array().object();
        writer.key("text").plain("");
        if (!owner.signature.empty()) {
            writer.key("thoughtSignature").text({owner.signature});
        }
        writer.end().end().key("role").plain("model").end();
        writer.key("finishReason").plain(finish_name(owner.finish));
        writer.key("index").number(owner.index);
        if (!owner.grounding.empty()) {
            writer.key("groundingMetadata");
            owner.grounding.write(writer);
        }
        writer.end();
    }
    out.append("],");
    if (usage_.known) {
        out.append("\"usageMetadata\":");
        json::Writer writer(out);
        write_usage(usage_, writer);
        out.append(',');
    }
    out.append(tail_.view());
    end_frame(out);
    if (view_.json_array) {
        framing_.finish(out);
    }
}

}  // namespace

std::unique_ptr<Encoder> make_encoder(const ClientView &view) {
    return std::make_unique<GeminiEncoder>(view);
}

}  // namespace llm::gemini
