// What content blocks of the messages API say, for targets that have only text for it.
#pragma once

#include "translators/core/arena.hpp"
#include "translators/json/text.hpp"

namespace llm {

// The texts of an array of blocks, as paragraphs; of a string, itself.
JsonText text_of_blocks(RawJson blocks, Arena &arena);

}  // namespace llm
