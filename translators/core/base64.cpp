// Base64 both ways; see the header for what is taken.
#include "translators/core/base64.hpp"

#include <algorithm>
#include <cstdint>

namespace llm {

namespace {

constexpr size_t kChunk = 1024;  // a multiple of four
constexpr char kDigits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

// 0 to 63, or -1.
int digit_of(char c) {
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

// Decodes piece by piece.
struct Decoding {
    // Writes at most three bytes for four of `in`; returns the end of what was written.
    char *run(std::string_view in, char *out) {
        for (char c : in) {
            int digit = digit_of(c);
            if (digit < 0) {
                bool is_known = c == '=' || c == ' ' || c == '\n' || c == '\r' || c == '\t';
                has_others |= !is_known;
                continue;
            }
            bits = (bits << 6 | static_cast<uint32_t>(digit)) & 0xffff;
            count += 6;
            if (count >= 8) {
                count -= 8;
                *out++ = static_cast<char>(bits >> count & 0xff);
            }
        }
        return out;
    }

    uint32_t bits = 0;
    int count = 0;
    bool has_others = false;
};

size_t encoded_size(size_t size) {
    return (size + 2) / 3 * 4;
}

char *encode(std::string_view bytes, char *out) {
    for (size_t i = 0; i < bytes.size(); i += 3) {
        size_t left = std::min<size_t>(bytes.size() - i, 3);
        uint32_t bits = 0;
        for (size_t k = 0; k < 3; ++k) {
            bits = bits << 8 | (k < left ? static_cast<unsigned char>(bytes[i + k]) : 0u);
        }
        for (size_t k = 0; k < 4; ++k) {
            *out++ = k > left ? '=' : kDigits[bits >> (18 - 6 * k) & 63];
        }
    }
    return out;
}

}  // namespace

bool append_decoded(std::string_view base64, ByteBuffer &out) {
    Decoding decoding;
    char chunk[kChunk];
    for (size_t at = 0; at < base64.size(); at += kChunk) {
        char *end = decoding.run(base64.substr(at, kChunk), chunk);
        out.append({chunk, static_cast<size_t>(end - chunk)});
    }
    return !decoding.has_others;
}

std::string_view decode_base64(std::string_view base64, Arena &arena) {
    char *start = arena.allocate(base64.size());
    char *end = Decoding().run(base64, start);
    size_t size = static_cast<size_t>(end - start);
    arena.shrink_last(start, size);
    return {start, size};
}

std::optional<std::string_view> decode_strict_base64(std::string_view base64, Arena &arena) {
    size_t end = base64.find('=');
    if (end != std::string_view::npos &&
        base64.find_first_not_of("= \n\r\t", end) != std::string_view::npos) {
        return std::nullopt;
    }
    char *start = arena.allocate(base64.size());
    Decoding decoding;
    char *stop = decoding.run(base64, start);
    if (decoding.has_others || decoding.count == 6) {
        return std::nullopt;  // one digit alone is less than a byte
    }
    size_t size = static_cast<size_t>(stop - start);
    arena.shrink_last(start, size);
    return std::string_view(start, size);
}

void append_encoded(std::string_view bytes, ByteBuffer &out) {
    char chunk[kChunk];
    constexpr size_t kBytes = kChunk / 4 * 3;
    for (size_t at = 0; at < bytes.size(); at += kBytes) {
        char *end = encode(bytes.substr(at, kBytes), chunk);
        out.append({chunk, static_cast<size_t>(end - chunk)});
    }
}

std::string_view encode_base64(std::string_view bytes, Arena &arena) {
    char *start = arena.allocate(encoded_size(bytes.size()));
    char *end = encode(bytes, start);
    return {start, static_cast<size_t>(end - start)};
}

}  // namespace llm
