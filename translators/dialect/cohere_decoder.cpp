// The stream of Cohere's v2 chat -> ir events.
//
// Entry point: make_decoder. At most one block is open at a time: the plan, a content block or a
// call. A content block is closed when something else comes and not by content-end, so that a
// citation may follow it. `message-end` is the end, whatever follows; without it the stream is cut.
// What is kept from one event to the next is bounded: 256 calls, 1 MiB of their ids.
#include <algorithm>

#include "translators/dialect/cohere.hpp"
#include "translators/dialect/cohere_answer.hpp"
#include "translators/dialect/json_stream.hpp"

namespace llm::cohere {

namespace {

using ir::BlockKind;
using ir::ErrorClass;
using ir::EventKind;
using ir::StreamEvent;
using json::Value;

constexpr size_t kMaxCalls = 256;
constexpr size_t kMaxId = 4096;
constexpr size_t kMaxHeld = 64;
constexpr int64_t kPlan = -1;  // in place of the index of a content block
constexpr int64_t kUnknown = -2;

class ChatDecoder final : public JsonStream, private wire::SseHandler {
  public:
    void feed(std::string_view bytes, ir::EventSink &sink) override {
        feed_by([&] { return splitter_.feed(bytes, *this); }, sink);
    }
    void finish(ir::EventSink &sink) override {
        finish_by([&] { return splitter_.finish(*this); }, sink);
    }
    size_t memory() const override;

  private:
    Status on_sse(const wire::SseEvent &frame) override { return on_frame(frame); }
    void on_json(Value root, std::string_view data, bool is_said_error) override;
    void on_event(Value root);
    void on_start(Value root);
    void on_content(Value root);
    void on_citation(Value root);
    void on_call_start(Value root);
    void on_call_delta(Value root);
    void on_end(Value root);
    void on_logprobs(Value logprobs);

    void start(JsonText id);
    void text(BlockKind kind, int64_t index, JsonText text);
    void open(BlockKind kind, int64_t index);
    void arguments(Value value);
    void send_arguments(JsonText fragment);
    void close();
    bool is_error(Value root) const;
    void fail_as(Value root, std::string_view body);

