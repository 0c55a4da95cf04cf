// Messages stream -> ir events. One frame at a time, nothing waits: text that came is text that
// goes out. The API never overlaps blocks and counts them upwards, so one open block is all the
// state; a frame that breaks this is a protocol error, because guessing would mix two calls.
//
// Held back are only the input of a call that stands in its start event (it may be a placeholder)
// and blocks of server tools, which the IR knows as a whole: bounded by the size of one event and
// by kMaxHeld for what deltas add. An error or the end is terminal: what follows is ignored.
#include <algorithm>
#include <functional>
#include <string>
#include <vector>

#include "translators/dialect/anthropic.hpp"
#include "translators/dialect/json_stream.hpp"

namespace llm::anthropic {

namespace {

using ir::EventKind;
using json::Value;

constexpr size_t kMaxHeld = 8u << 20;
constexpr uint32_t kMaxBlocks = 4096;
constexpr json::Limits kLimits = {.max_depth = 512, .allow_lone_surrogates = true};

class MessagesDecoder final : public JsonStream, private wire::SseHandler {
  public:
    void feed(std::string_view bytes, ir::EventSink &sink) override {
        feed_by([&] { return splitter_.feed(bytes, *this); }, sink);
    }
    void finish(ir::EventSink &sink) override {
        finish_by([&] { return splitter_.finish(*this); }, sink);
    }

    size_t memory() const override {
        return splitter_.memory() + held_.capacity() + collected_.capacity() + id_.capacity() +
               call_ids_.capacity() * sizeof(size_t);
    }

  private:
    enum class Open : uint8_t { none, text, reasoning, tool, server };

    void on_input_end() override {
        if (has_delta_frame_ && has_stop_) {
            complete();
        } else {
            fail_truncated();
        }
    }

    Status on_sse(const wire::SseEvent &event) override {
        if (is_ended_) {
            return {};
        }
        if (event.data.find_first_not_of(" \t\n") == std::string_view::npos) {
            emit(EventKind::ping);
            return {};
        }
        Result<Value> parsed = reader_.parse(event.data, kLimits);
        if (!parsed) {
            if (is_draining()) {
                return {};  // half an event: finish() says what that means
            }
            fail("an event of the stream is not JSON");
            return {};
        }
        if (parsed->is_object()) {
            on_frame(*parsed, event);
        }
        arena_.reset();
        return {};
    }

    void on_frame(Value frame, const wire::SseEvent &event) {
        Value type = frame.find("type");
        auto is = [&](std::string_view name) {
            return type.is_string() ? type.equals(name) : event.name == name;
        };
        if (is("content_block_delta")) {
            on_delta(frame);
        } else if (is("content_block_start")) {
            on_block_start(frame);
        } else if (is("content_block_stop")) {
            on_block_stop(frame);
        } else if (is("ping")) {
            emit(EventKind::ping);
        } else if (is("message_start")) {
            on_message_start(frame.find("message"));
        } else if (is("message_delta")) {
            on_message_delta(frame);
        } else if (is("message_stop")) {
            usage_.merge_metrics(frame.find("amazon-bedrock-invocationMetrics"));
            if (is_started_) {
                complete();
            } else {
                fail("the stream ends before it begins");
            }
        } else if (is("error") || (type.is_unset() && frame.find("error").is_object())) {
            ApiError error = read_error(0, frame, event.data, arena_);
            fail(error);
        }
    }

    // --- message ----------------------------------------------------------------------------

    void on_message_start(Value message) {
        JsonText id = message.find("id").text();
        if (is_started_) {
            if (!has_message_ || id.bytes == id_) {
                return;
            }
            if (blocks_ > 0) {
                fail("a second answer began inside the first");
                return;
            }
            usage_ = {};
            has_stop_ = false;
        }
        has_message_ = true;
        id_ = id.bytes;
        usage_.merge(message.find("usage"));
        start(id, message.find("model").text());
        take_stop(message);
        for (Value block : message.find("content").items()) {
            if (!begin_block(block) || !end_block()) {
                return;
            }
        }
    }

