// See escapes.hpp.
#include "translators/json/escapes.hpp"

namespace llm::json {

namespace {

constexpr size_t kEscape = 6;  // of \uXXXX

bool is_hex(char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

}  // namespace

size_t escape_size(std::string_view text) {
    if (text.size() < 2) {
        return 0;
    }
    if (text[1] != 'u') {
        return 2;
    }
    for (size_t i = 2; i < kEscape; ++i) {
        if (i >= text.size()) {
            return 0;
        }
        if (!is_hex(text[i])) {
            return 2;  // no escape at all
        }
    }
    bool is_high =
        (text[2] == 'd' || text[2] == 'D') &&
        (text[3] == '8' || text[3] == '9' || (text[3] | 32) == 'a' || (text[3] | 32) == 'b');
    std::string_view next = text.substr(kEscape);
    constexpr std::string_view kStart = "\\u";
    if (!is_high || !kStart.starts_with(next.substr(0, 2))) {
        return kEscape;
    }
    return next.size() < kEscape ? 0 : 2 * kEscape;
}

size_t whole_part(std::string_view text) {
    size_t at = 0;
    while ((at = text.find('\\', at)) != std::string_view::npos) {
        size_t size = escape_size(text.substr(at));
        if (size == 0) {
            return at;
        }
        at += size;
    }
    return text.size();
}

size_t last_character(std::string_view text) {
    size_t last = 0;
    for (size_t i = 0; i < text.size();) {
        bool is_continued = (static_cast<unsigned char>(text[i]) & 0xC0) == 0x80;
        last = is_continued ? last : i;
        size_t size = text[i] == '\\' ? escape_size(text.substr(i)) : 1;
        i += size == 0 ? text.size() - i : size;
    }
    return last;
}

}  // namespace llm::json
