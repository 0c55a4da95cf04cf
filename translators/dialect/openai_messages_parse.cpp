// The messages of a chat request -> Request::system and Request::turns.
//
// Entry point: MessageReader, fed with the messages in order. Turns stand as the client sent them;
// only a run of tool messages becomes one turn. Legacy forms are modernised: a function_call
// becomes a tool call with an id made from its place in the conversation (the same one every time
// the conversation is sent), and the function message after it the result of that call.
#include <algorithm>

#include "translators/dialect/media.hpp"
#include "translators/dialect/opaque_tag.hpp"
#include "translators/dialect/openai_answer.hpp"
#include "translators/dialect/openai_request.hpp"
#include "translators/dialect/reasoning_details.hpp"

namespace llm::openai {

namespace {

constexpr size_t kMaxUnmodelled = 16;
constexpr size_t kMaxUnmodelledName = 64;

constexpr std::string_view kKnown[] = {
    "role",          "content",   "tool_calls",        "tool_call_id",    "function_call",
    "refusal",       "reasoning", "reasoning_content", "thinking_blocks", "reasoning_details",
    "cache_control", "audio",     "extra_content",
};

}  // namespace

// Members that hold nothing are those of an answer that came back whole: nobody misses them.
void MessageReader::note_unmodelled(Value message, bool is_result) {
    std::vector<std::string_view> &names = request_.unmodelled;
    for (auto [key, value] : message.members()) {
        bool is_known =
            std::find(std::begin(kKnown), std::end(kKnown), key.bytes) != std::end(kKnown) ||
            (is_result && key.bytes == "name");  // its call has it, too
        bool is_empty =
            value.is_null() || ((value.is_array() || value.is_object()) && value.size() == 0);
        if (is_known || is_empty || names.size() == kMaxUnmodelled) {
            continue;
        }
        bool is_plain = !key.has_escapes() && key.bytes.size() <= kMaxUnmodelledName;
        std::string_view name = is_plain ? key.bytes : "messages";
        if (std::find(names.begin(), names.end(), name) == names.end()) {
            names.push_back(name);
        }
    }
}

Status MessageReader::read(Value message) {
    Value role = message["role"];
    if (!role.is_string()) {
        return invalid("each message needs a role", "messages[].role");
    }
    bool is_function = role.equals("function");
    bool is_result = is_function || role.equals("tool");
    note_unmodelled(message, is_result);
    if (is_result) {
        return read_result(message, is_function);
    }
    in_results_ = false;
    if (role.equals("user")) {
        return read_user(message);
    }
    if (role.equals("assistant")) {
        return read_assistant(message);
    }
    if (role.equals("system") || role.equals("developer")) {
        return read_system(message);
    }
    return invalid("unknown role", "messages[].role");
}

Status MessageReader::read_system(Value message) {
    Value content = message["content"];
    std::vector<ir::Text> texts;
    if (content.is_string()) {
        texts.push_back({content.text()});
    } else if (content.is_array()) {
        for (Value part : content.items()) {
            if (!part["text"].is_string()) {
                return invalid("a system message has text parts only", "messages[].content");
            }
            texts.push_back({part["text"].text(), cache_mark(part)});
        }
    } else {
        return invalid("content must be a string or an array", "messages[].content");
    }
    if (RawJson mark = cache_mark(message); !mark.empty() && !texts.empty()) {
        texts.back().cache = mark;
    }
    if (request_.turns.empty()) {
        request_.system.insert(request_.system.end(), texts.begin(), texts.end());
        return {};
    }
    ir::Turn &turn = request_.turns.emplace_back();
    turn.role = ir::Role::system;
    for (ir::Text &text : texts) {
        turn.parts.push_back({text});
    }
    return {};
}

Status MessageReader::read_user(Value message) {
    Value content = message["content"];
    ir::Turn turn;
    if (content.is_string()) {
        turn.parts.push_back({ir::Text{content.text(), cache_mark(message)}});
    } else if (content.is_array()) {
        turn.parts.reserve(content.size());
        for (Value part : content.items()) {
            LLM_TRY(read_part(part, turn.parts));
        }
        if (RawJson mark = cache_mark(message); !mark.empty() && !turn.parts.empty()) {
            if (auto *text = std::get_if<ir::Text>(&turn.parts.back().is)) {
                text->cache = mark;
            }
        }
    } else {
        return invalid("content must be a string or an array", "messages[].content");
    }
    request_.turns.push_back(std::move(turn));
    return {};
}

Status MessageReader::read_part(Value part, std::vector<ir::Part> &parts) {
    Value type = part["type"];
    if (!type.is_string()) {
        return invalid("each content part needs a type", "messages[].content[].type");
    }
    if (type.equals("text")) {
        if (!part["text"].is_string()) {
            return invalid("text must be a string", "messages[].content[].text");
        }
        parts.push_back({ir::Text{part["text"].text(), cache_mark(part)}});
    } else if (type.equals("image_url")) {
        return read_image(part, parts);
    } else if (type.equals("file")) {
        return read_file(part, parts);
    } else if (type.equals("input_audio")) {
        Value audio = part["input_audio"];
        if (!audio["data"].is_string() || !audio["format"].is_string()) {
            return invalid("needs data and format", "messages[].content[].input_audio");
        }
        parts.push_back({ir::Audio{audio["format"].text(), audio["data"].text()}});
    } else {
        parts.push_back({ir::Opaque{DialectId::openai, type.text(), part.raw()}});
    }
    return {};
}

Status MessageReader::read_image(Value part, std::vector<ir::Part> &parts) {
    constexpr std::string_view kName = "messages[].content[].image_url";
    Value image = part["image_url"];
    Value url = image.is_string() ? image : image["url"];
    if (!url.is_string()) {
        return invalid("needs a url", kName);
    }
    ir::Image result;
    LLM_TRY(read_source(url.text(), kName, arena_, result.source));
    LLM_TRY(read_text(image["detail"], "messages[].content[].image_url.detail", result.detail));
    result.cache = cache_mark(part);
    parts.push_back({result});
    return {};
}

Status MessageReader::read_file(Value part, std::vector<ir::Part> &parts) {
    constexpr std::string_view kName = "messages[].content[].file";
    Value file = part["file"];
    if (!file.is_object()) {
        return invalid("must be an object", kName);
    }
    ir::Document document;
    LLM_TRY(read_text(file["filename"], "messages[].content[].file.filename", document.title));
    if (file["file_data"].is_string()) {
        LLM_TRY(read_source(file["file_data"].text(), kName, arena_, document.source));
    } else if (file["file_id"].is_string()) {
        document.source.kind = ir::SourceKind::file_id;
        document.source.data = file["file_id"].text();
    } else {
        return invalid("needs file_data or file_id", kName);
    }
    document.cache = cache_mark(part);
    if (document.source.kind == ir::SourceKind::base64 &&
        document.source.mime.bytes.starts_with("image/")) {
        parts.push_back({ir::Image{document.source, {}, document.cache}});
    } else {
        parts.push_back({document});
    }
    return {};
}

namespace {

// Whose signature is good together with the text of its block only.
bool signs_text(DialectId origin) {
    return origin == DialectId::anthropic || origin == DialectId::bedrock;
}

// Google's own place for the signature of a call or a text at its compatible endpoint.
void read_google_signature(Value holder, ir::Turn &turn) {
    JsonText signature = google_signature(holder);
    if (!signature.empty()) {
        ir::Reasoning reasoning;
        reasoning.origin = DialectId::gemini;
        reasoning.signature = signature;
        turn.parts.push_back({reasoning});
    }
}

// What a provider signed without a call stands behind the text in the IR; clients give it before.
void move_behind_text(ir::Turn &turn) {
    auto is_signature = [](const ir::Part &part) {
        const auto *reasoning = std::get_if<ir::Reasoning>(&part.is);
        return reasoning != nullptr && reasoning->origin == DialectId::gemini &&
               reasoning->text.empty() && !reasoning->signature.empty();
    };
    if (!turn.parts.empty() && std::holds_alternative<ir::Text>(turn.parts.back().is)) {
        std::stable_partition(turn.parts.begin(), turn.parts.end(),
                              [&](const ir::Part &part) { return !is_signature(part); });
    }
}

}  // namespace

Status MessageReader::read_assistant(Value message) {
    ir::Turn turn;
    turn.role = ir::Role::assistant;
    read_reasoning(message, turn);
    LLM_TRY(read_assistant_content(message["content"], turn));
    if (message["tool_calls"].size() == 0) {
        move_behind_text(turn);
    }
    read_google_signature(message, turn);
    if (RawJson mark = cache_mark(message); !mark.empty() && !turn.parts.empty()) {
        if (auto *text = std::get_if<ir::Text>(&turn.parts.back().is)) {
            text->cache = mark;
        }
    }
    JsonText refusal;
    LLM_TRY(read_text(message["refusal"], "messages[].refusal", refusal));
    if (!refusal.empty()) {
        turn.parts.push_back({ir::Refusal{refusal}});
    }
    if (Value audio = message["audio"]; audio.is_object()) {
        turn.parts.push_back({ir::Opaque{DialectId::openai, {"audio"}, audio.raw()}});
    }
    LLM_TRY(read_calls(message, turn));
    request_.turns.push_back(std::move(turn));
    return {};
}

Status MessageReader::read_assistant_content(Value content, ir::Turn &turn) {
    if (content.is_unset()) {
        return {};
    }
    if (content.is_string()) {
        if (!content.text().empty()) {
            turn.parts.push_back({ir::Text{content.text()}});
        }
        return {};
    }
    if (!content.is_array()) {
        return invalid("content must be a string, an array or null", "messages[].content");
    }
    for (Value part : content.items()) {
        if (part["type"].equals("refusal")) {
            turn.parts.push_back({ir::Refusal{part["refusal"].text()}});
        } else if (part["type"].equals("thinking") && part["thinking"].is_array()) {
            for (Value piece : part["thinking"].items()) {  // as Mistral writes it
                turn.parts.push_back({ir::Reasoning{piece["text"].text()}});
            }
        } else {
            LLM_TRY(read_part(part, turn.parts));
        }
    }
    return {};
}

// The forms in which clients hand reasoning back, the most exact first; only one of them counts.
void MessageReader::read_reasoning(Value message, ir::Turn &turn) {
    JsonText text = reasoning_text(message);
    if (message["thinking_blocks"].size() > 0) {
        read_thinking_blocks(message["thinking_blocks"], text, turn);
        return;
    }
    bool has_details = message["reasoning_details"].size() > 0;
    if (!text.empty() && !has_details) {
        turn.parts.push_back({ir::Reasoning{text}});
        return;
    }
    Value details = message["reasoning_details"];
    if (!text.empty() && !has_detail_text(details)) {
        turn.parts.push_back({ir::Reasoning{text}});
    }
    for (Value detail : details.items()) {
        turn.parts.push_back({read_detail(detail, arena_)});
    }
}

namespace {

// Do the texts of these blocks, one behind the other, make up `whole`? Then none is elsewhere.
bool is_all_said(const std::vector<ir::Reasoning> &blocks, JsonText whole, Arena &arena) {
    std::string_view rest = json::unescape(whole, arena);
    auto skip_space = [&rest] {
        rest.remove_prefix(std::min(rest.find_first_not_of(" \n"), rest.size()));
    };
    for (const ir::Reasoning &block : blocks) {
        std::string_view text = json::unescape(block.text, arena);
        text.remove_prefix(std::min(text.find_first_not_of(" \n"), text.size()));
        skip_space();
        if (!rest.starts_with(text)) {
            return false;
        }
        rest.remove_prefix(text.size());
    }
    skip_space();
    return rest.empty();
}

}  // namespace

// Blocks as LiteLLM gives them, with the signatures of whatever provider: ours have a tag, and one
// without is Anthropic's. A streamed block gave its text as reasoning_content and only its
// signature here.
void MessageReader::read_thinking_blocks(Value blocks, JsonText text, ir::Turn &turn) {
    std::vector<ir::Reasoning> read;
    size_t count_thinking = 0;
    size_t count_textless = 0;
    bool is_unclear = false;  // a signature holds for a text, and nobody knows for which
    for (Value block : blocks.items()) {
        ir::Reasoning reasoning;
        reasoning.is_redacted = block["type"].equals("redacted_thinking");
        TaggedOpaque opaque = read_opaque(
            block[reasoning.is_redacted ? "data" : "signature"].text(), DialectId::anthropic);
        reasoning.origin = opaque.origin;
        (reasoning.is_redacted ? reasoning.redacted : reasoning.signature) = opaque.data;
        if (!reasoning.is_redacted) {
            reasoning.text = block["thinking"].text();
            ++count_thinking;
        }
        if (!reasoning.is_redacted && reasoning.text.empty()) {
            ++count_textless;
            is_unclear = is_unclear || signs_text(opaque.origin);
        }
        read.push_back(reasoning);
    }
    is_unclear =
        is_unclear && count_thinking > 1 && !text.empty() && !is_all_said(read, text, arena_);
    bool is_text_elsewhere = count_textless < count_thinking;
    if (count_textless == 1 && count_thinking == 1) {
        for (ir::Reasoning &reasoning : read) {
            reasoning.text = reasoning.is_redacted ? reasoning.text : text;
        }
    } else if (!text.empty() && (is_unclear || !is_text_elsewhere)) {
        turn.parts.push_back({ir::Reasoning{text}});
    }
    turn.parts.reserve(turn.parts.size() + read.size() + 4);
    for (const ir::Reasoning &reasoning : read) {
        if (!is_unclear || !signs_text(reasoning.origin)) {
            turn.parts.push_back({reasoning});
        }
    }
}

Status MessageReader::read_calls(Value message, ir::Turn &turn) {
    Value calls = message["tool_calls"];
    if (!calls.is_unset() && !calls.is_array()) {
        return invalid("must be an array", "messages[].tool_calls");
    }
    for (Value call : calls.items()) {
        LLM_TRY(read_call(call, turn));
    }
    Value function = message["function_call"];
    if (function.is_unset()) {
        return {};
    }
    if (!function["name"].is_string()) {
        return invalid("needs a name", "messages[].function_call");
    }
    ir::ToolCall result;
    result.name = function["name"].text();
    result.id = made_up_id(result.name);
    result.arguments = arguments_of(function["arguments"]);
    pending_function_ = result.name;
    pending_function_id_ = result.id;
    turn.parts.push_back({result});
    return {};
}

Status MessageReader::read_call(Value call, ir::Turn &turn) {
    if (!call.is_object()) {
        return invalid("must be an object", "messages[].tool_calls[]");
    }
    ir::ToolCall result;
    result.custom = call["type"].equals("custom");
    Value function = call[result.custom ? "custom" : "function"];
    if (!function["name"].is_string()) {
        return invalid("needs a function with a name", "messages[].tool_calls[].function");
    }
    result.name = function["name"].text();
    LLM_TRY(read_text(call["id"], "messages[].tool_calls[].id", result.id));
    Value arguments = function[result.custom ? "input" : "arguments"];
    if (!arguments.is_unset() && !arguments.is_string() && !arguments.is_object()) {
        return invalid("must be a string", "messages[].tool_calls[].function.arguments");
    }
    result.arguments = arguments_of(arguments);
    result.cache = cache_mark(call);
    read_google_signature(call, turn);
    turn.parts.push_back({result});
    return {};
}

std::string_view MessageReader::arguments_of(Value arguments) {
    if (arguments.is_string()) {
        return json::unescape(arguments.text(), arena_);
    }
    return arguments.is_object() ? arguments.raw().bytes : std::string_view{};
}

Status MessageReader::read_result(Value message, bool is_function) {
    ir::ToolResult result;
    if (is_function) {
        Value name = message["name"];
        if (!name.is_string()) {
            return invalid("a function message needs a name", "messages[].name");
        }
        bool answers_pending =
            !pending_function_id_.empty() && name.equals(json::unescape(pending_function_, arena_));
        result.call_id = answers_pending ? pending_function_id_ : made_up_id(name.text());
        pending_function_id_ = {};
    } else {
        if (!message["tool_call_id"].is_string()) {
            return invalid("a tool message needs a tool_call_id", "messages[].tool_call_id");
        }
        result.call_id = message["tool_call_id"].text();
    }
    Value content = message["content"];
    if (content.is_string()) {
        if (!content.text().empty()) {
            result.parts.push_back({ir::Text{content.text()}});
        }
    } else if (content.is_array()) {
        for (Value part : content.items()) {
            LLM_TRY(read_part(part, result.parts));
        }
    } else if (!content.is_unset()) {
        return invalid("content must be a string or an array", "messages[].content");
    }
    result.cache = cache_mark(message);
    if (!in_results_) {
        request_.turns.emplace_back();
        in_results_ = true;
    }
    request_.turns.back().parts.push_back({std::move(result)});
    return {};
}

}  // namespace llm::openai
