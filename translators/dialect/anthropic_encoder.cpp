// ir events -> messages stream. Whatever comes in, what goes out obeys the grammar that clients
// rely on: message_start first, blocks numbered 0, 1, 2 that never overlap, one message_delta, one
// message_stop, or an error and nothing behind it.
//
// Text and thinking reach the wire with their first fragment, so there are no empty blocks. While a
// tool call is open, events of other blocks wait (its fragments cannot be taken up again later); at
// its close they follow in block order. Fragments that wait are joined, and limited by kMaxQueued.
// A text block that was ended by another one and goes on later goes on as a new block.
#include <string>

#include "translators/dialect/anthropic.hpp"
#include "translators/dialect/custom_input.hpp"
#include "translators/dialect/json_stream.hpp"
#include "translators/dialect/opaque_tag.hpp"

namespace llm::anthropic {

namespace {

using ir::BlockKind;
using ir::EventKind;

constexpr size_t kMaxQueued = 8u << 20;
constexpr uint32_t kMaxBlocks = 8192;
constexpr uint32_t kNone = UINT32_MAX;

// What waits for its turn, as escaped text.
struct Waiting {
    std::string id;
    std::string name;
    std::string raw;
    std::string text;
    std::string signature;
    std::string redacted;
    std::vector<std::string> citations;
};

enum class State : uint8_t {
    unknown,  // never opened
    hidden,   // not for this client
    fresh,    // opened, nothing sent
    on_wire,  // the open block of the stream
    paused,   // was ended by another block; more text makes a new block
    queued,   // `waiting` holds what came
    done,
};

struct Slot {
    BlockKind kind = BlockKind::text;
    State state = State::unknown;
    bool is_closed = false;  // while queued: its close event came
    bool is_tagged = false;  // a foreign signature has begun
    std::unique_ptr<Waiting> waiting;
};

class MessagesEncoder final : public Encoder {
  public:
    explicit MessagesEncoder(const ClientView &view) : view_(view) {}

    void event(const ir::StreamEvent &event, ByteBuffer &out) override {
        custom_.pass(event, [&](const ir::StreamEvent &one) { take(one, out); });
    }

    void ping(ByteBuffer &out) override {
        if (is_started_ && !ended_) {
            out.append(kPingFrame);
        }
    }

    void error(const ApiError &error, ByteBuffer &out) override {
        if (!ended_) {
            ended_ = true;
            render_error_frame(error, out);
        }
    }

  private:
    void take(const ir::StreamEvent &event, ByteBuffer &out) {
        if (ended_ || (event.choice != 0 && event.kind != EventKind::error)) {
            return;
        }
        switch (event.kind) {
            case EventKind::start:
                start(event, out);
                return;
            case EventKind::open:
                open(event, out);
                return;
            case EventKind::delta:
            case EventKind::signature:
            case EventKind::redacted:
            case EventKind::cite:
                content(event, out);
                return;
            case EventKind::close:
                close(event.block, out);
                return;
            case EventKind::usage:
                if (event.usage != nullptr && event.usage->known) {
                    usage_ = *event.usage;
                }
                return;
            case EventKind::finish:
                if (!has_finish_) {
                    has_finish_ = true;
                    finish_ = event.finish;
                    stop_sequence_ = event.stop_sequence.bytes;
                }
                return;
            case EventKind::end:
                end(out);
                return;
            case EventKind::error:
                error(error_of(event), out);
                return;
            case EventKind::ping:
                ping(out);
                return;
            case EventKind::logprobs:
                return;
        }
    }

    // One frame: the event line, then an open object with its type. The caller adds members and
    // calls finish_frame.
    static json::Writer begin_frame(std::string_view name, ByteBuffer &out) {
        out.append("event: ");
        out.append(name);
        out.append("\ndata: ");
        json::Writer writer(out);
        writer.object().key("type").text({name});
        return writer;
    }

    static void finish_frame(json::Writer &writer) {
        writer.end();
        writer.out().append("\n\n");
    }

    void fail(std::string_view message, ByteBuffer &out) {
        ApiError failure;
        failure.error_class = ErrorClass::upstream_protocol;
        failure.message = {message};
        error(failure, out);
    }

