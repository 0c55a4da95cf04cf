// Chat completion stream -> ir events, for OpenAI and everybody who imitates it.
//
// Entry point: make_decoder. One state for each choice: its open text, reasoning and refusal block
// (at most one of them open at a time) and its tool calls, which may interleave. A call is opened
// when its arguments begin or something else comes, because its name may arrive in pieces; it is
// closed at the end, or as soon as its arguments are whole and another call goes on. `finish` and
// `end` wait for the terminal frame, since usage may follow the finish reason. What is kept from
// one event to the next is bounded: 128 choices, 256 calls, 1 MiB of arguments before a name.
#include <algorithm>

#include "translators/dialect/openai.hpp"
#include "translators/dialect/openai_answer.hpp"
#include "translators/dialect/openai_scan.hpp"

namespace llm::openai {

namespace {

using ir::BlockKind;
using ir::ErrorClass;
using ir::EventKind;
using ir::StreamEvent;
using json::Value;

constexpr int64_t kMaxChoices = 128;
constexpr int64_t kMaxToolIndex = 255;
constexpr size_t kMaxTools = 256;
constexpr size_t kMaxName = 1024;
constexpr size_t kMaxId = 64u << 10;
constexpr size_t kMaxEarlyArguments = 1u << 20;
constexpr size_t kMaxKept = 512;  // of the answer's id and of a finish reason
constexpr int64_t kFunctionKey = -1;
constexpr uint32_t kNoBlock = UINT32_MAX;

struct ToolState {
    int64_t key = 0;
    uint32_t block = kNoBlock;
    uint32_t ordinal = 0;
    bool is_closed = false;
    bool has_arguments = false;
    std::string id;
    std::string name;
    std::string early;  // arguments that came before the name
    ArgumentScan scan;

    bool is_opened() const { return block != kNoBlock; }
};

struct ChoiceState {
    int64_t index = 0;
    uint32_t block = kNoBlock;  // the open text, reasoning or refusal block
    BlockKind block_kind = BlockKind::text;
    bool is_signed = false;  // the open reasoning block has its signature
    bool is_finished = false;
    size_t last_tool = 0;
    std::vector<ToolState> tools;
    std::string native;
    std::string stop_sequence;
};

class ChatDecoder final : public Decoder, private wire::SseHandler {
  public:
    void feed(std::string_view bytes, ir::EventSink &sink) override;
    void finish(ir::EventSink &sink) override;
    bool ended() const override { return is_ended_; }
    size_t memory() const override;

  private:
    Status on_sse(const wire::SseEvent &frame) override;
    void on_chunk(Value chunk);
    void on_choice(Value choice);
    void on_delta(ChoiceState &choice, Value delta);
    void on_content(ChoiceState &choice, Value content);
    void on_details(ChoiceState &choice, Value details, bool take_text);
    void on_call(ChoiceState &choice, Value call, uint32_t position);
    void on_function(ChoiceState &choice, ToolState &tool, JsonText id, JsonText name,
                     Value arguments);

    ToolState *find_tool(ChoiceState &choice, Value call, Value function, uint32_t position);
    ToolState *add_tool(ChoiceState &choice, int64_t key);
    void take_name(ToolState &tool, JsonText name);
    void open_tool(ChoiceState &choice, ToolState &tool);
    void open_named_tools(ChoiceState &choice);
    void close_whole_tools(ChoiceState &choice, const ToolState *except);

    void text(ChoiceState &choice, BlockKind kind, JsonText text);
    void ensure_block(ChoiceState &choice, BlockKind kind);
    void close_block(ChoiceState &choice);
    void start(Value chunk);
    void complete();
    void fail(ErrorClass error_class, JsonText message, JsonText code);
    void fail(std::string_view message) { fail(ErrorClass::upstream_protocol, {message}, {}); }
    void fail_as(Value root, std::string_view body);
    void emit(const StreamEvent &event) { sink_->on_event(event); }

