// See custom_input.hpp.
#include "translators/dialect/custom_input.hpp"

#include "translators/json/escapes.hpp"

namespace llm {

namespace {

constexpr size_t kMaxHeld = 8u << 20;

// Models also write what no JSON text may have: bare control characters, unknown escapes.
void append_valid(std::string_view text, ByteBuffer &out) {
    constexpr std::string_view kKnown = "\"\\/bfnrt";
    size_t copied = 0;
    for (size_t i = 0; i < text.size();) {
        bool is_control = static_cast<unsigned char>(text[i]) < 0x20;
        size_t size = text[i] == '\\' ? json::escape_size(text.substr(i)) : 1;
        bool is_bad =
            text[i] == '\\' &&
            (size == 0 || (size == 2 && kKnown.find(text[i + 1]) == std::string_view::npos));
        if (is_control || is_bad) {
            out.append(text.substr(copied, i - copied));
            json::append_escaped(text.substr(i, 1), out);
            copied = i + 1;
            size = 1;
        }
        i += size;
    }
    out.append(text.substr(copied));
}

}  // namespace

bool is_custom_tool(const ClientView &view, JsonText name) {
    if (view.custom_tools != nullptr) {
        for (std::string_view custom : *view.custom_tools) {
            if (json::equals(name, custom)) {
                return true;
            }
        }
    }
    return false;
}

std::optional<JsonText> custom_input(std::string_view arguments, json::Reader &reader) {
    json::Limits limits;
    limits.allow_lone_surrogates = true;
    Result<json::Value> object = reader.parse_unpadded(arguments, limits);
    if (!object || !object.value()["input"].is_string()) {
        return std::nullopt;
    }
    return object.value()["input"].text();
}

bool CustomInput::feed(JsonText fragment, ByteBuffer &out) {
    if (state_ == State::over) {
        return true;
    }
    if (held_.size() + cut_.size() + fragment.bytes.size() > kMaxHeld) {
        return false;
    }
    arena_.reset();
    std::string_view escaped = fragment.bytes;
    if (!cut_.empty()) {
        cut_.append(escaped);
        escaped = arena_.copy(cut_);
    }
    size_t whole = json::whole_part(escaped);
    cut_ = escaped.substr(whole);
    held_.append(json::unescape({escaped.substr(0, whole)}, arena_));
    if (state_ == State::head) {
        read_head();
    }
    if (state_ == State::text) {
        read_text(out);
    }
    return true;
}

// {"input":" with white space anywhere.
void CustomInput::read_head() {
    constexpr std::string_view kTokens[] = {"{", "\"input\"", ":", "\""};
    std::string_view rest = held_;
    for (std::string_view token : kTokens) {
        rest.remove_prefix(std::min(rest.find_first_not_of(" \t\r\n"), rest.size()));
        if (rest.starts_with(token)) {
            rest.remove_prefix(token.size());
        } else {
            state_ = token.starts_with(rest) ? State::head : State::whole;
            return;
        }
    }
    state_ = State::text;
    held_.erase(0, held_.size() - rest.size());
}

void CustomInput::read_text(ByteBuffer &out) {
    std::string_view text(held_);
    size_t end = 0;
    while (end < text.size() && text[end] != '"') {
        size_t size = text[end] == '\\' ? json::escape_size(text.substr(end)) : 1;
        if (size == 0) {
            break;
        }
        end += size;
    }
    append_valid(text.substr(0, end), out);
    if (end < text.size() && text[end] == '"') {
        state_ = State::over;
        held_.clear();
    } else {
        held_.erase(0, end);
    }
}

void CustomInput::finish(json::Reader &reader, ByteBuffer &out) {
    if (state_ == State::head || state_ == State::whole) {
        if (std::optional<JsonText> text = custom_input(held_, reader)) {
            out.append(text->bytes);
        } else {
            json::append_escaped(held_, out);
        }
    }
    state_ = State::over;
    held_.clear();
}

}  // namespace llm
