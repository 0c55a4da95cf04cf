// ConverseStream -> ir events. Blocks of text and thought have no start: the first delta with a new
// index opens them, and a new index ends the block before it, as some models never end theirs. The
// token counts come behind the stop reason, so finish and end wait for the end of input. Held back
// are blocks of tools that the service runs itself, which go out whole, and the parts of an image:
// bounded by kMaxHeld. An error is terminal: what follows is ignored.
#include <algorithm>
#include <functional>
#include <string>
#include <vector>

#include "translators/core/base64.hpp"
#include "translators/dialect/bedrock.hpp"
#include "translators/dialect/bedrock_exception.hpp"
#include "translators/dialect/json_stream.hpp"
#include "translators/dialect/usage_count.hpp"

namespace llm::bedrock {

namespace {

using ir::BlockKind;
using ir::EventKind;
using json::Value;

constexpr size_t kMaxHeld = 16u << 20;
constexpr json::Limits kLimits = {.max_depth = 512, .allow_lone_surrogates = true};

class ConverseDecoder final : public JsonStream, private wire::AwsHandler {
  public:
    void feed(std::string_view bytes, ir::EventSink &sink) override {
        feed_by([&] { return splitter_.feed(bytes, *this); }, sink);
    }
    void finish(ir::EventSink &sink) override {
        finish_by([&] { return splitter_.finish(); }, sink);
    }

    size_t memory() const override {
        return splitter_.memory() + held_.size() + fragments_.capacity() + mime_.capacity() +
               native_.capacity() + stop_sequence_.capacity() +
               call_ids_.capacity() * sizeof(size_t);
    }

  private:
    enum class Open : uint8_t { none, text, reasoning, tool, server_tool, server_result, image };

    void on_input_end() override {
        if (has_stop_ && !is_cut_) {
            complete();
        } else {
            fail_truncated();
        }
    }

    Status on_aws(const wire::AwsMessage &message) override {
        if (is_ended_) {
            return {};
        }
        arena_.reset();
        if (message.kind != wire::AwsMessageKind::event) {
            fail(read_exception(message, reader_, arena_));
            return {};
        }
        using Handler = void (ConverseDecoder::*)(Value frame);
        Handler handler = message.name == "contentBlockDelta"   ? &ConverseDecoder::on_delta
                          : message.name == "contentBlockStart" ? &ConverseDecoder::on_block_start
                          : message.name == "contentBlockStop"  ? &ConverseDecoder::on_block_stop
                          : message.name == "messageStart"      ? &ConverseDecoder::on_start
                          : message.name == "messageStop"       ? &ConverseDecoder::on_stop
                          : message.name == "metadata"          ? &ConverseDecoder::on_metadata
                                                                : nullptr;
        if (handler == nullptr) {
            return {};  // newer than this
        }
        Result<Value> parsed = reader_.parse(message.payload, kLimits);
        if (!parsed) {
            fail("an event of the stream is not JSON");
        } else if (parsed->is_object()) {
            (this->*handler)(*parsed);
        }
        return {};
    }

    // --- message ----------------------------------------------------------------------------

    void on_start(Value) { start(); }

    void start() {
        if (!is_started_) {
            is_started_ = true;
            emit(EventKind::start);
        }
    }

    void on_stop(Value frame) {
        start();
        if (has_stop_ || !end_block()) {
            return;
        }
        has_stop_ = true;
        native_ = frame.find("stopReason").text().bytes;
        stop_sequence_ = frame["additionalModelResponseFields"]["stop_sequence"].text().bytes;
    }

    void on_metadata(Value frame) { read_usage(frame.find("usage"), usage_); }

    void complete() {
        if (says_something(usage_)) {
            ir::StreamEvent event;
            event.kind = EventKind::usage;
            event.usage = &usage_;
            sink_->on_event(event);
        }
        ir::StreamEvent event;
        event.kind = EventKind::finish;
        event.finish = finish_of({native_}, calls_ > 0);
        event.native = {native_};
        if (event.finish == ir::Finish::stop_sequence) {
            event.stop_sequence = {stop_sequence_};
        }
        sink_->on_event(event);
        is_ended_ = true;
        emit(EventKind::end);
    }

    // --- blocks -----------------------------------------------------------------------------

    // What comes behind the stop reason belongs to no block.
    bool takes_content() {
        start();
        return !has_stop_;
    }