    void start(JsonText id, JsonText model) {
        if (is_started_) {
            return;
        }
        is_started_ = true;
        Usage usage = usage_.to_usage();
        ir::StreamEvent event;
        event.kind = EventKind::start;
        event.id = id;
        event.name = model;
        event.usage = usage_.known ? &usage : nullptr;
        sink_->on_event(event);
    }

    void on_message_delta(Value frame) {
        start({}, {});
        has_delta_frame_ = true;
        usage_.merge(frame.find("usage"));
        Value delta = frame.find("delta");
        take_stop(delta);
        JsonText explanation = delta["stop_details"]["explanation"].text();
        if (!explanation.empty() && finish_of({native_}) == ir::Finish::refusal) {
            refusal(explanation);
        }
    }

    void take_stop(Value from) {
        if (JsonText reason = from.find("stop_reason").text(); !reason.empty()) {
            native_ = reason.bytes;
            has_stop_ = true;
        }
        if (Value sequence = from.find("stop_sequence"); sequence.is_string()) {
            stop_sequence_ = sequence.text().bytes;
        }
    }

    // The provider's explanation of a refusal, as a block of its own after all others.
    void refusal(JsonText explanation) {
        if (!end_block() || !count_block()) {
            return;
        }
        emit_open(ir::BlockKind::refusal, {}, {}, {});
        emit_text(EventKind::delta, explanation);
        emit(EventKind::close);
    }

    void complete() {
        if (!end_block()) {
            return;
        }
        Usage usage = usage_.to_usage();
        ir::StreamEvent event;
        if (usage_.known) {
            event.kind = EventKind::usage;
            event.usage = &usage;
            sink_->on_event(event);
        }
        event = {};
        event.kind = EventKind::finish;
        event.finish = has_stop_ ? finish_of({native_}) : ir::Finish::stop;
        if (event.finish == ir::Finish::stop && has_tools_) {
            event.finish = ir::Finish::tool_calls;
        }
        if (has_stop_) {
            event.native = {native_};
        }
        if (event.finish == ir::Finish::stop_sequence) {
            event.stop_sequence = {stop_sequence_};
        }
        sink_->on_event(event);
        is_ended_ = true;
        emit(EventKind::end);
    }

    // --- blocks -----------------------------------------------------------------------------

    void on_block_start(Value frame) {
        start({}, {});
        std::optional<int64_t> index = frame.find("index").as_int();
        int64_t at = index.value_or(next_index_);
        if (at < next_index_ || at >= kMaxBlocks) {
            fail("content blocks are out of order");
            return;
        }
        if (!end_block()) {  // a producer that forgot to stop the block before
            return;
        }
        next_index_ = at + 1;
        open_index_ = at;
        begin_block(frame.find("content_block"));
    }

    // False after an error.
    bool begin_block(Value block) {
        Value type = block.find("type");
        held_.clear();
        collected_.clear();
        has_delta_ = false;
        is_open_ = false;
        if (type.equals("text")) {
            open_ = Open::text;
            text_delta(block.find("text").text());
            for (Value citation : block.find("citations").items()) {
                cite(citation);
            }
            return !is_ended_;
        }
        if (type.equals("thinking")) {
            if (!open_block(Open::reasoning, ir::BlockKind::reasoning, {}, {})) {
                return false;
            }
            emit_if(EventKind::delta, block.find("thinking").text());
            emit_if(EventKind::signature, block.find("signature").text());
            return true;
        }
        if (type.equals("redacted_thinking")) {
            if (!count_block()) {
                return false;
            }
            open_ = Open::none;  // the event is the whole block
            block_kind_ = ir::BlockKind::reasoning;
            emit_text(EventKind::redacted, block.find("data").text());
            return true;
        }
        if (type.equals("tool_use")) {
            if (block.find("name").text().empty()) {
                fail("a call has no name");
                return false;
            }
            has_tools_ = true;
            Value input = block.find("input");
            if (input.is_object() && input.size() > 0) {
                held_ = json::escape(input.raw().bytes, arena_).bytes;
            }
            return open_block(Open::tool, ir::BlockKind::tool, unique_id(block.find("id").text()),
                              block.find("name").text());
        }
        if (block.is_object()) {
            open_ = Open::server;
            held_ = block.raw().bytes;
            return true;
        }
        open_ = Open::none;  // nothing that can be read: its deltas are ignored
        return true;
    }

