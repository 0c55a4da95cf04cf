// The stream of Ollama's /api/chat -> ir events: one JSON object a line, the last says done.
//
// Entry point: make_decoder. At most one block is open at a time; a call comes whole and is opened
// and closed at once. The line that is done is the end, whatever follows; without it the stream
// is cut. A line with an error ends it as well. What is kept from one line to the next is bounded:
// 256 calls, 1 MiB of their ids.
#include <algorithm>

#include "translators/dialect/json_stream.hpp"
#include "translators/dialect/ollama.hpp"
#include "translators/dialect/ollama_answer.hpp"
#include "translators/wire/ndjson.hpp"

namespace llm::ollama {

namespace {

using ir::BlockKind;
using ir::ErrorClass;
using ir::EventKind;
using ir::StreamEvent;
using json::Value;

constexpr size_t kMaxCalls = 256;
constexpr size_t kMaxId = 4096;

class ChatDecoder final : public JsonStream, private wire::NdjsonHandler {
  public:
    void feed(std::string_view bytes, ir::EventSink &sink) override {
        feed_by([&] { return splitter_.feed(bytes, *this); }, sink);
    }
    void finish(ir::EventSink &sink) override {
        finish_by([&] { return splitter_.finish(*this); }, sink);
    }
    size_t memory() const override;

  private:
    Status on_line(std::string_view line) override { return on_frame(line, false); }
    void on_json(Value root, std::string_view line, bool is_error) override;
    void on_object(Value root);
    void on_call(Value root, Value call);
    void on_logprobs(Value logprobs);
    void on_done(Value root);

    void start(Value root);
    void text(BlockKind kind, JsonText text);
    void open(StreamEvent &event);
    void close();

    wire::NdjsonSplitter splitter_;
    std::vector<std::string> call_ids_;
    ByteBuffer logprobs_;
    Usage usage_;
    uint32_t next_block_ = 0;
    BlockKind kind_ = BlockKind::text;
    bool is_open_ = false;
    bool is_started_ = false;
};

size_t ChatDecoder::memory() const {
    size_t sum = splitter_.memory() + logprobs_.size();
    for (const std::string &id : call_ids_) {
        sum += sizeof id + id.capacity();
    }
    return sum;
}

void ChatDecoder::on_json(Value root, std::string_view line, bool) {
    if (is_error_value(root["error"])) {
        if (is_started_ && read_usage(root, usage_)) {
            emit({.kind = EventKind::usage, .usage = &usage_});
        }
        fail(read_error(0, root, line, arena_));
    } else if (root.is_object()) {
        on_object(root);
    }
}

void ChatDecoder::on_object(Value root) {
    Value message = root["message"];
    bool is_done = root["done"].is_true();
    if (!message.is_object() && !is_done) {
        return;
    }
    start(root);
    text(BlockKind::reasoning, message["thinking"].text());
    text(BlockKind::text, message["content"].text());
    for (Value call : message["tool_calls"].items()) {
        on_call(root, call);
        if (is_ended_) {
            return;
        }
    }
    on_logprobs(root["logprobs"]);
    if (is_done) {
        on_done(root);
    }
}

void ChatDecoder::start(Value root) {
    if (is_started_) {
        return;
    }
    is_started_ = true;
    StreamEvent event;
    event.kind = EventKind::start;
    event.name = root["model"].text();
    event.created = read_time(root["created_at"].text());
    emit(event);
}

// --- blocks ---------------------------------------------------------------------------------

void ChatDecoder::text(BlockKind kind, JsonText text) {
    if (text.empty()) {
        return;
    }
    StreamEvent event;
    event.block_kind = kind;
    if (!is_open_ || kind_ != kind) {
        open(event);
    }
    event.kind = EventKind::delta;
    event.block = next_block_ - 1;
    event.text = text;
    emit(event);
}

void ChatDecoder::open(StreamEvent &event) {
    close();
    is_open_ = true;
    kind_ = event.block_kind;
    event.kind = EventKind::open;
    event.block = next_block_++;
    emit(event);
}

void ChatDecoder::close() {
    if (!is_open_) {
        return;
    }
    is_open_ = false;
    StreamEvent event;
    event.kind = EventKind::close;
    event.block_kind = kind_;
    event.block = next_block_ - 1;
    emit(event);
}

void ChatDecoder::on_call(Value root, Value call) {
    Value function = call["function"];
    StreamEvent event;
    event.block_kind = BlockKind::tool;
    event.name = function["name"].text();
    if (event.name.empty()) {
        return;
    }
    if (call_ids_.size() == kMaxCalls) {
        fail("too many tool calls");
        return;
    }
    event.id = call["id"].text();
    bool is_known =
        std::find(call_ids_.begin(), call_ids_.end(), event.id.bytes) != call_ids_.end();
    if (event.id.empty() || event.id.bytes.size() > kMaxId || is_known) {
        event.id = make_call_id(root, call, static_cast<uint32_t>(call_ids_.size()), arena_);
    }
    call_ids_.emplace_back(event.id.bytes);
    open(event);
    event = StreamEvent();
    event.kind = EventKind::delta;
    event.block_kind = BlockKind::tool;
    event.block = next_block_ - 1;
    event.text = json::escape(read_arguments(function, arena_), arena_);
    emit(event);
    close();
}

void ChatDecoder::on_logprobs(Value logprobs) {
    if (!logprobs.is_array() || logprobs.size() == 0) {
        return;
    }
    logprobs_.clear();
    logprobs_.append("{\"content\":");
    logprobs_.append(logprobs.raw().bytes);
    logprobs_.append(",\"refusal\":null}");
    StreamEvent event;
    event.kind = EventKind::logprobs;
    event.raw = {logprobs_.view()};
    emit(event);
}

// --- the end --------------------------------------------------------------------------------

void ChatDecoder::on_done(Value root) {
    close();
    if (read_usage(root, usage_)) {
        emit({.kind = EventKind::usage, .usage = &usage_});
    }
    is_ended_ = true;
    StreamEvent event;
    event.kind = EventKind::finish;
    event.native = root["done_reason"].text();
    event.finish = read_finish(event.native, !call_ids_.empty());
    emit(event);
    emit({.kind = EventKind::end});
}

}  // namespace

std::unique_ptr<Decoder> make_decoder() {
    return std::make_unique<ChatDecoder>();
}

}  // namespace llm::ollama