    void start(const ir::StreamEvent &event, ByteBuffer &out) {
        if (is_started_) {
            return;
        }
        is_started_ = true;
        if (event.usage != nullptr && event.usage->known) {
            usage_ = *event.usage;
        }
        Usage usage = usage_;
        if (!usage.known) {
            usage.input = estimate_tokens(view_.request_bytes);
        }
        Arena arena(64);
        json::Writer writer = begin_frame("message_start", out);
        writer.key("message").object();
        writer.key("id").text(event.id.empty() ? invent_message_id(view_, arena) : event.id);
        writer.key("type").plain("message").key("role").plain("assistant").key("model");
        if (event.name.empty()) {
            writer.plain(view_.model);
        } else {
            writer.text(event.name);
        }
        writer.key("content").array().end();
        writer.key("stop_reason").null().key("stop_sequence").null();
        writer.key("usage").object();
        write_usage(usage, writer);
        writer.end().end();
        finish_frame(writer);
        out.append(kPingFrame);
    }

    // --- blocks -----------------------------------------------------------------------------

    void open(const ir::StreamEvent &event, ByteBuffer &out) {
        if (event.block >= kMaxBlocks) {
            fail("too many content blocks", out);
            return;
        }
        if (event.block >= slots_.size()) {
            slots_.resize(event.block + 1);
        }
        Slot &slot = slots_[event.block];
        if (slot.state != State::unknown) {
            return;
        }
        start({}, out);
        slot.kind = event.block_kind;
        slot.state = State::fresh;
        bool is_json_tool = view_.json_tool && json::equals(event.name, kJsonTool);
        switch (event.block_kind) {
            case BlockKind::text:
                return;
            case BlockKind::refusal:
                slot.kind = BlockKind::text;
                return;
            case BlockKind::reasoning:
                if (!view_.show_reasoning) {
                    slot.state = State::hidden;
                }
                return;
            case BlockKind::tool:
                if (is_json_tool) {
                    slot.kind = BlockKind::text;
                    return;
                }
                break;
            case BlockKind::image:
                slot.state = State::hidden;
                return;
            case BlockKind::opaque:
                if (event.raw.empty() || event.origin != DialectId::anthropic ||
                    !is_server_block(event.name)) {
                    slot.state = State::hidden;
                    return;
                }
                break;
        }
        if (must_wait(event.block)) {
            Waiting &waiting = queue(slot);
            add(waiting.id, event.id.bytes, out);
            add(waiting.name, event.name.bytes, out);
            add(waiting.raw, event.raw.bytes, out);
            return;
        }
        put_on_wire(event.block, event.id, event.name, event.raw, out);
    }

    void open_redacted(const ir::StreamEvent &event, ByteBuffer &out) {
        ir::StreamEvent opening;
        opening.kind = EventKind::open;
        opening.block_kind = BlockKind::reasoning;
        opening.block = event.block;
        open(opening, out);
    }

    void content(const ir::StreamEvent &event, ByteBuffer &out) {
        bool is_opaque = event.kind == EventKind::signature || event.kind == EventKind::redacted;
        if (is_opaque && event.origin != DialectId::anthropic) {
            arena_.reset();
            ir::StreamEvent tagged = event;
            bool is_known = event.block < slots_.size();
            if (!is_known || !slots_[event.block].is_tagged) {
                tagged.text = tag_opaque(event.origin, event.text, DialectId::anthropic, arena_);
            }
            if (is_known && !event.text.empty()) {
                slots_[event.block].is_tagged = true;  // the rest of it may follow
            }
            tagged.origin = DialectId::anthropic;
            content(tagged, out);
            return;
        }
        if (event.kind == EventKind::redacted) {
            open_redacted(event, out);  // it is a whole block, and often comes alone
        }
        if (ended_ || event.block >= slots_.size()) {
            return;
        }
        Slot &slot = slots_[event.block];
        bool is_reasoning = slot.kind == BlockKind::reasoning;
        if (event.kind == EventKind::cite) {
            bool is_own = event.origin == DialectId::anthropic && !event.raw.empty();
            if (slot.kind != BlockKind::text || !is_own) {
                return;  // the client would send it back, and the API refuse it
            }
        } else if (event.text.empty() || slot.kind == BlockKind::opaque) {
            return;
        } else if (event.kind == EventKind::delta) {
            output_bytes_ += event.text.bytes.size();
        } else if (!is_reasoning) {
            return;
        }
        if (slot.state == State::unknown || slot.state == State::hidden ||
            slot.state == State::done || slot.is_closed) {
            return;
        }
        if (slot.state == State::queued || must_wait(event.block)) {
            wait(event, slot, out);
            return;
        }
        if (event.kind == EventKind::redacted) {
            stop_current(out);
            redacted_block(event.text, out);
            slot.state = State::done;
            return;
        }
        if (slot.state != State::on_wire) {
            put_on_wire(event.block, {}, {}, {}, out);
        }
        switch (event.kind) {
            case EventKind::signature:
                delta("signature_delta", "signature", event.text, out);
                break;
            case EventKind::cite:
                citation(event.raw, out);
                break;
            default:
                fragment(slot.kind, event.text, out);
                break;
        }
    }

