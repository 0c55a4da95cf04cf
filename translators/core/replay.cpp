// A whole answer as the events of a stream: what a decoder would have given, had the provider
// streamed. One block for each part, one delta for its text; calls, signatures and citations
// keep their place. Parts that no stream can carry (images, documents, results) are left out.
#include "translators/core/arena.hpp"
#include "translators/core/ir.hpp"
#include "translators/json/reader.hpp"

namespace llm::ir {

namespace {

class Replay {
  public:
    explicit Replay(EventSink &sink) : sink_(sink) {}

    void choice(const Choice &choice, uint32_t index) {
        choice_ = index;
        for (const Part &part : choice.parts) {
            std::visit([this](const auto &is) { block(is); }, part.is);
        }
        if (!choice.logprobs.empty()) {
            StreamEvent event = make(EventKind::logprobs);
            event.raw = choice.logprobs;
            sink_.on_event(event);
        }
    }

    void finish(const Choice &choice, uint32_t index) {
        choice_ = index;
        StreamEvent event = make(EventKind::finish);
        event.finish = choice.finish;
        event.native = choice.native_finish;
        event.stop_sequence = choice.stop_sequence;
        sink_.on_event(event);
    }

    StreamEvent make(EventKind kind) const {
        StreamEvent event;
        event.kind = kind;
        event.choice = choice_;
        return event;
    }

  private:
    StreamEvent make(EventKind kind, BlockKind block_kind) const {
        StreamEvent event = make(kind);
        event.block_kind = block_kind;
        event.block = block_;
        event.origin = origin_;
        return event;
    }

    void send(EventKind kind, BlockKind block_kind) { sink_.on_event(make(kind, block_kind)); }

    void send_text(EventKind kind, BlockKind block_kind, JsonText text) {
        if (text.empty()) {
            return;
        }
        StreamEvent event = make(kind, block_kind);
        event.text = text;
        sink_.on_event(event);
    }

    void close(BlockKind block_kind) {
        send(EventKind::close, block_kind);
        ++block_;
    }

    void block(const Text &text) {
        if (text.text.empty() && text.citations.empty()) {
            return;
        }
        send(EventKind::open, BlockKind::text);
        send_text(EventKind::delta, BlockKind::text, text.text);
        cite(text);
        close(BlockKind::text);
    }

    // Each citation as it came, in common terms, or both: the lists run in step.
    void cite(const Text &text) {
        json::Reader reader;
        Result<json::Value> list = reader.parse_unpadded(text.citations.bytes);
        size_t own = !text.citations.empty() && list ? list->size() : 0;
        auto raw = own > 0 ? list->items().begin() : json::Items::Iterator();
        for (size_t i = 0; i < std::max(own, text.cited.size()); i++) {
            StreamEvent event = make(EventKind::cite, BlockKind::text);
            event.origin = text.citations_origin;
            if (i < own) {
                event.raw = (*raw).raw();
                ++raw;
            }
            event.citation = i < text.cited.size() ? &text.cited[i] : nullptr;
            sink_.on_event(event);
        }
    }

    void block(const Reasoning &reasoning) {
        origin_ = reasoning.origin;
        if (reasoning.is_redacted) {
            send_text(EventKind::redacted, BlockKind::reasoning, reasoning.redacted);
            ++block_;
            return;
        }
        StreamEvent event = make(EventKind::open, BlockKind::reasoning);
        event.id = reasoning.id;
        sink_.on_event(event);
        send_text(EventKind::delta, BlockKind::reasoning, reasoning.text);
        send_text(EventKind::signature, BlockKind::reasoning, reasoning.signature);
        close(BlockKind::reasoning);
    }

    void block(const ToolCall &call) {
        StreamEvent event = make(EventKind::open, BlockKind::tool);
        event.id = call.id;
        event.name = call.name;
        event.is_custom = call.custom;
        sink_.on_event(event);
        send_text(EventKind::delta, BlockKind::tool, json::escape(call.arguments, arena_));
        arena_.reset();
        close(BlockKind::tool);
    }

    void block(const Refusal &refusal) {
        if (refusal.text.empty()) {
            return;
        }
        send(EventKind::open, BlockKind::refusal);
        send_text(EventKind::delta, BlockKind::refusal, refusal.text);
        close(BlockKind::refusal);
    }

    void block(const Opaque &opaque) {
        StreamEvent event = make(EventKind::open, BlockKind::opaque);
        event.name = opaque.type;
        event.raw = opaque.json;
        event.origin = opaque.dialect;
        sink_.on_event(event);
        close(BlockKind::opaque);
    }

    void block(const Image &image) {
        StreamEvent event = make(EventKind::open, BlockKind::image);
        event.name = image.source.mime;
        event.text = image.source.data;
        sink_.on_event(event);
        close(BlockKind::image);
    }

    void block(const Document &) {}
    void block(const Audio &) {}
    void block(const ToolResult &) {}

    EventSink &sink_;
    Arena arena_;
    DialectId origin_ = DialectId::anthropic;  // of the reasoning at hand
    uint32_t choice_ = 0;
    uint32_t block_ = 0;
};

}  // namespace

void replay(const Response &response, EventSink &sink) {
    const Usage *usage = response.usage.known ? &response.usage : nullptr;
    Replay replay(sink);
    StreamEvent start = replay.make(EventKind::start);
    start.id = response.id;
    start.name = response.model;
    start.created = response.created;
    start.usage = usage;
    sink.on_event(start);
    for (uint32_t i = 0; i < response.choices.size(); ++i) {
        replay.choice(response.choices[i], i);
    }
    if (usage != nullptr) {
        StreamEvent event;
        event.kind = EventKind::usage;
        event.usage = usage;
        sink.on_event(event);
    }
    for (uint32_t i = 0; i < response.choices.size(); ++i) {
        replay.finish(response.choices[i], i);
    }
    StreamEvent end;
    end.kind = EventKind::end;
    sink.on_event(end);
}

}  // namespace llm::ir
