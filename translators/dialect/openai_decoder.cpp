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

}  // namespace

// --- frames ---------------------------------------------------------------------------------

void ChatDecoder::on_input_end() {
    bool is_complete = !is_cut_ && !choices_.empty();
    for (const DecodedChoice &choice : choices_) {
        is_complete = is_complete && choice.is_finished;
    }
    if (is_complete) {
        complete();
    } else {
        fail_truncated();
    }
}

size_t ChatDecoder::memory() const {
    size_t sum = splitter_.memory() + answer_id_.capacity();
    for (const DecodedChoice &choice : choices_) {
        sum += sizeof choice + choice.native.capacity() + choice.stop_sequence.capacity() +
               choice.mark.memory();
        for (const DecodedCall &tool : choice.tools) {
            sum += sizeof tool + tool.id.capacity() + tool.name.capacity() + tool.early.capacity() +
                   tool.signature.capacity();
        }
    }
    return sum;
}

void ChatDecoder::on_json(Value root, std::string_view data, bool is_error) {
    for (Value item : root.items()) {  // Google wraps errors in an array
        is_error = is_error || is_error_value(item["error"]);
    }
    is_error = is_error || is_error_value(root["error"]) || root["object"].equals("error");
    if (is_error) {
        if (is_started_ && read_usage(find_usage(root), usage_)) {
            emit({.kind = EventKind::usage, .usage = &usage_});
        }
        fail_as(root, data);
    } else if (root.is_object()) {
        on_chunk(root);
    }
}

void ChatDecoder::on_chunk(Value chunk) {
    Value choices = chunk["choices"];
    bool has_identity = !chunk["id"].text().empty() || !chunk["model"].text().empty();
    if (!is_started_ && (has_identity || choices.size() > 0)) {
        start(chunk);
    }
    // Where it comes before anything else it is told with the start.
    if (read_usage(find_usage(chunk), usage_) && is_started_) {
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
    if (usage_.known) {
        emit({.kind = EventKind::usage, .usage = &usage_});
    }
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
    Value details = delta["reasoning_details"];
    if (!has_detail_text(details)) {  // services give the same text in two members
        text(choice, BlockKind::reasoning, reasoning_text(delta));
    }
    on_details(choice, details);
    on_content(choice, delta["content"]);
    text(choice, BlockKind::refusal, delta["refusal"].text());
    for (Value element : delta["images"].items()) {
        on_image(choice, element);
    }
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

// It comes in one piece.
void ChatDecoder::on_image(DecodedChoice &choice, Value element) {
    if (std::optional<DataUrl> image = read_image(element, arena_)) {
        make_way(choice);
        StreamEvent event;
        event.kind = EventKind::open;
        event.block_kind = BlockKind::image;
        event.choice = static_cast<uint32_t>(choice.index);
        event.block = next_block_++;
        event.name = image->mime;
        event.text = image->data;
        emit(event);
        event.kind = EventKind::close;
        event.name = {};
        event.text = {};
        emit(event);
    }
}

// OpenRouter and its like. The mark of a detail is whole when another one begins, or its block
// ends.
void ChatDecoder::on_details(DecodedChoice &choice, Value details) {
    for (Value detail : details.items()) {
        if (is_ended_ || !detail.is_object()) {
            return;
        }
        if (is_hidden_detail(detail)) {
            on_hidden_detail(choice, detail);
            continue;
        }
        if (choice.mark.is_other(detail)) {
            close_block(choice);
        }
        ensure_block(choice, BlockKind::reasoning);
        if (!choice.mark.add(detail)) {
            fail("too large a detail of reasoning");
            return;
        }
        text(choice, BlockKind::reasoning, detail_text(detail));
    }
}

void ChatDecoder::on_hidden_detail(DecodedChoice &choice, Value detail) {
    make_way(choice);
    StreamEvent event;
    event.kind = EventKind::redacted;
    event.block_kind = BlockKind::reasoning;
    event.choice = static_cast<uint32_t>(choice.index);
    event.block = next_block_++;
    event.text = read_detail(detail, arena_).redacted;
    event.origin = DialectId::openai;
    emit(event);
}

// The mark goes out behind all of the text.
void ChatDecoder::sign_block(DecodedChoice &choice) {
    if (choice.block == kNoBlock || choice.mark.empty()) {
        return;
    }
    StreamEvent event;
    event.kind = EventKind::signature;
    event.block_kind = BlockKind::reasoning;
    event.choice = static_cast<uint32_t>(choice.index);
    event.block = choice.block;
    event.text = choice.mark.text(arena_);
    event.origin = DialectId::openai;
    choice.mark.clear();
    emit(event);
}

void ChatDecoder::text(DecodedChoice &choice, BlockKind kind, JsonText text) {
    if (text.empty()) {
        return;
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
    make_way(choice);
    open_block(choice, kind);
}

// For a block that comes next. Calls whose arguments are not whole yet stay open beside it.
void ChatDecoder::make_way(DecodedChoice &choice) {
    close_block(choice);
    open_named_tools(choice);
    close_whole_tools(choice, nullptr);
}

void ChatDecoder::open_block(DecodedChoice &choice, BlockKind kind) {
    choice.block = next_block_++;
    choice.block_kind = kind;
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
    sign_block(choice);
    StreamEvent event;
    event.kind = EventKind::close;
    event.block_kind = choice.block_kind;
    event.choice = static_cast<uint32_t>(choice.index);
    event.block = choice.block;
    choice.block = kNoBlock;
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
        sign_block(choice);
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

std::unique_ptr<Decoder> make_decoder() {
    return std::make_unique<ChatDecoder>();
}

}  // namespace llm::openai