    // Case 41: an id is unique in its turn. Hashes are enough: ids are hardly ever the same, and an
    // id of ours where they only seem to be does no harm.
    JsonText unique_id(JsonText id) {
        uint32_t ordinal = calls_++;
        size_t hash = std::hash<std::string_view>()(id.bytes);
        bool is_known = std::find(call_ids_.begin(), call_ids_.end(), hash) != call_ids_.end();
        if (id.empty() || is_known) {
            return invent_call_id({id_}, ordinal, arena_);
        }
        if (call_ids_.size() < kMaxBlocks) {
            call_ids_.push_back(hash);
        }
        return id;
    }

    void on_delta(Value frame) {
        std::optional<int64_t> index = frame.find("index").as_int();
        if (index.value_or(open_index_) != open_index_) {
            fail("a delta belongs to no open block");
            return;
        }
        Value delta = frame.find("delta");
        Value type = delta.find("type");
        if (type.equals("text_delta")) {
            if (open_ == Open::text) {
                text_delta(delta.find("text").text());
            }
        } else if (type.equals("input_json_delta")) {
            input_delta(delta.find("partial_json").text());
        } else if (type.equals("thinking_delta")) {
            if (open_ == Open::reasoning) {
                emit_if(EventKind::delta, delta.find("thinking").text());
            }
        } else if (type.equals("signature_delta")) {
            if (open_ == Open::reasoning) {
                emit_if(EventKind::signature, delta.find("signature").text());
            }
        } else if (type.equals("citations_delta")) {
            if (open_ == Open::text) {
                cite(delta.find("citation"));
            }
        } else if (type.equals("compaction_delta") && open_ == Open::server) {
            hold(delta.find("content").text());
        }
    }

    void on_block_stop(Value frame) {
        std::optional<int64_t> index = frame.find("index").as_int();
        if (index.value_or(open_index_) != open_index_) {
            fail("a block ends that is not open");
            return;
        }
        end_block();
    }

    void text_delta(JsonText text) {
        if (text.empty()) {
            return;
        }
        if (is_open_ || open_block(Open::text, ir::BlockKind::text, {}, {})) {
            emit_text(EventKind::delta, text);
        }
    }

    void cite(Value citation) {
        if (!citation.is_object()) {
            return;
        }
        if (is_open_ || open_block(Open::text, ir::BlockKind::text, {}, {})) {
            ir::StreamEvent event = block_event(EventKind::cite);
            ir::Citation common = read_citation(citation);
            event.raw = citation.raw();
            event.citation = &common;
            sink_->on_event(event);
        }
    }

    void input_delta(JsonText fragment) {
        if (fragment.empty()) {
            return;
        }
        if (open_ == Open::tool) {
            has_delta_ = true;
            emit_text(EventKind::delta, fragment);
        } else if (open_ == Open::server) {
            hold(fragment);
        }
    }

    void hold(JsonText fragment) {
        if (collected_.size() + fragment.bytes.size() > kMaxHeld) {
            fail("a block of a server tool is too large");
            return;
        }
        collected_ += fragment.bytes;
    }

    // Closes what is open. False after an error.
    bool end_block() {
        Open was = open_;
        open_ = Open::none;
        open_index_ = kNoIndex;
        switch (was) {
            case Open::none:
                return !is_ended_;
            case Open::server:
                return server_block();
            case Open::tool:
                if (!has_delta_) {
                    emit_text(EventKind::delta, {held_.empty() ? "{}" : std::string_view(held_)});
                }
                break;
            case Open::text:
                if (!is_open_) {
                    return true;  // an empty text block was none
                }
                break;
            case Open::reasoning:
                break;
        }
        emit(EventKind::close);
        return true;
    }

