// The two shapes in which JSON travels through this library without being decoded.
//
// JsonText is the inside of a string literal, without its quotes and STILL ESCAPED. Copying it
// between two quotes reproduces the very bytes of the sender: nothing is unescaped and escaped
// again, an escape cut in half between two stream events stays what it was, and a text delta
// costs one copy.
// RawJson is one whole JSON value as it was written, white space at its ends removed.
#pragma once

#include <string_view>

#include "translators/core/arena.hpp"
#include "translators/core/result.hpp"

namespace llm {

struct JsonText {
    std::string_view bytes;

    bool empty() const { return bytes.empty(); }
    bool has_escapes() const { return bytes.find('\\') != std::string_view::npos; }
};

struct RawJson {
    std::string_view bytes;

    bool empty() const { return bytes.empty(); }  // the member was absent
};

namespace json {

// Compare with plain text, as if both were unescaped.
bool equals_escaped(JsonText text, std::string_view plain);
inline bool equals(JsonText text, std::string_view plain) {
    // An escape is longer than its meaning: mostly the size and the first byte say it all.
    size_t size = text.bytes.size();
    if (size < plain.size() ||
        (size > 0 && !plain.empty() && text.bytes[0] != plain[0] && text.bytes[0] != '\\')) {
        return false;
    }
    return equals_escaped(text, plain);
}

// The plain text. Without escapes the view itself comes back and nothing is copied. Unpaired
// surrogates become U+FFFD (a request that has one was refused by the reader).
std::string_view unescape(JsonText text, Arena &arena);

// The reverse: a JsonText for plain UTF-8. Bytes that are not UTF-8 become U+FFFD.
JsonText escape(std::string_view plain, Arena &arena);

// True when the text, unescaped, is empty or only white space.
bool is_blank(JsonText text);

}  // namespace json
}  // namespace llm