    void close(uint32_t block, ByteBuffer &out) {
        if (block >= slots_.size()) {
            return;
        }
        Slot &slot = slots_[block];
        switch (slot.state) {
            case State::on_wire:
                slot.state = State::done;
                stop_current(out);
                drain(out);
                break;
            case State::queued:
                slot.is_closed = true;
                break;
            case State::fresh:
            case State::paused:
                slot.state = State::done;
                break;
            case State::unknown:
            case State::hidden:
            case State::done:
                break;
        }
    }

    // A tool call is open on the wire, and it is not this block's.
    bool must_wait(uint32_t block) const {
        return current_ != kNone && current_ != block && slots_[current_].kind == BlockKind::tool;
    }

    // Starts the block on the wire, ending what is open there. A server tool's block is whole.
    void put_on_wire(uint32_t block, JsonText id, JsonText name, RawJson raw, ByteBuffer &out) {
        stop_current(out);
        Slot &slot = slots_[block];
        Arena arena(64);  // empty unless an id has to be rewritten
        json::Writer writer = begin_frame("content_block_start", out);
        writer.key("index").number(next_index_).key("content_block");
        switch (slot.kind) {
            case BlockKind::tool:
                has_tools_ = true;
                writer.object().key("type").plain("tool_use").key("id");
                writer.text(call_id_for_anthropic(id, arena));
                writer.key("name").text(tool_name_for_client(name, view_.renamed));
                writer.key("input").object().end().end();
                break;
            case BlockKind::reasoning:
                writer.object().key("type").plain("thinking").key("thinking").plain("");
                writer.key("signature").plain("").end();
                break;
            case BlockKind::image:
            case BlockKind::opaque:
                one_line(raw, writer);
                break;
            case BlockKind::text:
            case BlockKind::refusal:
                writer.object().key("type").plain("text").key("text").plain("").end();
                break;
        }
        finish_frame(writer);
        current_ = block;
        slot.state = State::on_wire;
        if (slot.kind == BlockKind::opaque) {
            slot.state = State::done;
            stop_current(out);
        }
    }

    // Ends the open block on the wire; its slot may go on later unless it is done.
    void stop_current(ByteBuffer &out) {
        if (current_ == kNone) {
            return;
        }
        Slot &slot = slots_[current_];
        if (slot.state == State::on_wire) {
            slot.state = State::paused;
        }
        current_ = kNone;
        stop_frame(out);
    }

    void stop_frame(ByteBuffer &out) {
        json::Writer writer = begin_frame("content_block_stop", out);
        writer.key("index").number(next_index_++);
        finish_frame(writer);
    }

    void redacted_block(JsonText data, ByteBuffer &out) {
        json::Writer writer = begin_frame("content_block_start", out);
        writer.key("index").number(next_index_).key("content_block").object();
        writer.key("type").plain("redacted_thinking").key("data").text(data).end();
        finish_frame(writer);
        stop_frame(out);
    }

    void fragment(BlockKind kind, JsonText text, ByteBuffer &out) {
        switch (kind) {
            case BlockKind::tool:
                delta("input_json_delta", "partial_json", text, out);
                break;
            case BlockKind::reasoning:
                delta("thinking_delta", "thinking", text, out);
                break;
            case BlockKind::text:
            case BlockKind::refusal:
            case BlockKind::image:
            case BlockKind::opaque:
                delta("text_delta", "text", text, out);
                break;
        }
    }

    void delta(std::string_view type, std::string_view member, JsonText text, ByteBuffer &out) {
        json::Writer writer = begin_frame("content_block_delta", out);
        writer.key("index").number(next_index_).key("delta").object();
        writer.key("type").text({type}).key(member).text(text).end();
        finish_frame(writer);
    }

    void citation(RawJson raw, ByteBuffer &out) {
        json::Writer writer = begin_frame("content_block_delta", out);
        writer.key("index").number(next_index_).key("delta").object();
        writer.key("type").plain("citations_delta").key("citation");
        one_line(raw, writer);
        writer.end();
        finish_frame(writer);
    }

    // Raw JSON may be spread over lines; a frame's data may not.
    static void one_line(RawJson raw, json::Writer &writer) {
        if (raw.bytes.find_first_of("\r\n") == std::string_view::npos) {
            writer.raw(raw);
            return;
        }
        std::string line(raw.bytes);
        for (char &byte : line) {
            byte = byte == '\r' || byte == '\n' ? ' ' : byte;
        }
        writer.raw({line});
    }

    // --- the queue --------------------------------------------------------------------------