    // A server tool's block goes out whole: its start with what the deltas added.
    bool server_block() {
        if (!count_block()) {
            return false;
        }
        block_kind_ = ir::BlockKind::opaque;
        Result<Value> parsed = block_reader_.parse_unpadded(held_, kLimits);
        JsonText type = parsed ? parsed->find("type").text() : JsonText{};
        if (collected_.empty() || !parsed) {
            emit_open(ir::BlockKind::opaque, {}, type, {held_});
            emit(EventKind::close);
            return true;
        }
        bool is_compaction = json::equals(type, "compaction");
        std::string_view replaced = is_compaction ? "content" : "input";
        scratch_.clear();
        json::Writer writer(scratch_);
        writer.object();
        for (auto [key, value] : parsed->members()) {
            if (!json::equals(key, replaced)) {
                writer.key(key).raw(value.raw());
            }
        }
        writer.key(replaced);
        if (is_compaction) {
            writer.text({collected_});
        } else {
            // Cut input of a server tool is no JSON: then the block says so as text.
            std::string_view input = json::unescape({collected_}, arena_);
            if (input_reader_.parse_unpadded(input, kLimits)) {
                writer.raw({input});
            } else {
                writer.object().key("raw_arguments").text({collected_}).end();
            }
        }
        writer.end();
        emit_open(ir::BlockKind::opaque, {}, type, {scratch_.view()});
        emit(EventKind::close);
        return true;
    }

    // --- events -----------------------------------------------------------------------------

    bool count_block() {
        if (blocks_ >= kMaxBlocks) {
            fail("too many content blocks");
            return false;
        }
        block_ = blocks_++;
        return true;
    }

    bool open_block(Open open, ir::BlockKind kind, JsonText id, JsonText name) {
        if (!count_block()) {
            return false;
        }
        open_ = open;
        is_open_ = true;
        emit_open(kind, id, name, {});
        return true;
    }

    void emit_open(ir::BlockKind kind, JsonText id, JsonText name, RawJson raw) {
        block_kind_ = kind;
        ir::StreamEvent event = block_event(EventKind::open);
        event.id = id;
        event.name = name;
        event.raw = raw;
        sink_->on_event(event);
    }

    ir::StreamEvent block_event(EventKind kind) const {
        ir::StreamEvent event;
        event.kind = kind;
        event.block = block_;
        event.block_kind = block_kind_;
        return event;
    }

    void emit(EventKind kind) { sink_->on_event(block_event(kind)); }

    void emit_text(EventKind kind, JsonText text) {
        ir::StreamEvent event = block_event(kind);
        event.text = text;
        sink_->on_event(event);
    }

    void emit_if(EventKind kind, JsonText text) {
        if (!text.empty()) {
            emit_text(kind, text);
        }
    }

    static constexpr int64_t kNoIndex = -1;

    wire::SseSplitter splitter_;
    json::Reader block_reader_;
    json::Reader input_reader_;

    std::string id_;
    std::string native_;
    std::string stop_sequence_;
    std::string held_;       // escaped input of a call, or a server block
    std::string collected_;  // escaped fragments of a server block
    ByteBuffer scratch_;
    std::vector<size_t> call_ids_;  // hashes
    RawUsage usage_;
    int64_t next_index_ = 0;
    int64_t open_index_ = kNoIndex;
    uint32_t blocks_ = 0;  // opened so far, in the numbering of the IR
    uint32_t block_ = 0;
    uint32_t calls_ = 0;
    ir::BlockKind block_kind_ = ir::BlockKind::text;
    Open open_ = Open::none;
    bool is_open_ = false;  // the `open` event of the block went out
    bool has_delta_ = false;
    bool has_tools_ = false;
    bool has_stop_ = false;
    bool has_delta_frame_ = false;  // a message_delta came: the end may be implied
    bool has_message_ = false;
    bool is_started_ = false;
};

}  // namespace

std::unique_ptr<Decoder> make_decoder() {
    return std::make_unique<MessagesDecoder>();
}

}  // namespace llm::anthropic
