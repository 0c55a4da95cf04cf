// SHA-256 as 64 lower-case hex digits.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace llm {

std::string sha256_hex(std::span<const std::string_view> pieces);
std::string sha256_hex(std::string_view text);

std::string to_hex(const unsigned char *bytes, size_t size);

}  // namespace llm
