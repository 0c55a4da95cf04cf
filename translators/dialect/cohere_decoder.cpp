// The stream of Cohere's v2 chat -> ir events.
//
// Entry point: make_decoder. At most one block of text is open at a time: the plan or a content
// block. It is closed when something else comes and not by content-end, so that a citation may
// follow it. Calls may interleave, and are known by their index: each is open until its own end, or
// until another call takes its index. `message-end` is the end, whatever follows; without it the
// stream is cut. What is kept from one event to the next is bounded: 256 calls, 1 MiB of their ids.
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

struct Call {
    std::string id;
    std::string held;  // the start of arguments that may turn out to be null
    int64_t index = kUnknown;
    uint32_t block = 0;
    bool is_open = true;
    bool has_arguments = false;  // fragments went out
};

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
    void close_text();
    Call *open_call(Value index);
    void arguments(Call &call, Value value);
    void send_arguments(Call &call, JsonText fragment);
    void close_call(Call &call);
    void close_block(BlockKind kind, uint32_t block);
    bool is_error(Value root) const;
    void fail_as(Value root, std::string_view body);

    wire::SseSplitter splitter_;
    std::string answer_id_;
    std::vector<Call> calls_;
    ByteBuffer logprobs_;
    ByteBuffer entries_;
    ir::Citation citation_;
    Usage usage_;
    int64_t index_ = kUnknown;  // of the open text, as the provider counts; calls apart
    uint32_t block_ = 0;        // of the open text
    uint32_t next_block_ = 0;
    BlockKind kind_ = BlockKind::text;
    bool is_open_ = false;  // a text is
    bool is_started_ = false;
};

// --- frames ---------------------------------------------------------------------------------

size_t ChatDecoder::memory() const {
    size_t sum = splitter_.memory() + answer_id_.capacity();
    for (const Call &call : calls_) {
        sum += sizeof call + call.id.capacity() + call.held.capacity();
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
        if (Call *call = open_call(root["index"])) {
            close_call(*call);
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
    event.block = block_;
    event.text = text;
    emit(event);
}

// Calls open themselves: theirs has an id and a name.
void ChatDecoder::open(BlockKind kind, int64_t index) {
    start({});
    close_text();
    is_open_ = true;
    kind_ = kind;
    index_ = index;
    block_ = next_block_++;
    StreamEvent event;
    event.kind = EventKind::open;
    event.block_kind = kind;
    event.block = block_;
    emit(event);
}

void ChatDecoder::close_text() {
    if (is_open_) {
        is_open_ = false;
        close_block(kind_, block_);
    }
}

void ChatDecoder::close_block(BlockKind kind, uint32_t block) {
    StreamEvent event;
    event.kind = EventKind::close;
    event.block_kind = kind;
    event.block = block;
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
    event.block = block_;
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
    Value given = root["delta"]["message"]["tool_calls"];
    JsonText name = given["function"]["name"].text();
    if (name.empty()) {
        fail("a tool call without a name");
        return;
    }
    if (calls_.size() == kMaxCalls) {
        fail("too many tool calls");
        return;
    }
    start({});
    close_text();
    int64_t index = root["index"].as_int().value_or(kUnknown);
    JsonText id = given["id"].text();
    bool is_known = false;
    for (Call &other : calls_) {
        is_known = is_known || other.id == id.bytes;
        if (other.is_open && other.index == index) {
            close_call(other);
        }
    }
    if (id.empty() || id.bytes.size() > kMaxId || is_known) {
        id = invent_call_id({answer_id_}, static_cast<uint32_t>(calls_.size()), arena_);
    }
    Call &call = calls_.emplace_back();
    call.id = id.bytes;
    call.index = index;
    call.block = next_block_++;
    StreamEvent event;
    event.kind = EventKind::open;
    event.block_kind = BlockKind::tool;
    event.block = call.block;
    event.id = id;
    event.name = name;
    emit(event);
    arguments(call, given["function"]["arguments"]);
}

// The one that an event belongs to; without an index, the newest.
Call *ChatDecoder::open_call(Value index) {
    std::optional<int64_t> wanted = index.as_int();
    auto found = std::find_if(calls_.rbegin(), calls_.rend(), [&](const Call &call) {
        return call.is_open && (!wanted || call.index == *wanted);
    });
    return found != calls_.rend() ? &*found : nullptr;
}

void ChatDecoder::on_call_delta(Value root) {
    Value value = root["delta"]["message"]["tool_calls"]["function"]["arguments"];
    if (Call *call = open_call(root["index"])) {
        arguments(*call, value);
    } else if (value.is_object() || !json::is_blank(value.text())) {
        fail("arguments for a tool call that is not open");
    }
}

// A tool without parameters may get `null`: what may still become that is held back.
void ChatDecoder::arguments(Call &call, Value value) {
    JsonText fragment = value.is_object() ? json::escape(value.raw().bytes, arena_) : value.text();
    if (fragment.empty()) {
        return;
    }
    if (call.has_arguments) {
        send_arguments(call, fragment);
        return;
    }
    std::string_view plain = json::unescape(fragment, arena_);
    std::string &held = call.held;
    if (held.size() + plain.size() <= kMaxHeld) {
        constexpr std::string_view kNull = "null";
        size_t before = held.size();
        held.append(plain);
        size_t first = held.find_first_not_of(" \t\r\n");
        std::string_view rest =
            first == std::string::npos ? std::string_view() : std::string_view(held).substr(first);
        rest = rest.substr(0, rest.find_last_not_of(" \t\r\n") + 1);
        if (kNull.starts_with(rest)) {
            return;
        }
        held.resize(before);
    }
    if (!held.empty()) {
        send_arguments(call, json::escape(held, arena_));
        held.clear();
    }
    send_arguments(call, fragment);
}

void ChatDecoder::send_arguments(Call &call, JsonText fragment) {
    call.has_arguments = true;
    StreamEvent event;
    event.kind = EventKind::delta;
    event.block_kind = BlockKind::tool;
    event.block = call.block;
    event.text = fragment;
    emit(event);
}

void ChatDecoder::close_call(Call &call) {
    if (!call.has_arguments) {
        const std::string &held = call.held;
        size_t first = held.find_first_not_of(" \t\r\n");
        bool is_null = first == std::string::npos ||
                       held.substr(first, held.find_last_not_of(" \t\r\n") + 1 - first) == "null";
        send_arguments(call, is_null ? JsonText{"{}"} : json::escape(held, arena_));
    }
    call.is_open = false;
    close_block(BlockKind::tool, call.block);
}

// --- the end --------------------------------------------------------------------------------

void ChatDecoder::on_end(Value root) {
    Value delta = root["delta"];
    StreamEvent event;
    event.kind = EventKind::finish;
    event.native = delta["finish_reason"].text();
    event.finish = read_finish(event.native, !calls_.empty());
    bool has_error = is_error(delta);
    if (event.finish != ir::Finish::error && !has_error) {
        start({});
        for (Call &call : calls_) {
            if (call.is_open) {
                close_call(call);
            }
        }
        close_text();
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
