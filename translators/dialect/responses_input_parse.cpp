// The input items of a Responses request -> Request::system and Request::turns.
//
// Entry point: InputReader, fed with the items in order. Items of hosted tools become Opaque parts
// of the turn they stand in: only this dialect can say them. Opaque reasoning of other providers
// comes back with its tag and is given its maker again.
#include <cstring>

#include "translators/dialect/media.hpp"
#include "translators/dialect/opaque_tag.hpp"
#include "translators/dialect/openai_request.hpp"
#include "translators/dialect/responses_input.hpp"

namespace llm::responses {

using json::Value;
using openai::read_text;

Status InputReader::read(Value item) {
    if (!item.is_object()) {
        return invalid("each item must be an object", "input");
    }
    Value type = item["type"];
    bool is_reference = type.equals("item_reference") ||
                        (type.is_unset() && item["role"].is_unset() && item["id"].is_string());
    if (is_reference) {
        return read_reference(item);
    }
    if (type.is_unset() || type.equals("message")) {
        return read_message(item);
    }
    if (!type.is_string()) {
        return invalid("must be a string", "input[].type");
    }
    if (type.equals("function_call") || type.equals("custom_tool_call")) {
        return read_call(item, type.equals("custom_tool_call"));
    }
    if (type.equals("function_call_output") || type.equals("custom_tool_call_output")) {
        return read_result(item);
    }
    if (type.equals("reasoning")) {
        read_reasoning(item);
        return {};
    }
    // The client's side of a hosted tool, or the model's.
    bool is_result = type.text().bytes.ends_with("_output") || type.equals("mcp_approval_response");
    run(is_result ? Run::results : Run::assistant)
        .push_back({ir::Opaque{DialectId::responses, type.text(), item.raw()}});
    return {};
}

// An item that the provider keeps, by its id; see check_state for who may be asked of it.
Status InputReader::read_reference(Value item) {
    if (!item["id"].is_string() || item["id"].text().empty()) {
        return invalid("a reference needs an id", "input[].id");
    }
    run(Run::assistant)
        .push_back({ir::Opaque{DialectId::responses, {"item_reference"}, item.raw()}});
    return {};
}

// The parts of the turn that items of this kind belong to.
std::vector<ir::Part> &InputReader::run(Run kind) {
    if (run_ != kind) {
        ir::Turn &turn = request_.turns.emplace_back();
        turn.role = kind == Run::assistant ? ir::Role::assistant : ir::Role::user;
        run_ = kind;
    }
    return request_.turns.back().parts;
}

// --- messages -------------------------------------------------------------------------------

Status InputReader::read_message(Value item) {
    Value role = item["role"];
    Value content = item["content"];
    if (!content.is_string() && !content.is_array()) {
        return invalid("content must be a string or an array", "input[].content");
    }
    if (role.equals("system") || role.equals("developer")) {
        return read_system(content);
    }
    if (role.equals("assistant")) {
        if (item["phase"].is_string() && request_.unmodelled.empty()) {
            request_.unmodelled.push_back("phase");
        }
        return read_parts(content, run(Run::assistant));
    }
    if (!role.equals("user")) {
        return invalid("unknown role", "input[].role");
    }
    run_ = Run::none;
    return read_parts(content, request_.turns.emplace_back().parts);
}

Status InputReader::read_system(Value content) {
    run_ = Run::none;
    std::vector<ir::Text> texts;
    if (content.is_string()) {
        texts.push_back({content.text()});
    }
    for (Value part : content.items()) {
        if (!part["text"].is_string()) {
            return invalid("a system message has text parts only", "input[].content");
        }
        texts.push_back({part["text"].text()});
    }
    if (request_.turns.empty()) {
        request_.system.insert(request_.system.end(), texts.begin(), texts.end());
        return {};
    }
    ir::Turn &turn = request_.turns.emplace_back();
    turn.role = ir::Role::system;
    for (ir::Text &text : texts) {
        turn.parts.push_back({std::move(text)});
    }
    return {};
}

Status InputReader::read_parts(Value content, std::vector<ir::Part> &parts) {
    if (content.is_string()) {
        parts.push_back({ir::Text{content.text()}});
        return {};
    }
    parts.reserve(parts.size() + content.size());
    for (Value part : content.items()) {
        LLM_TRY(read_part(part, parts));
    }
    return {};
}

Status InputReader::read_part(Value part, std::vector<ir::Part> &parts) {
    Value type = part["type"];
    if (!type.is_string()) {
        return invalid("each content part needs a type", "input[].content[].type");
    }
    if (type.equals("input_text") || type.equals("output_text") || type.equals("text")) {
        if (!part["text"].is_string()) {
            return invalid("text must be a string", "input[].content[].text");
        }
        parts.push_back({ir::Text{part["text"].text()}});
    } else if (type.equals("refusal")) {
        parts.push_back({ir::Refusal{part["refusal"].text()}});
    } else if (type.equals("input_image")) {
        return read_image(part, parts);
    } else if (type.equals("input_file")) {
        return read_file(part, parts);
    } else if (type.equals("input_audio")) {
        Value audio = part["input_audio"];
        if (!audio["data"].is_string() || !audio["format"].is_string()) {
            return invalid("needs data and format", "input[].content[].input_audio");
        }
        parts.push_back({ir::Audio{audio["format"].text(), audio["data"].text()}});
    } else {
        parts.push_back({ir::Opaque{DialectId::responses, type.text(), part.raw()}});
    }
    return {};
}

Status InputReader::read_image(Value part, std::vector<ir::Part> &parts) {
    constexpr std::string_view kName = "input[].content[].image_url";
    Value url = part["image_url"];
    if (url.is_object()) {
        url = url["url"];  // the shape of chat, which some clients send
    }
    ir::Image image;
    if (url.is_string()) {
        LLM_TRY(openai::read_source(url.text(), kName, arena_, image.source));
    } else if (part["file_id"].is_string()) {
        image.source.kind = ir::SourceKind::file_id;
        image.source.data = part["file_id"].text();
    } else {
        return invalid("needs image_url or file_id", kName);
    }
    LLM_TRY(read_text(part["detail"], "input[].content[].detail", image.detail));
    parts.push_back({image});
    return {};
}

Status InputReader::read_file(Value part, std::vector<ir::Part> &parts) {
    constexpr std::string_view kName = "input[].content[].file_data";
    ir::Document document;
    ir::Source &source = document.source;
    LLM_TRY(read_text(part["filename"], "input[].content[].filename", document.title));
    if (part["file_data"].is_string()) {
        LLM_TRY(openai::read_source(part["file_data"].text(), kName, arena_, source));
        if (source.kind == ir::SourceKind::url) {  // base64 alone
            std::string_view sniffed = sniff_mime(source.data);
            JsonText mime = {sniffed.empty() ? "application/octet-stream" : sniffed};
            std::optional<DataUrl> read =
                parse_data_url(make_data_url(mime, source.data, arena_), arena_);
            if (!read) {
                return invalid("not base64", kName);
            }
            source.kind = ir::SourceKind::base64;
            source.mime = {sniffed};
            source.data = read->data;
        }
    } else if (part["file_url"].is_string()) {
        source.kind = ir::SourceKind::url;
        source.data = part["file_url"].text();
    } else if (part["file_id"].is_string()) {
        source.kind = ir::SourceKind::file_id;
        source.data = part["file_id"].text();
    } else {
        return invalid("needs file_data, file_url or file_id", kName);
    }
    if (source.kind == ir::SourceKind::base64 && source.mime.bytes.starts_with("image/")) {
        parts.push_back({ir::Image{source, {}, {}}});
    } else {
        parts.push_back({document});
    }
    return {};
}

// --- calls and results ----------------------------------------------------------------------

Status InputReader::read_call(Value item, bool is_custom) {
    if (!item["name"].is_string() || !item["call_id"].is_string()) {
        return invalid("a call needs a name and a call_id", "input[].call_id");
    }
    ir::ToolCall call;
    call.id = item["call_id"].text();
    call.name = item["name"].text();
    call.custom = is_custom;
    Value arguments = item[is_custom ? "input" : "arguments"];
    if (arguments.is_object()) {
        call.arguments = arguments.raw().bytes;
    } else if (arguments.is_string() || arguments.is_unset()) {
        call.arguments = json::unescape(arguments.text(), arena_);
    } else {
        return invalid("must be a string", is_custom ? "input[].input" : "input[].arguments");
    }
    run(Run::assistant).push_back({call});
    return {};
}

Status InputReader::read_result(Value item) {
    if (!item["call_id"].is_string()) {
        return invalid("a result needs a call_id", "input[].call_id");
    }
    ir::ToolResult result;
    result.call_id = item["call_id"].text();
    Value output = item["output"];
    if (output.is_string()) {
        if (!output.text().empty()) {
            result.parts.push_back({ir::Text{output.text()}});
        }
    } else if (output.is_array()) {
        LLM_TRY(read_parts(output, result.parts));
    } else if (!output.is_unset()) {
        return invalid("must be a string or an array", "input[].output");
    }
    run(Run::results).push_back({std::move(result)});
    return {};
}

// --- reasoning ------------------------------------------------------------------------------

// Texts of a list of parts, an empty line between them: the parts of a summary are paragraphs.
JsonText InputReader::joined(Value texts) {
    constexpr std::string_view kBetween = "\\n\\n";
    size_t size = 0;
    size_t count = 0;
    JsonText first;
    for (Value part : texts.items()) {
        JsonText text = part["text"].text();
        if (text.empty()) {
            continue;
        }
        first = count++ == 0 ? text : first;
        size += text.bytes.size() + kBetween.size();
    }
    if (count < 2) {
        return first;
    }
    char *start = arena_.allocate(size);
    char *at = start;
    for (Value part : texts.items()) {
        JsonText text = part["text"].text();
        if (text.empty()) {
            continue;
        }
        if (at != start) {
            memcpy(at, kBetween.data(), kBetween.size());
            at += kBetween.size();
        }
        memcpy(at, text.bytes.data(), text.bytes.size());
        at += text.bytes.size();
    }
    return {{start, static_cast<size_t>(at - start)}};
}

void InputReader::read_reasoning(Value item) {
    ir::Reasoning reasoning;
    reasoning.text = joined(item["summary"]);
    if (reasoning.text.empty()) {
        reasoning.text = joined(item["content"]);
    }
    TaggedOpaque opaque = read_opaque(item["encrypted_content"].text(), DialectId::responses);
    reasoning.origin = opaque.origin;
    if (opaque.origin == DialectId::responses) {
        reasoning.signature = opaque.data;
        reasoning.id = item["id"].text();
    } else if (opaque.data.bytes.starts_with(kRedacted)) {
        reasoning.is_redacted = true;
        reasoning.redacted = {opaque.data.bytes.substr(kRedacted.size())};
    } else {
        reasoning.signature = opaque.data;
    }
    run(Run::assistant).push_back({reasoning});
}

}  // namespace llm::responses
