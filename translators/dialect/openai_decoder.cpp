// Chat completion stream -> ir events, for OpenAI and everybody who imitates it.
//
// Entry point: make_decoder. One state for each choice: its open text, reasoning and refusal block
// (at most one of them open at a time) and its tool calls, which may interleave. A call is opened
// when its arguments begin or something else comes, because its name may arrive in pieces; it is
// closed at the end, or as soon as its arguments are whole and another call goes on. `finish` and
// `end` wait for the terminal frame, since usage may follow the finish reason. What is kept from
// one event to the next is bounded: 128 choices, 256 calls, 1 MiB of arguments before a name.
#include <algorithm>

#include "translators/dialect/openai_answer.hpp"
#include "translators/dialect/openai_decoder.hpp"

namespace llm::openai {

namespace {

constexpr int64_t kMaxChoices = 128;
constexpr size_t kMaxKept = 512;  // of the answer's id and of a finish reason
constexpr size_t kMaxAddress = 4096;

bool is_error_value(Value error) {
    return (error.is_object() && error.size() > 0) || (error.is_string() && !error.text().empty());
}

Error stop() {
    return Error{Errc::upstream_protocol, "the stream is over", {}, 0};
}

}  // namespace

// --- frames ---------------------------------------------------------------------------------

void ChatDecoder::feed(std::string_view bytes, ir::EventSink &sink) {
    if (is_ended_) {
        return;
    }
    sink_ = &sink;
    Status status = splitter_.feed(bytes, *this);
    if (!status && !is_ended_) {
        fail(status.error().what);
    }
}

void ChatDecoder::finish(ir::EventSink &sink) {
    if (is_ended_) {
        return;
    }
    sink_ = &sink;
    is_draining_ = true;
    Status status = splitter_.finish(*this);
    if (is_ended_) {
        return;
    }
    bool is_complete = static_cast<bool>(status) && !choices_.empty();
    for (const DecodedChoice &choice : choices_) {
        is_complete = is_complete && choice.is_finished;
    }
    if (is_complete) {
        complete();
    } else {
        fail(ErrorClass::stream_truncated, {"the provider's stream ended early"}, {});
    }
}

size_t ChatDecoder::memory() const {
    size_t sum = splitter_.memory() + answer_id_.capacity();
    for (const DecodedChoice &choice : choices_) {
        sum += sizeof choice + choice.native.capacity() + choice.stop_sequence.capacity();
        for (const DecodedCall &tool : choice.tools) {
            sum += sizeof tool + tool.id.capacity() + tool.name.capacity() + tool.early.capacity() +
                   tool.signature.capacity();
        }
    }
    return sum;
}

Status ChatDecoder::on_sse(const wire::SseEvent &frame) {
    std::string_view data = frame.data;
    size_t first = data.find_first_not_of(" \t\r\n");
    if (!frame.has_data || first == std::string_view::npos) {
        return {};
    }
    data = data.substr(first, data.find_last_not_of(" \t\r\n") + 1 - first);
    if (data == "[DONE]") {
        complete();
        return stop();
    }
    arena_.reset();
    json::Limits limits;
    limits.allow_lone_surrogates = true;
    Result<Value> root = reader_.parse(data, limits);
    bool is_error = frame.name == "error";
    if (!root) {
        if (is_draining_) {
            return {};
        }
        if (is_error) {
            fail_as({}, data);
        } else {
            fail("a frame of the provider's stream is not JSON");
        }
        return stop();
    }
    for (Value item : root->items()) {  // Google wraps errors in an array
        is_error = is_error || is_error_value(item["error"]);
    }
    is_error = is_error || is_error_value((*root)["error"]) || (*root)["object"].equals("error");
    if (is_error) {
        if (is_started_ && read_usage(find_usage(*root), usage_)) {
            emit({.kind = EventKind::usage, .usage = &usage_});
        }
        fail_as(*root, data);
    } else if (root->is_object()) {
        on_chunk(*root);
    }
    return is_ended_ ? Status(stop()) : Status();
}

void ChatDecoder::on_chunk(Value chunk) {
    Value choices = chunk["choices"];
    bool has_identity = !chunk["id"].text().empty() || !chunk["model"].text().empty();
    if (!is_started_ && (has_identity || choices.size() > 0)) {
        start(chunk);
    }
    if (read_usage(find_usage(chunk), usage_)) {
        emit({.kind = EventKind::usage, .usage = &usage_});
    }
    for (Value choice : choices.items()) {
        if (is_ended_) {
            return;
        }
        on_choice(choice);
    }
    if (!is_ended_) {
        cite_addresses(chunk);
    }
    if (!is_ended_ && chunk["object"].equals("chat.completion.done")) {
        complete();
    }
}

void ChatDecoder::start(Value chunk) {
    is_started_ = true;
    answer_id_ = chunk["id"].text().bytes.substr(0, kMaxKept);
    StreamEvent event;
    event.kind = EventKind::start;
    event.id = chunk["id"].text();
    event.name = chunk["model"].text();
    event.created = std::max<int64_t>(chunk["created"].as_int().value_or(0), 0);
    emit(event);
}

void ChatDecoder::on_choice(Value choice) {
    if (is_error_value(choice["error"])) {
        fail_as(choice, choice.raw().bytes);
        return;
    }
    int64_t index = choice["index"].as_int().value_or(0);
    if (index < 0 || index >= kMaxChoices) {
        fail("a choice with an impossible index");
        return;
    }
    auto state = std::find_if(choices_.begin(), choices_.end(),
                              [index](const DecodedChoice &c) { return c.index == index; });
    if (state == choices_.end()) {
        choices_.emplace_back().index = index;
        state = std::prev(choices_.end());
    }
    on_delta(*state, choice["delta"]);
    if (is_ended_) {
        return;
    }
    if (Value logprobs = choice["logprobs"];
        logprobs["content"].size() > 0 || logprobs["refusal"].size() > 0) {
        StreamEvent event;
        event.kind = EventKind::logprobs;
        event.choice = static_cast<uint32_t>(index);
        event.raw = logprobs.raw();
        emit(event);
    }
    if (Value reason = choice["finish_reason"]; reason.is_string() && !state->is_finished) {
        state->is_finished = true;
        state->native = reason.text().bytes.substr(0, kMaxKept);
        if (Value stopped_by = choice["stop_reason"]; stopped_by.is_string()) {
            state->stop_sequence = stopped_by.text().bytes;
        }
    }
}

// --- deltas ---------------------------------------------------------------------------------

void ChatDecoder::on_delta(DecodedChoice &choice, Value delta) {
    JsonText reasoning = reasoning_text(delta);
    text(choice, BlockKind::reasoning, reasoning);
    on_details(choice, delta["reasoning_details"], reasoning.empty());
    on_content(choice, delta["content"]);
    text(choice, BlockKind::refusal, delta["refusal"].text());
    for (Value citation : delta["annotations"].items()) {
        if (choice.block != kNoBlock && choice.block_kind == BlockKind::text) {
            StreamEvent event;
            event.kind = EventKind::cite;
            event.choice = static_cast<uint32_t>(choice.index);
            event.block = choice.block;
            ir::Citation common = read_annotation(citation, choice.text_blocks == 1);
            event.raw = citation.raw();
            event.origin = DialectId::openai;
            event.citation = &common;
            emit(event);
            has_annotations_ = true;
        }
    }
    if (JsonText signature = google_signature(delta); !signature.empty()) {
        close_block(choice);
        open_named_tools(choice);
        google_block(choice, signature);
    }
    uint32_t position = 0;
    for (Value call : delta["tool_calls"].items()) {
        on_call(choice, call, position++);
        if (is_ended_) {
            return;
        }
    }
    if (Value function = delta["function_call"]; function.is_object()) {
        DecodedCall *tool = nullptr;
        for (DecodedCall &known : choice.tools) {
            tool = known.key == kFunctionKey ? &known : tool;
        }
        tool = tool != nullptr ? tool : add_tool(choice, kFunctionKey);
        if (tool != nullptr) {
            on_function(choice, *tool, {}, function["name"].text(), function["arguments"]);
        }
    }
}

// A string, or (Mistral) an array of thinking and text parts.
void ChatDecoder::on_content(DecodedChoice &choice, Value content) {
    if (content.is_string()) {
        text(choice, BlockKind::text, content.text());
        return;
    }
    for (Value part : content.items()) {
        if (part["type"].equals("thinking")) {
            text(choice, BlockKind::reasoning, part["thinking"].text());
            for (Value piece : part["thinking"].items()) {
                text(choice, BlockKind::reasoning, piece["text"].text());
            }
        } else if (part["type"].equals("refusal")) {
            text(choice, BlockKind::refusal, part["refusal"].text());
        } else {
            text(choice, BlockKind::text, part["text"].text());
        }
    }
}

// OpenRouter and its like: text only when no other member had it, signatures and encrypted
// reasoning always. A second opaque value belongs to a block of its own.
void ChatDecoder::on_details(DecodedChoice &choice, Value details, bool take_text) {
    for (Value detail : details.items()) {
        if (take_text) {
            text(choice, BlockKind::reasoning, detail["text"].text());
            text(choice, BlockKind::reasoning, detail["summary"].text());
        }
        JsonText opaque = detail["signature"].text();
        opaque = opaque.empty() ? detail["data"].text() : opaque;
        if (opaque.empty()) {
            continue;
        }
        if (choice.block != kNoBlock && choice.is_signed) {
            close_block(choice);
        }
        ensure_block(choice, BlockKind::reasoning);
        choice.is_signed = true;
        StreamEvent event;
        event.kind = EventKind::signature;
        event.choice = static_cast<uint32_t>(choice.index);
        event.block = choice.block;
        event.text = opaque;
        event.origin = DialectId::openai;
        emit(event);
    }
}

void ChatDecoder::text(DecodedChoice &choice, BlockKind kind, JsonText text) {
    if (text.empty()) {
        return;
    }
    if (kind == BlockKind::reasoning && choice.block != kNoBlock && choice.is_signed) {
        close_block(choice);
    }
    ensure_block(choice, kind);
    StreamEvent event;
    event.kind = EventKind::delta;
    event.block_kind = kind;
    event.choice = static_cast<uint32_t>(choice.index);
    event.block = choice.block;
    event.text = text;
    emit(event);
}

void ChatDecoder::ensure_block(DecodedChoice &choice, BlockKind kind) {
    if (choice.block != kNoBlock && choice.block_kind == kind) {
        return;
    }
    close_block(choice);
    open_named_tools(choice);
    close_whole_tools(choice, nullptr);
    open_block(choice, kind);
}

void ChatDecoder::open_block(DecodedChoice &choice, BlockKind kind) {
    choice.block = next_block_++;
    choice.block_kind = kind;
    choice.is_signed = false;
    choice.text_blocks += kind == BlockKind::text ? 1 : 0;
    StreamEvent event;
    event.kind = EventKind::open;
    event.block_kind = kind;
    event.choice = static_cast<uint32_t>(choice.index);
    event.block = choice.block;
    emit(event);
}

void ChatDecoder::close_block(DecodedChoice &choice) {
    if (choice.block == kNoBlock) {
        return;
    }
    StreamEvent event;
    event.kind = EventKind::close;
    event.block_kind = choice.block_kind;
    event.choice = static_cast<uint32_t>(choice.index);
    event.block = choice.block;
    choice.block = kNoBlock;
    choice.is_signed = false;
    emit(event);
}

// --- the end --------------------------------------------------------------------------------

// Perplexity says with every chunk what it has found so far: the longest list counts.
void ChatDecoder::cite_addresses(Value chunk) {
    if (chunk["citations"].size() <= addresses_.size()) {
        return;
    }
    std::vector<ir::Citation> found = read_addresses(chunk);
    if (found.size() <= addresses_.size()) {
        return;
    }
    addresses_.clear();
    for (const ir::Citation &citation : found) {
        addresses_.push_back({std::string(citation.url.bytes.substr(0, kMaxAddress)),
                              std::string(citation.title.bytes.substr(0, kMaxAddress))});
    }
}

void ChatDecoder::emit_addresses(DecodedChoice &choice) {
    if (has_annotations_ || choice.block == kNoBlock || choice.block_kind != BlockKind::text) {
        return;
    }
    for (const auto &[url, title] : addresses_) {
        ir::Citation citation;
        citation.url = {url};
        citation.title = {title};
        StreamEvent event;
        event.kind = EventKind::cite;
        event.choice = static_cast<uint32_t>(choice.index);
        event.block = choice.block;
        event.origin = DialectId::openai;
        event.citation = &citation;
        emit(event);
    }
}

// Closes what is open in order of opening, then gives each choice its finish.
void ChatDecoder::complete() {
    if (choices_.empty()) {
        fail("the provider's stream has no answer in it");
        return;
    }
    std::sort(choices_.begin(), choices_.end(),
              [](const DecodedChoice &a, const DecodedChoice &b) { return a.index < b.index; });
    std::vector<StreamEvent> open;
    for (DecodedChoice &choice : choices_) {
        open_named_tools(choice);
        StreamEvent event;
        event.kind = EventKind::close;
        event.choice = static_cast<uint32_t>(choice.index);
        emit_addresses(choice);
        if (choice.block != kNoBlock) {
            event.block = choice.block;
            event.block_kind = choice.block_kind;
            open.push_back(event);
        }
        for (const DecodedCall &tool : choice.tools) {
            if (tool.is_opened() && !tool.is_closed) {
                event.block = tool.block;
                event.block_kind = BlockKind::tool;
                open.push_back(event);
            }
        }
    }
    std::sort(open.begin(), open.end(),
              [](const StreamEvent &a, const StreamEvent &b) { return a.block < b.block; });
    for (const StreamEvent &event : open) {
        emit(event);
    }
    for (DecodedChoice &choice : choices_) {
        bool has_calls = std::any_of(choice.tools.begin(), choice.tools.end(),
                                     [](const DecodedCall &tool) { return tool.is_opened(); });
        StreamEvent event;
        event.kind = EventKind::finish;
        event.choice = static_cast<uint32_t>(choice.index);
        event.native = {choice.native};
        event.finish = read_finish(event.native, has_calls);
        if (event.finish == ir::Finish::error) {
            bool is_busy = choice.native == "insufficient_system_resource";
            fail(is_busy ? ErrorClass::overloaded : ErrorClass::upstream,
                 {"the provider ended its answer with an error"}, event.native);
            return;
        }
        if (event.finish == ir::Finish::stop && !choice.stop_sequence.empty()) {
            event.finish = ir::Finish::stop_sequence;
            event.stop_sequence = {choice.stop_sequence};
        }
        emit(event);
    }
    is_ended_ = true;
    emit({.kind = EventKind::end});
}

void ChatDecoder::fail(ErrorClass error_class, JsonText message, JsonText code) {
    is_ended_ = true;
    StreamEvent event;
    event.kind = EventKind::error;
    event.error_class = error_class;
    event.text = message;
    event.name = code;
    emit(event);
}

void ChatDecoder::fail_as(Value root, std::string_view body) {
    ApiError error = read_error(0, root, body, arena_);
    fail(error.error_class, error.message, error.code);
}

std::unique_ptr<Decoder> make_decoder() {
    return std::make_unique<ChatDecoder>();
}

}  // namespace llm::openai