    wire::SseSplitter splitter_;
    json::Reader reader_;
    Arena arena_;
    ir::EventSink *sink_ = nullptr;
    std::vector<ChoiceState> choices_;
    std::string answer_id_;
    Usage usage_;
    uint32_t next_block_ = 0;
    uint32_t tool_count_ = 0;
    bool is_started_ = false;
    bool is_ended_ = false;
    bool is_draining_ = false;  // the input is over: half an event is no malformed one
};

bool is_error_value(Value error) {
    return (error.is_object() && error.size() > 0) || (error.is_string() && !error.text().empty());
}

Error stop() {
    return Error{Errc::upstream_protocol, "the stream is over", {}, 0};
}

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
    for (const ChoiceState &choice : choices_) {
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
    for (const ChoiceState &choice : choices_) {
        sum += sizeof choice + choice.native.capacity() + choice.stop_sequence.capacity();
        for (const ToolState &tool : choice.tools) {
            sum += sizeof tool + tool.id.capacity() + tool.name.capacity() + tool.early.capacity();
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
                              [index](const ChoiceState &c) { return c.index == index; });
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

void ChatDecoder::on_delta(ChoiceState &choice, Value delta) {
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
            event.raw = citation.raw();
            event.origin = DialectId::openai;
            emit(event);
        }
    }
    uint32_t position = 0;
    for (Value call : delta["tool_calls"].items()) {
        on_call(choice, call, position++);
        if (is_ended_) {
            return;
        }
    }
    if (Value function = delta["function_call"]; function.is_object()) {
        ToolState *tool = nullptr;
        for (ToolState &known : choice.tools) {
            tool = known.key == kFunctionKey ? &known : tool;
        }
        tool = tool != nullptr ? tool : add_tool(choice, kFunctionKey);
        if (tool != nullptr) {
            on_function(choice, *tool, {}, function["name"].text(), function["arguments"]);
        }
    }
}

// A string, or (Mistral) an array of thinking and text parts.
void ChatDecoder::on_content(ChoiceState &choice, Value content) {
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
void ChatDecoder::on_details(ChoiceState &choice, Value details, bool take_text) {
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

void ChatDecoder::text(ChoiceState &choice, BlockKind kind, JsonText text) {
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

void ChatDecoder::ensure_block(ChoiceState &choice, BlockKind kind) {
    if (choice.block != kNoBlock && choice.block_kind == kind) {
        return;
    }
    close_block(choice);
    open_named_tools(choice);
    close_whole_tools(choice, nullptr);
    choice.block = next_block_++;
    choice.block_kind = kind;
    choice.is_signed = false;
    StreamEvent event;
    event.kind = EventKind::open;
    event.block_kind = kind;
    event.choice = static_cast<uint32_t>(choice.index);
    event.block = choice.block;
    emit(event);
}

void ChatDecoder::close_block(ChoiceState &choice) {
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

// --- tool calls -----------------------------------------------------------------------------

JsonText as_fragment(Value arguments, Arena &arena) {
    return arguments.is_object() ? json::escape(arguments.raw().bytes, arena) : arguments.text();
}

void ChatDecoder::on_call(ChoiceState &choice, Value call, uint32_t position) {
    if (!call.is_object()) {
        return;
    }
    Value custom = call["custom"];
    Value function = custom.is_object() ? custom : call["function"];
    ToolState *tool = find_tool(choice, call, function, position);
    if (tool == nullptr) {
        return;
    }
    on_function(choice, *tool, call["id"].text(), function["name"].text(),
                function[custom.is_object() ? "input" : "arguments"]);
}

// The call that an entry belongs to. The index decides where there is one; an entry with another
// id and a name under a known index is a new call all the same (Gemini's compatible endpoint gives
// every call index 0), and so is one with a name and arguments after whole arguments. Entries
// without an index go by id, else by their place in the array.
ToolState *ChatDecoder::find_tool(ChoiceState &choice, Value call, Value function,
                                  uint32_t position) {
    std::optional<int64_t> index = call["index"].as_int();
    JsonText id = call["id"].text();
    JsonText name = function["name"].text();
    bool has_index = index.has_value();
    int64_t key = has_index ? *index : position;
    if (key < 0 || key > kMaxToolIndex) {
        fail("a tool call with an impossible index");
        return nullptr;
    }
    if (!has_index && id.empty() && name.empty() && !choice.tools.empty()) {
        return &choice.tools[choice.last_tool];
    }
    ToolState *same_key = nullptr;
    for (ToolState &tool : choice.tools) {
        if (!has_index && !id.empty() && tool.id == id.bytes) {
            return &tool;
        }
        same_key = tool.key == key ? &tool : same_key;
    }
    if (same_key == nullptr) {
        return add_tool(choice, key);
    }
    bool is_other_id = !id.empty() && !same_key->id.empty() && same_key->id != id.bytes;
    bool has_arguments = function["arguments"].is_object() || !function["arguments"].text().empty();
    bool is_whole_again = id.empty() && has_arguments && same_key->scan.is_complete();
    bool is_new = (is_other_id || is_whole_again) && !name.empty();
    return is_new || (is_other_id && !has_index) ? add_tool(choice, key) : same_key;
}

ToolState *ChatDecoder::add_tool(ChoiceState &choice, int64_t key) {
    if (tool_count_ >= kMaxTools) {
        fail("too many tool calls");
        return nullptr;
    }
    close_block(choice);
    open_named_tools(choice);
    ToolState &tool = choice.tools.emplace_back();
    tool.key = key;
    tool.ordinal = tool_count_++;
    return &tool;
}

// Id and name are taken once; null and "" on later deltas mean nothing. A name may come in
// pieces until the arguments begin.
void ChatDecoder::on_function(ChoiceState &choice, ToolState &tool, JsonText id, JsonText name,
                              Value arguments) {
    size_t at = static_cast<size_t>(&tool - choice.tools.data());
    if (choice.last_tool != at) {
        choice.last_tool = at;
        close_whole_tools(choice, &tool);
    }
    if (tool.id.empty() && !tool.is_opened()) {
        tool.id = id.bytes;
    }
    take_name(tool, name);
    if (tool.name.size() > kMaxName || tool.id.size() > kMaxId) {
        fail("a tool call with an overlong name or id");
        return;
    }
    JsonText fragment = as_fragment(arguments, arena_);
    if (fragment.empty()) {
        return;
    }
    tool.has_arguments = true;
    if (tool.name.empty()) {
        if (tool.early.size() + fragment.bytes.size() > kMaxEarlyArguments) {
            fail("a tool call without a name");
            return;
        }
        tool.early.append(fragment.bytes);
        tool.scan.feed(fragment);
        return;
    }
    if (!tool.is_opened()) {
        open_tool(choice, tool);
    }
    if (tool.is_closed) {
        if (!json::is_blank(fragment)) {
            fail("arguments for a tool call that was whole");
        }
        return;
    }
    tool.scan.feed(fragment);
    StreamEvent event;
    event.kind = EventKind::delta;
    event.block_kind = BlockKind::tool;
    event.choice = static_cast<uint32_t>(choice.index);
    event.block = tool.block;
    event.text = fragment;
    emit(event);
}

void ChatDecoder::take_name(ToolState &tool, JsonText name) {
    if (name.empty() || tool.is_opened() || tool.name == name.bytes) {
        return;
    }
    if (tool.name.empty()) {
        tool.name = name.bytes;
    } else if (!tool.has_arguments && tool.name.size() <= kMaxName) {
        if (name.bytes.starts_with(tool.name)) {
            tool.name.clear();  // grown, not another piece
        }
        tool.name.append(name.bytes.substr(0, kMaxName + 1));
    }
}

void ChatDecoder::open_tool(ChoiceState &choice, ToolState &tool) {
    close_block(choice);
    tool.block = next_block_++;
    StreamEvent event;
    event.kind = EventKind::open;
    event.block_kind = BlockKind::tool;
    event.choice = static_cast<uint32_t>(choice.index);
    event.block = tool.block;
    bool is_known = std::any_of(choice.tools.begin(), choice.tools.end(), [&](const auto &other) {
        return &other != &tool && other.is_opened() && other.id == tool.id;
    });
    bool is_usable = !tool.id.empty() && !is_known;
    event.id = is_usable ? JsonText{tool.id} : invent_call_id({answer_id_}, tool.ordinal, arena_);
    event.name = {tool.name};
    emit(event);
    if (!tool.early.empty()) {
        event.kind = EventKind::delta;
        event.id = {};
        event.name = {};
        event.text = {tool.early};
        emit(event);
        std::string().swap(tool.early);
    }
}

void ChatDecoder::open_named_tools(ChoiceState &choice) {
    for (ToolState &tool : choice.tools) {
        if (!tool.is_opened() && !tool.name.empty()) {
            open_tool(choice, tool);
        }
    }
}

// Something else goes on: calls whose arguments are whole need not wait for the end.
void ChatDecoder::close_whole_tools(ChoiceState &choice, const ToolState *except) {
    for (ToolState &tool : choice.tools) {
        if (&tool == except || !tool.is_opened() || tool.is_closed || !tool.scan.is_complete()) {
            continue;
        }
        tool.is_closed = true;
        StreamEvent event;
        event.kind = EventKind::close;
        event.block_kind = BlockKind::tool;
        event.choice = static_cast<uint32_t>(choice.index);
        event.block = tool.block;
        emit(event);
    }
}

// --- the end --------------------------------------------------------------------------------

// Closes what is open in order of opening, then gives each choice its finish.
void ChatDecoder::complete() {
    if (choices_.empty()) {
        fail("the provider's stream has no answer in it");
        return;
    }
    std::sort(choices_.begin(), choices_.end(),
              [](const ChoiceState &a, const ChoiceState &b) { return a.index < b.index; });
    std::vector<StreamEvent> open;
    for (ChoiceState &choice : choices_) {
        open_named_tools(choice);
        StreamEvent event;
        event.kind = EventKind::close;
        event.choice = static_cast<uint32_t>(choice.index);
        if (choice.block != kNoBlock) {
            event.block = choice.block;
            event.block_kind = choice.block_kind;
            open.push_back(event);
        }
        for (const ToolState &tool : choice.tools) {
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
    for (ChoiceState &choice : choices_) {
        bool has_calls = std::any_of(choice.tools.begin(), choice.tools.end(),
                                     [](const ToolState &tool) { return tool.is_opened(); });
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

}  // namespace

std::unique_ptr<Decoder> make_decoder() {
    return std::make_unique<ChatDecoder>();
}

}  // namespace llm::openai
