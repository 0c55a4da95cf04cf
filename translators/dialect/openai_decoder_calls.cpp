// Tool calls of a chat stream: which call an entry belongs to, its id and name, its arguments and
// when they are whole. See openai_decoder.hpp.
#include <algorithm>

#include "translators/dialect/openai_answer.hpp"
#include "translators/dialect/openai_decoder.hpp"

namespace llm::openai {

namespace {

constexpr int64_t kMaxToolIndex = 255;
constexpr size_t kMaxTools = 256;
constexpr size_t kMaxName = 1024;
constexpr size_t kMaxId = 64u << 10;
constexpr size_t kMaxEarlyArguments = 1u << 20;

JsonText as_fragment(Value arguments, Arena &arena) {
    return arguments.is_object() ? json::escape(arguments.raw().bytes, arena) : arguments.text();
}

// Free text may look whole at any time.
void scan(DecodedCall &tool, JsonText fragment) {
    if (!tool.is_custom) {
        tool.scan.feed(fragment);
    }
}

}  // namespace

void ChatDecoder::on_call(DecodedChoice &choice, Value call, uint32_t position) {
    if (!call.is_object()) {
        return;
    }
    Value custom = call["custom"];
    Value function = custom.is_object() ? custom : call["function"];
    DecodedCall *tool = find_tool(choice, call, function, position);
    if (tool == nullptr) {
        return;
    }
    tool->is_custom |= custom.is_object();
    if (JsonText signature = google_signature(call);
        !tool->is_opened() && tool->signature.empty() && signature.bytes.size() <= kMaxId) {
        tool->signature = signature.bytes;
    }
    on_function(choice, *tool, call["id"].text(), function["name"].text(),
                function[custom.is_object() ? "input" : "arguments"]);
}

// The call that an entry belongs to. The index decides where there is one; an entry with another
// id and a name under a known index is a new call all the same (Gemini's compatible endpoint gives
// every call index 0), and so is one with a name and arguments after whole arguments. Entries
// without an index go by id, else by their place in the array.
DecodedCall *ChatDecoder::find_tool(DecodedChoice &choice, Value call, Value function,
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
    DecodedCall *same_key = nullptr;
    for (DecodedCall &tool : choice.tools) {
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

DecodedCall *ChatDecoder::add_tool(DecodedChoice &choice, int64_t key) {
    if (tool_count_ >= kMaxTools) {
        fail("too many tool calls");
        return nullptr;
    }
    close_block(choice);
    open_named_tools(choice);
    DecodedCall &tool = choice.tools.emplace_back();
    tool.key = key;
    tool.ordinal = tool_count_++;
    return &tool;
}

// Id and name are taken once; null and "" on later deltas mean nothing. A name may come in
// pieces until the arguments begin.
void ChatDecoder::on_function(DecodedChoice &choice, DecodedCall &tool, JsonText id, JsonText name,
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
        scan(tool, fragment);
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
    scan(tool, fragment);
    StreamEvent event;
    event.kind = EventKind::delta;
    event.block_kind = BlockKind::tool;
    event.choice = static_cast<uint32_t>(choice.index);
    event.block = tool.block;
    event.text = fragment;
    emit(event);
}

void ChatDecoder::take_name(DecodedCall &tool, JsonText name) {
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

void ChatDecoder::open_tool(DecodedChoice &choice, DecodedCall &tool) {
    close_block(choice);
    google_block(choice, {tool.signature});
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
    event.is_custom = tool.is_custom;
    emit(event);
    event.is_custom = false;
    if (!tool.early.empty()) {
        event.kind = EventKind::delta;
        event.id = {};
        event.name = {};
        event.text = {tool.early};
        emit(event);
        std::string().swap(tool.early);
    }
}

// A signature of a call or a text, in a block of its own: before the call, behind the text.
// Nothing else is open.
void ChatDecoder::google_block(DecodedChoice &choice, JsonText signature) {
    if (signature.empty()) {
        return;
    }
    open_block(choice, BlockKind::reasoning);
    StreamEvent event;
    event.kind = EventKind::signature;
    event.choice = static_cast<uint32_t>(choice.index);
    event.block = choice.block;
    event.text = signature;
    event.origin = DialectId::gemini;
    emit(event);
    close_block(choice);
}

void ChatDecoder::open_named_tools(DecodedChoice &choice) {
    for (DecodedCall &tool : choice.tools) {
        if (!tool.is_opened() && !tool.name.empty()) {
            open_tool(choice, tool);
        }
    }
}

// Something else goes on: calls whose arguments are whole need not wait for the end.
void ChatDecoder::close_whole_tools(DecodedChoice &choice, const DecodedCall *except) {
    for (DecodedCall &tool : choice.tools) {
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

}  // namespace llm::openai