    Waiting &queue(Slot &slot) {
        if (slot.state != State::queued) {
            slot.state = State::queued;
            slot.waiting = std::make_unique<Waiting>();
            ++queued_;
        }
        return *slot.waiting;
    }

    void wait(const ir::StreamEvent &event, Slot &slot, ByteBuffer &out) {
        Waiting &waiting = queue(slot);
        switch (event.kind) {
            case EventKind::signature:
                add(waiting.signature, event.text.bytes, out);
                break;
            case EventKind::redacted:
                add(waiting.redacted, event.text.bytes, out);
                slot.is_closed = true;
                break;
            case EventKind::cite:
                waiting.citations.emplace_back();
                add(waiting.citations.back(), event.raw.bytes, out);
                break;
            default:
                add(waiting.text, event.text.bytes, out);
                break;
        }
    }

    void add(std::string &into, std::string_view bytes, ByteBuffer &out) {
        queued_bytes_ += bytes.size() + 1;
        if (queued_bytes_ > kMaxQueued) {
            fail("too much of the answer waits for a tool call to end", out);
            return;
        }
        into += bytes;
    }

    // Sends what waits, in block order, until nothing does or another tool call is open.
    void drain(ByteBuffer &out) {
        for (uint32_t block = 0; queued_ > 0 && !ended_ && block < slots_.size(); ++block) {
            if (slots_[block].state != State::queued) {
                continue;
            }
            if (must_wait(block)) {
                return;
            }
            flush(block, out);
        }
        if (queued_ == 0) {
            queued_bytes_ = 0;
        }
    }

    void flush(uint32_t block, ByteBuffer &out) {
        Slot &slot = slots_[block];
        std::unique_ptr<Waiting> waiting = std::move(slot.waiting);
        --queued_;
        slot.state = State::paused;
        bool has_content =
            !waiting->text.empty() || !waiting->signature.empty() || !waiting->citations.empty();
        if (slot.kind == BlockKind::tool || slot.kind == BlockKind::opaque || has_content) {
            put_on_wire(block, {waiting->id}, {waiting->name}, {waiting->raw}, out);
            if (!waiting->text.empty()) {
                fragment(slot.kind, {waiting->text}, out);
            }
            for (const std::string &raw : waiting->citations) {
                citation({raw}, out);
            }
            if (!waiting->signature.empty()) {
                delta("signature_delta", "signature", {waiting->signature}, out);
            }
        }
        if (!waiting->redacted.empty()) {
            stop_current(out);
            redacted_block({waiting->redacted}, out);
        }
        if (slot.is_closed) {
            slot.state = State::done;
            if (current_ == block) {
                stop_current(out);
            }
        }
    }

    // --- the end ----------------------------------------------------------------------------

    void end(ByteBuffer &out) {
        if (has_finish_ && finish_ == ir::Finish::error) {
            ApiError failure;
            failure.error_class = ErrorClass::upstream;
            failure.message = {"the provider ended the answer with an error"};
            error(failure, out);
            return;
        }
        start({}, out);
        for (Slot &slot : slots_) {
            slot.is_closed = true;
        }
        stop_current(out);
        drain(out);
        stop_current(out);
        std::string_view reason = stop_reason_of(has_finish_ ? finish_ : ir::Finish::stop,
                                                 has_tools_, !stop_sequence_.empty());
        Usage usage = usage_;
        if (!usage.known) {
            usage.input = estimate_tokens(view_.request_bytes);
            usage.output = estimate_tokens(output_bytes_);
        }
        json::Writer writer = begin_frame("message_delta", out);
        writer.key("delta").object().key("stop_reason").text({reason}).key("stop_sequence");
        if (reason == "stop_sequence") {
            writer.text({stop_sequence_});
        } else {
            writer.null();
        }
        writer.end().key("usage").object();
        write_usage(usage, writer);
        writer.end();
        finish_frame(writer);
        out.append(kStopFrame);
        ended_ = true;
    }

    const ClientView view_;
    Arena arena_;               // of one event
    std::vector<Slot> slots_;   // by the block numbers of the IR
    uint32_t current_ = kNone;  // the block open on the wire
    int64_t next_index_ = 0;    // its index, or the next one's
    uint32_t queued_ = 0;
    size_t queued_bytes_ = 0;
    uint64_t output_bytes_ = 0;
    Usage usage_;
    std::string stop_sequence_;
    ir::Finish finish_ = ir::Finish::stop;
    bool has_finish_ = false;
    CustomAsFunction custom_;
    bool has_tools_ = false;
    bool is_started_ = false;
    bool ended_ = false;
};

}  // namespace

std::unique_ptr<Encoder> make_encoder(const ClientView &view) {
    return std::make_unique<MessagesEncoder>(view);
}

}  // namespace llm::anthropic
