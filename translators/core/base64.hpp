// Base64 of whole values, both ways.
#pragma once

#include <optional>
#include <string_view>

#include "translators/core/arena.hpp"

namespace llm {

// In the standard alphabet, padded.
std::string_view encode_base64(std::string_view bytes, Arena &arena);

// Either alphabet, padded or not; white space is skipped. Nothing when something else stands in
// it, or when it ends in mid-byte.
std::optional<std::string_view> decode_base64(std::string_view text, Arena &arena);

}  // namespace llm
