// UTF-8 by the byte: the strict form (no overlong forms, no surrogates), and the scan for bytes
// that JSON strings must escape. plain_run is the hot loop: 16 bytes a step where there is SSE2.
// Invariant: what plain_run passes and escape_one writes is always valid inside a JSON string.
#include "translators/json/utf8.hpp"

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace llm::json {

namespace {

bool is_continuation(char c) {
    return (static_cast<unsigned char>(c) & 0xc0) == 0x80;
}

bool is_safe_ascii(char c) {
    unsigned char byte = static_cast<unsigned char>(c);
    return byte >= 0x20 && byte < 0x80 && byte != '"' && byte != '\\';
}

// First byte that is not ASCII, or that needs an escape.
const char *skip_safe_ascii(const char *at, const char *end) {
#if defined(__SSE2__)
    while (end - at >= 16) {
        __m128i block = _mm_loadu_si128(reinterpret_cast<const __m128i *>(at));
        // Signed: bytes from 0x80 on are negative, so one comparison finds them and the controls.
        __m128i special = _mm_cmplt_epi8(block, _mm_set1_epi8(0x20));
        special = _mm_or_si128(special, _mm_cmpeq_epi8(block, _mm_set1_epi8('"')));
        special = _mm_or_si128(special, _mm_cmpeq_epi8(block, _mm_set1_epi8('\\')));
        int mask = _mm_movemask_epi8(special);
        if (mask != 0) {
            return at + __builtin_ctz(static_cast<unsigned>(mask));
        }
        at += 16;
    }
#endif
    while (at != end && is_safe_ascii(*at)) {
        ++at;
    }
    return at;
}

}  // namespace

size_t utf8_encode(uint32_t code, char *out) {
    if (code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff)) {
        code = kReplacement;
    }
    if (code < 0x80) {
        out[0] = static_cast<char>(code);
        return 1;
    }
    size_t size = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    for (size_t i = size - 1; i > 0; --i) {
        out[i] = static_cast<char>(0x80 | (code & 0x3f));
        code >>= 6;
    }
    static constexpr unsigned char kLead[] = {0, 0, 0xc0, 0xe0, 0xf0};
    out[0] = static_cast<char>(kLead[size] | code);
    return size;
}

size_t utf8_length(std::string_view bytes) {
    if (bytes.empty()) {
        return 0;
    }
    unsigned char lead = static_cast<unsigned char>(bytes[0]);
    if (lead < 0x80) {
        return 1;
    }
    if (lead < 0xc2 || lead > 0xf4) {
        return 0;
    }
    size_t size = lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
    if (bytes.size() < size) {
        return 0;
    }
    unsigned char second = static_cast<unsigned char>(bytes[1]);
    bool is_overlong = (lead == 0xe0 && second < 0xa0) || (lead == 0xf0 && second < 0x90);
    bool is_outside = (lead == 0xed && second > 0x9f) || (lead == 0xf4 && second > 0x8f);
    if (is_overlong || is_outside) {
        return 0;
    }
    for (size_t i = 1; i < size; ++i) {
        if (!is_continuation(bytes[i])) {
            return 0;
        }
    }
    return size;
}

size_t plain_run(std::string_view bytes) {
    const char *begin = bytes.data();
    const char *at = begin;
    const char *end = at + bytes.size();
    for (;;) {
        at = skip_safe_ascii(at, end);
        if (at == end || static_cast<unsigned char>(*at) < 0x80) {
            break;
        }
        // Text in other scripts: stay among its characters as long as they last.
        size_t size = 0;
        while (at != end && static_cast<unsigned char>(*at) >= 0x80) {
            size = utf8_length({at, static_cast<size_t>(end - at)});
            if (size == 0) {
                return static_cast<size_t>(at - begin);
            }
            at += size;
        }
    }
    return static_cast<size_t>(at - begin);
}

size_t escape_one(std::string_view bytes, size_t &i, char *out) {
    unsigned char byte = static_cast<unsigned char>(bytes[i]);
    ++i;
    if (byte >= 0x80) {
        return utf8_encode(kReplacement, out);
    }
    out[0] = '\\';
    switch (byte) {
        case '"':
        case '\\':
            out[1] = static_cast<char>(byte);
            return 2;
        case '\b':
            out[1] = 'b';
            return 2;
        case '\f':
            out[1] = 'f';
            return 2;
        case '\n':
            out[1] = 'n';
            return 2;
        case '\r':
            out[1] = 'r';
            return 2;
        case '\t':
            out[1] = 't';
            return 2;
        default:
            break;
    }
    static constexpr char kHex[] = "0123456789abcdef";
    out[1] = 'u';
    out[2] = '0';
    out[3] = '0';
    out[4] = kHex[byte >> 4];
    out[5] = kHex[byte & 15];
    return 6;
}

}  // namespace llm::json
