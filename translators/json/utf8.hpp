// Escaping of plain bytes for JSON, shared by text.cpp and writer.cpp: how far the bytes can be
// copied as they are, and what becomes of the one that cannot.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace llm::json {

constexpr uint32_t kReplacement = 0xfffd;

// Writes 1 to 4 bytes. A surrogate or a number beyond Unicode becomes U+FFFD.
size_t utf8_encode(uint32_t code, char *out);

// Length of the UTF-8 character at the start of `bytes`; 0 when there is none.
size_t utf8_length(std::string_view bytes);

// How many bytes at the start need no escape and are valid UTF-8.
size_t plain_run(std::string_view bytes);

// Escapes what stands at `i` (where plain_run ended) and advances over it. At most 6 bytes.
size_t escape_one(std::string_view bytes, size_t &i, char *out);

}  // namespace llm::json