    wire::SseSplitter splitter_;
    std::string answer_id_;
    std::vector<std::string> call_ids_;
    std::string held_;  // the start of arguments that may turn out to be null
    ByteBuffer logprobs_;
    ByteBuffer entries_;
    ir::Citation citation_;
    Usage usage_;
    int64_t index_ = kUnknown;  // of the open block, as the provider counts; calls apart
    uint32_t next_block_ = 0;
    BlockKind kind_ = BlockKind::text;
    bool is_open_ = false;
    bool has_arguments_ = false;  // fragments of the open call went out
    bool is_started_ = false;
};

// --- frames ---------------------------------------------------------------------------------

size_t ChatDecoder::memory() const {
    size_t sum = splitter_.memory() + answer_id_.capacity() + held_.capacity();
    for (const std::string &id : call_ids_) {
        sum += sizeof id + id.capacity();
    }
    return sum + logprobs_.size() + entries_.size();
}

void ChatDecoder::on_json(Value root, std::string_view data, bool is_said_error) {
    if (is_said_error || is_error(root)) {
        fail_as(root, data);
    } else {
        on_event(root);
    }
}

// A body as errors have it, in place of an event.
bool ChatDecoder::is_error(Value root) const {
    return is_error_value(root["error"]) || root["type"].equals("error") ||
           (root["type"].is_unset() && root["message"].is_string());
}

void ChatDecoder::on_event(Value root) {
    Value type = root["type"];
    if (type.equals("content-delta") || type.equals("content-start")) {
        on_content(root);
    } else if (type.equals("tool-call-delta")) {
        on_call_delta(root);
    } else if (type.equals("tool-plan-delta")) {
        text(BlockKind::reasoning, kPlan, root["delta"]["message"]["tool_plan"].text());
    } else if (type.equals("citation-start")) {
        on_citation(root);
    } else if (type.equals("tool-call-start")) {
        on_call_start(root);
    } else if (type.equals("tool-call-end")) {
        if (is_open_ && kind_ == BlockKind::tool) {
            close();
        }
    } else if (type.equals("message-start")) {
        on_start(root);
    } else if (type.equals("message-end")) {
        on_end(root);
    }
}

void ChatDecoder::on_start(Value root) {
    start(root["id"].text());
    Value message = root["delta"]["message"];
    text(BlockKind::reasoning, kPlan, message["tool_plan"].text());
}

void ChatDecoder::start(JsonText id) {
    if (is_started_) {
        return;
    }
    is_started_ = true;
    answer_id_ = id.bytes.substr(0, kMaxId);
    StreamEvent event;
    event.kind = EventKind::start;
    event.id = id;
    emit(event);
}

// --- blocks ---------------------------------------------------------------------------------

void ChatDecoder::on_content(Value root) {
    Value content = root["delta"]["message"]["content"];
    int64_t index = std::max<int64_t>(root["index"].as_int().value_or(0), 0);
    text(BlockKind::reasoning, index, content["thinking"].text());
    text(BlockKind::text, index, content["text"].text());
    on_logprobs(root["logprobs"]);
}

void ChatDecoder::text(BlockKind kind, int64_t index, JsonText text) {
    if (text.empty()) {
        return;
    }
    if (!is_open_ || kind_ != kind || index_ != index) {
        open(kind, index);
    }
    StreamEvent event;
    event.kind = EventKind::delta;
    event.block_kind = kind;
    event.block = next_block_ - 1;
    event.text = text;
    emit(event);
}

// Calls open themselves: theirs has an id and a name.
void ChatDecoder::open(BlockKind kind, int64_t index) {
    start({});
    close();
    is_open_ = true;
    kind_ = kind;
    index_ = index;
    StreamEvent event;
    event.kind = EventKind::open;
    event.block_kind = kind;
    event.block = next_block_++;
    emit(event);
}

void ChatDecoder::close() {
    if (!is_open_) {
        return;
    }
    if (kind_ == BlockKind::tool && !has_arguments_) {
        size_t first = held_.find_first_not_of(" \t\r\n");
        bool is_null = first == std::string::npos ||
                       held_.substr(first, held_.find_last_not_of(" \t\r\n") + 1 - first) == "null";
        send_arguments(is_null ? JsonText{"{}"} : json::escape(held_, arena_));
    }
    is_open_ = false;
    StreamEvent event;
    event.kind = EventKind::close;
    event.block_kind = kind_;
    event.block = next_block_ - 1;
    emit(event);
}

// Those of a block that is over have no place any more.
void ChatDecoder::on_citation(Value root) {
    Value citation = root["delta"]["message"]["citations"];
    std::optional<int64_t> block = cited_block(citation);
    bool is_here =
        is_open_ && kind_ == BlockKind::text && block && (*block == index_ || *block < 0);
    if (!is_here) {
        return;
    }
    citation_ = read_citation(citation);
    StreamEvent event;
    event.kind = EventKind::cite;
    event.block_kind = BlockKind::text;
    event.block = next_block_ - 1;
    event.raw = citation.raw();
    event.origin = DialectId::cohere;
    event.citation = &citation_;
    emit(event);
}

void ChatDecoder::on_logprobs(Value logprobs) {
    if (logprobs.is_unset()) {
        return;
    }
    entries_.clear();
    append_logprobs(logprobs, arena_, entries_);
    if (entries_.size() == 0) {
        return;
    }
    logprobs_.clear();
    logprobs_.append("{\"content\":[");
    logprobs_.append(entries_.view());
    logprobs_.append("],\"refusal\":null}");
    StreamEvent event;
    event.kind = EventKind::logprobs;
    event.raw = {logprobs_.view()};
    emit(event);
}

// --- calls ----------------------------------------------------------------------------------

void ChatDecoder::on_call_start(Value root) {
    Value call = root["delta"]["message"]["tool_calls"];
    JsonText name = call["function"]["name"].text();
    if (name.empty()) {
        fail("a tool call without a name");
        return;
    }
    if (call_ids_.size() == kMaxCalls) {
        fail("too many tool calls");
        return;
    }
    start({});
    close();
    JsonText id = call["id"].text();
    bool is_known = std::find(call_ids_.begin(), call_ids_.end(), id.bytes) != call_ids_.end();
    if (id.empty() || id.bytes.size() > kMaxId || is_known) {
        id = invent_call_id({answer_id_}, static_cast<uint32_t>(call_ids_.size()), arena_);
    }
    call_ids_.emplace_back(id.bytes);
    is_open_ = true;
    kind_ = BlockKind::tool;
    index_ = root["index"].as_int().value_or(kUnknown);
    has_arguments_ = false;
    held_.clear();
    StreamEvent event;
    event.kind = EventKind::open;
    event.block_kind = BlockKind::tool;
    event.block = next_block_++;
    event.id = id;
    event.name = name;
    emit(event);
    arguments(call["function"]["arguments"]);
}

void ChatDecoder::on_call_delta(Value root) {
    Value value = root["delta"]["message"]["tool_calls"]["function"]["arguments"];
    int64_t index = root["index"].as_int().value_or(index_);
    if (is_open_ && kind_ == BlockKind::tool && index == index_) {
        arguments(value);
    } else if (!json::is_blank(value.text())) {
        fail("arguments for a tool call that is not open");
    }
}

// A tool without parameters may get `null`: what may still become that is held back.
void ChatDecoder::arguments(Value value) {
    JsonText fragment = value.is_object() ? json::escape(value.raw().bytes, arena_) : value.text();
    if (fragment.empty()) {
        return;
    }
    if (has_arguments_) {
        send_arguments(fragment);
        return;
    }
    std::string_view plain = json::unescape(fragment, arena_);
    if (held_.size() + plain.size() <= kMaxHeld) {
        constexpr std::string_view kNull = "null";
        size_t before = held_.size();
        held_.append(plain);
        size_t first = held_.find_first_not_of(" \t\r\n");
        std::string_view rest =
            first == std::string::npos ? std::string_view() : std::string_view(held_).substr(first);
        rest = rest.substr(0, rest.find_last_not_of(" \t\r\n") + 1);
        if (kNull.starts_with(rest)) {
            return;
        }
        held_.resize(before);
    }
    if (!held_.empty()) {
        send_arguments(json::escape(held_, arena_));
        held_.clear();
    }
    send_arguments(fragment);
}

void ChatDecoder::send_arguments(JsonText fragment) {
    has_arguments_ = true;
    StreamEvent event;
    event.kind = EventKind::delta;
    event.block_kind = BlockKind::tool;
    event.block = next_block_ - 1;
    event.text = fragment;
    emit(event);
}

// --- the end --------------------------------------------------------------------------------

void ChatDecoder::on_end(Value root) {
    Value delta = root["delta"];
    StreamEvent event;
    event.kind = EventKind::finish;
    event.native = delta["finish_reason"].text();
    event.finish = read_finish(event.native, !call_ids_.empty());
    bool has_error = is_error(delta);
    if (event.finish != ir::Finish::error && !has_error) {
        start({});
        close();
    }
    if (is_started_ && read_usage(delta["usage"], usage_)) {
        emit({.kind = EventKind::usage, .usage = &usage_});
    }
    if (has_error) {
        fail_as(delta, delta.raw().bytes);
        return;
    }
    if (event.finish == ir::Finish::error) {
        fail(error_class_of(event.native), {"the provider ended its answer with an error"},
             event.native);
        return;
    }
    is_ended_ = true;
    emit(event);
    emit({.kind = EventKind::end});
}

void ChatDecoder::fail_as(Value root, std::string_view body) {
    ApiError error = read_error(0, root, body, arena_);
    JsonText native = root["finish_reason"].text();
    if (error.error_class == ErrorClass::upstream && !native.empty()) {
        error.error_class = error_class_of(native);
    }
    fail(error.error_class, error.message, error.code.empty() ? native : error.code);
}

}  // namespace

std::unique_ptr<Decoder> make_decoder() {
    return std::make_unique<ChatDecoder>();
}

}  // namespace llm::cohere