    void on_block_start(Value frame) {
        if (!takes_content() || !end_block()) {
            return;
        }
        index_ = frame.find("contentBlockIndex").as_int().value_or(0);
        Value begun = frame.find("start");
        if (Value tool = begun.find("toolUse"); tool.is_object()) {
            if (is_server_tool(tool)) {
                hold_start(Open::server_tool, tool);
            } else {
                JsonText name = tool.find("name").text();
                if (name.empty()) {
                    fail("a call has no name");
                    return;
                }
                JsonText id = unique_id(tool.find("toolUseId").text(), name);
                has_delta_ = false;
                open_block(Open::tool, BlockKind::tool, id, name);
            }
        } else if (Value result = begun.find("toolResult"); result.is_object()) {
            hold_start(Open::server_result, result);
        } else if (Value image = begun.find("image"); image.is_object()) {
            open_ = Open::image;
            held_.clear();
            mime_ = "image/";
            mime_ += image.find("format").text().bytes;
        }
    }

    void on_delta(Value frame) {
        if (!takes_content()) {
            return;
        }
        int64_t index = frame.find("contentBlockIndex").as_int().value_or(0);
        if (open_ != Open::none && index != index_ && !end_block()) {
            return;
        }
        index_ = index;
        for (auto [key, value] : frame.find("delta").members()) {
            if (is_ended_) {
                return;
            }
            if (json::equals(key, "text")) {
                fragment(Open::text, BlockKind::text, EventKind::delta, value.text());
            } else if (json::equals(key, "toolUse")) {
                tool_delta(value);
            } else if (json::equals(key, "reasoningContent")) {
                reasoning_delta(value);
            } else if (json::equals(key, "citation")) {
                cite(value);
            } else if (json::equals(key, "toolResult") && open_ == Open::server_result) {
                for (Value part : value.items()) {
                    hold(fragments_.empty() ? "" : ",");
                    hold(part.raw().bytes);
                }
            } else if (json::equals(key, "image") && open_ == Open::image) {
                image_delta(value);
            }
        }
    }

    void on_block_stop(Value frame) {
        if (frame.find("contentBlockIndex").as_int().value_or(index_) == index_) {
            end_block();
        }
    }

    void reasoning_delta(Value value) {
        fragment(Open::reasoning, BlockKind::reasoning, EventKind::delta,
                 value.find("text").text());
        fragment(Open::reasoning, BlockKind::reasoning, EventKind::signature,
                 value.find("signature").text());
        JsonText redacted = value.find("redactedContent").text();
        if (!redacted.empty() && end_block() && count_block()) {
            block_kind_ = BlockKind::reasoning;
            emit_text(EventKind::redacted, unwrap_redacted(redacted, arena_));
        }
    }

    void tool_delta(Value value) {
        Value input = value.find("input");
        JsonText text = input.is_object() ? json::escape(input.raw().bytes, arena_) : input.text();
        if (open_ == Open::server_tool) {
            hold(text.bytes);
        } else if (open_ != Open::tool) {
            fail("a call goes on that never began");
        } else if (!text.empty()) {
            has_delta_ = true;
            emit_text(EventKind::delta, text);
        }
    }

    void image_delta(Value value) {
        JsonText bytes = value["source"]["bytes"].text();
        if (held_.size() + bytes.bytes.size() > kMaxHeld) {
            fail("an image is too large");
            return;
        }
        append_decoded(json::unescape(bytes, arena_), held_);
    }

    void cite(Value value) {
        if (!value.is_object() || !be_open(Open::text, BlockKind::text)) {
            return;
        }
        ir::Citation citation = read_citation(value);
        ir::StreamEvent event = block_event(EventKind::cite);
        event.raw = value.raw();
        event.citation = &citation;
        sink_->on_event(event);
    }

    void fragment(Open open, BlockKind kind, EventKind event, JsonText text) {
        if (!text.empty() && be_open(open, kind)) {
            emit_text(event, text);
        }
    }

    // False after an error.
    bool be_open(Open open, BlockKind kind) {
        return open_ == open || (end_block() && open_block(open, kind, {}, {}));
    }

    // Closes what is open. False after an error.
    bool end_block() {
        Open was = open_;
        open_ = Open::none;
        switch (was) {
            case Open::none:
                break;
            case Open::tool:
                if (!has_delta_) {
                    emit_text(EventKind::delta, {"{}"});
                }
                emit(EventKind::close);
                break;
            case Open::text:
            case Open::reasoning:
                emit(EventKind::close);
                break;
            case Open::server_tool:
            case Open::server_result:
                server_block(was == Open::server_tool);
                break;
            case Open::image:
                image_block();
                break;
        }
        return !is_ended_;
    }

