// See base64.hpp. Values here are signatures and small documents: a byte at a time is enough.
#include "translators/core/base64.hpp"

#include <cstdint>

namespace llm {

namespace {

constexpr std::string_view kDigits =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

// 0 to 63, or -1.
int value_of(char c) {
    if (c >= 'A' && c <= 'Z') {
        return c - 'A';
    }
    if (c >= 'a' && c <= 'z') {
        return c - 'a' + 26;
    }
    if (c >= '0' && c <= '9') {
        return c - '0' + 52;
    }
    return c == '+' || c == '-' ? 62 : c == '/' || c == '_' ? 63 : -1;
}

bool is_space(char c) {
    return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

}  // namespace

std::string_view encode_base64(std::string_view bytes, Arena &arena) {
    size_t size = (bytes.size() + 2) / 3 * 4;
    char *start = arena.allocate(size);
    char *out = start;
    for (size_t i = 0; i < bytes.size(); i += 3) {
        size_t count = bytes.size() - i < 3 ? bytes.size() - i : 3;
        uint32_t bits = 0;
        for (size_t j = 0; j < 3; ++j) {
            bits = bits << 8 | (j < count ? static_cast<unsigned char>(bytes[i + j]) : 0u);
        }
        for (size_t j = 0; j < 4; ++j) {
            *out++ = j <= count ? kDigits[bits >> (18 - 6 * j) & 63] : '=';
        }
    }
    return {start, size};
}

std::optional<std::string_view> decode_base64(std::string_view text, Arena &arena) {
    char *start = arena.allocate(text.size() / 4 * 3 + 3);
    char *out = start;
    uint32_t bits = 0;
    int bit_count = 0;
    bool is_padded = false;
    for (char c : text) {
        int value = value_of(c);
        if (value >= 0 && !is_padded) {
            bits = bits << 6 | static_cast<uint32_t>(value);
            bit_count += 6;
            if (bit_count >= 8) {
                bit_count -= 8;
                *out++ = static_cast<char>(bits >> bit_count & 0xff);
            }
        } else if (c == '=') {
            is_padded = true;
        } else if (!is_space(c)) {
            return std::nullopt;
        }
    }
    if (bit_count == 6) {
        return std::nullopt;  // one digit alone is less than a byte
    }
    size_t size = static_cast<size_t>(out - start);
    arena.shrink_last(start, size);
    return std::string_view(start, size);
}

}  // namespace llm
