// Tool arguments: text at some dialects, an object at others.
#pragma once

#include <string_view>

#include "translators/core/arena.hpp"
#include "translators/json/text.hpp"

namespace llm {

// The arguments as one JSON object, byte for byte where they are one: blank or `null` becomes {},
// anything else that is not an object (cut JSON, an array, plain text) {"raw_arguments":"..."}.
RawJson arguments_as_object(std::string_view arguments, Arena &arena);

}  // namespace llm
