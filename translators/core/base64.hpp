// Base64 both ways. Decoding takes both alphabets, with padding or without, and steps over white
// space; encoding writes the standard alphabet, padded.
#pragma once

#include <optional>
#include <string_view>

#include "translators/core/arena.hpp"
#include "translators/json/writer.hpp"

namespace llm {

// Appends what `base64` stands for. False (and some bytes perhaps appended) when another byte
// stands in it.
bool append_decoded(std::string_view base64, ByteBuffer &out);
// The same into the arena, but other bytes are stepped over.
std::string_view decode_base64(std::string_view base64, Arena &arena);
// For what may be no base64 at all: nothing when another byte stands in it, when something follows
// its padding, or when it ends in mid-byte.
std::optional<std::string_view> decode_strict_base64(std::string_view base64, Arena &arena);

void append_encoded(std::string_view bytes, ByteBuffer &out);
std::string_view encode_base64(std::string_view bytes, Arena &arena);

}  // namespace llm