    void hold_start(Open open, Value begun) {
        open_ = open;
        held_.clear();
        held_.append(begun.raw().bytes);
        fragments_.clear();
    }

    void hold(std::string_view text) {
        if (fragments_.size() + text.size() > kMaxHeld) {
            fail("a block of a server tool is too large");
            return;
        }
        fragments_ += text;
    }

    // As it would stand in a whole answer: its start with what the deltas added.
    void server_block(bool is_call) {
        std::string_view type = is_call ? "toolUse" : "toolResult";
        Result<Value> begun = block_reader_.parse_unpadded(held_.view(), kLimits);
        if (!begun || !count_block()) {
            return;
        }
        scratch_.clear();
        json::Writer writer(scratch_);
        writer.object().key(type).object();
        for (auto [key, value] : begun->members()) {
            writer.key(key).raw(value.raw());
        }
        if (is_call) {
            std::string_view input = json::unescape({fragments_}, arena_);
            writer.key("input");
            if (input.empty()) {
                writer.object().end();
            } else if (input_reader_.parse_unpadded(input, kLimits)) {
                writer.raw({input});
            } else {
                writer.object().key("raw_arguments").text({fragments_}).end();
            }
        } else {
            writer.key("content").raw({"["});
            scratch_.append(fragments_);
            scratch_.append(']');
        }
        writer.end().end();
        emit_open(BlockKind::opaque, {}, {type}, {}, {scratch_.view()});
        emit(EventKind::close);
    }

    void image_block() {
        if (held_.size() == 0 || !count_block()) {
            return;
        }
        scratch_.clear();
        append_encoded(held_.view(), scratch_);
        emit_open(BlockKind::image, {}, {mime_}, {scratch_.view()}, {});
        emit(EventKind::close);
    }

    // Case 41: an id is unique in its turn. Hashes are enough: ids are hardly ever the same, and an
    // id of ours where they only seem to be does no harm.
    JsonText unique_id(JsonText id, JsonText name) {
        uint32_t ordinal = calls_++;
        size_t hash = std::hash<std::string_view>()(id.bytes);
        bool is_known = std::find(call_ids_.begin(), call_ids_.end(), hash) != call_ids_.end();
        if (id.empty() || is_known) {
            return replace_call_id(id, name, ordinal, arena_);
        }
        if (call_ids_.size() < kMaxBlocks) {
            call_ids_.push_back(hash);
        }
        return id;
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

    bool open_block(Open open, BlockKind kind, JsonText id, JsonText name) {
        if (!count_block()) {
            return false;
        }
        open_ = open;
        emit_open(kind, id, name, {}, {});
        return true;
    }

    void emit_open(BlockKind kind, JsonText id, JsonText name, JsonText text, RawJson raw) {
        block_kind_ = kind;
        ir::StreamEvent event = block_event(EventKind::open);
        event.id = id;
        event.name = name;
        event.text = text;
        event.raw = raw;
        sink_->on_event(event);
    }

    ir::StreamEvent block_event(EventKind kind) const {
        ir::StreamEvent event;
        event.kind = kind;
        event.block = block_;
        event.block_kind = block_kind_;
        event.origin = DialectId::bedrock;
        return event;
    }

    void emit(EventKind kind) { sink_->on_event(block_event(kind)); }

    void emit_text(EventKind kind, JsonText text) {
        ir::StreamEvent event = block_event(kind);
        event.text = text;
        sink_->on_event(event);
    }

    wire::AwsSplitter splitter_;
    json::Reader block_reader_;
    json::Reader input_reader_;

    std::string native_;
    std::string stop_sequence_;
    std::string mime_;
    std::string fragments_;  // of a server tool's block
    ByteBuffer held_;        // its start, or the bytes of an image
    ByteBuffer scratch_;
    std::vector<size_t> call_ids_;  // hashes
    Usage usage_;
    int64_t index_ = 0;    // of the open block, as the service counts
    uint32_t blocks_ = 0;  // opened so far, in the numbering of the IR
    uint32_t block_ = 0;
    uint32_t calls_ = 0;
    BlockKind block_kind_ = BlockKind::text;
    Open open_ = Open::none;
    bool has_delta_ = false;
    bool has_stop_ = false;
    bool is_started_ = false;
};

}  // namespace

std::unique_ptr<Decoder> make_decoder() {
    return std::make_unique<ConverseDecoder>();
}

}  // namespace llm::bedrock
