// Where escaped text may be cut: texts of streams come in fragments, cut anywhere between the
// characters of a JSON string, and so perhaps between the two escapes of one character.
#pragma once

#include <cstddef>
#include <string_view>

namespace llm::json {

// Bytes at the start of `text`, which begins with a backslash, that are one escape or a surrogate
// pair; 0: it may go on behind the end. What is no escape at all counts as two bytes.
size_t escape_size(std::string_view text);

// Up to where no escape and no pair is cut.
size_t whole_part(std::string_view text);

// Where the last character begins, or what is cut of one.
size_t last_character(std::string_view text);

}  // namespace llm::json
