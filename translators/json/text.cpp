// JsonText and plain text: comparing, unescaping, escaping. The input of every function may be
// any bytes; a JsonText that no reader validated (a hand-made one) is read leniently: a broken
// escape stays as it is written. Unescaped text is always UTF-8.
#include "translators/json/text.hpp"

#include <cstdint>
#include <cstring>

#include "translators/json/utf8.hpp"

namespace llm::json {

namespace {

int hex_digit(char c) {
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    char lower = static_cast<char>(c | 0x20);
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

// The code unit of \uXXXX at `at`, or -1.
int32_t code_unit(const char *at, const char *end) {
    if (end - at < 6 || at[0] != '\\' || at[1] != 'u') {
        return -1;
    }
    int32_t unit = 0;
    for (int i = 2; i < 6; ++i) {
        int digit = hex_digit(at[i]);
        if (digit < 0) {
            return -1;
        }
        unit = unit * 16 + digit;
    }
    return unit;
}

// What one escape stands for, written to `out` (at most 4 bytes). Advances `at`.
size_t read_escape(const char *&at, const char *end, char *out) {
    int32_t unit = code_unit(at, end);
    if (unit >= 0) {
        at += 6;
        uint32_t code = static_cast<uint32_t>(unit);
        if (unit >= 0xd800 && unit <= 0xdfff) {
            int32_t low = unit < 0xdc00 ? code_unit(at, end) : -1;
            if (low >= 0xdc00 && low <= 0xdfff) {
                at += 6;
                code = 0x10000 + ((code - 0xd800) << 10) + (static_cast<uint32_t>(low) - 0xdc00);
            } else {
                code = kReplacement;
            }
        }
        return utf8_encode(code, out);
    }
    static constexpr std::string_view kLetters = "\"\\/bfnrt";
    static constexpr std::string_view kMeanings = "\"\\/\b\f\n\r\t";
    size_t index = end - at > 1 ? kLetters.find(at[1]) : std::string_view::npos;
    if (index == std::string_view::npos) {
        out[0] = *at++;
        return 1;
    }
    out[0] = kMeanings[index];
    at += 2;
    return 1;
}

}  // namespace

bool equals_escaped(JsonText text, std::string_view plain) {
    size_t size = text.bytes.size();
    if (size == 0 || memchr(text.bytes.data(), '\\', size) == nullptr) {
        return text.bytes == plain;
    }
    const char *at = text.bytes.data();
    const char *end = at + text.bytes.size();
    const char *other = plain.data();
    const char *other_end = other + plain.size();
    while (at != end) {
        if (*at != '\\') {
            if (other == other_end || *at != *other) {
                return false;
            }
            ++at;
            ++other;
            continue;
        }
        char unescaped[4];
        size_t length = read_escape(at, end, unescaped);
        if (static_cast<size_t>(other_end - other) < length ||
            memcmp(other, unescaped, length) != 0) {
            return false;
        }
        other += length;
    }
    return other == other_end;
}

std::string_view unescape(JsonText text, Arena &arena) {
    if (!text.has_escapes()) {
        return text.bytes;
    }
    const char *at = text.bytes.data();
    const char *end = at + text.bytes.size();
    char *start = arena.allocate(text.bytes.size());  // an escape is never shorter than its meaning
    char *out = start;
    while (at != end) {
        const void *found = memchr(at, '\\', static_cast<size_t>(end - at));
        const char *escape = found == nullptr ? end : static_cast<const char *>(found);
        size_t run = static_cast<size_t>(escape - at);
        memcpy(out, at, run);
        out += run;
        at = escape;
        while (at != end && *at == '\\') {
            out += read_escape(at, end, out);
        }
    }
    arena.shrink_last(start, static_cast<size_t>(out - start));
    return {start, static_cast<size_t>(out - start)};
}

JsonText escape(std::string_view plain, Arena &arena) {
    size_t size = 0;
    for (size_t i = 0; i < plain.size();) {
        size_t run = plain_run(plain.substr(i));
        i += run;
        size += run;
        if (i < plain.size()) {
            char piece[6];
            size += escape_one(plain, i, piece);
        }
    }
    char *start = arena.allocate(size);
    char *out = start;
    for (size_t i = 0; i < plain.size();) {
        size_t run = plain_run(plain.substr(i));
        memcpy(out, plain.data() + i, run);
        i += run;
        out += run;
        if (i < plain.size()) {
            out += escape_one(plain, i, out);
        }
    }
    return {{start, size}};
}

bool is_blank(JsonText text) {
    const char *at = text.bytes.data();
    const char *end = at + text.bytes.size();
    while (at != end) {
        char c = *at;
        if (c == '\\') {
            char unescaped[4];
            if (read_escape(at, end, unescaped) != 1) {
                return false;
            }
            c = unescaped[0];
        } else {
            ++at;
        }
        if (c != ' ' && !(c >= '\t' && c <= '\r')) {
            return false;
        }
    }
    return true;
}

}  // namespace llm::json
