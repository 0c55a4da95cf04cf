// What content blocks of the messages API say, for targets that have only text for it.
#pragma once

#include "translators/core/arena.hpp"
#include "translators/core/ir.hpp"

namespace llm {

// The texts of an array of blocks, as paragraphs; of a string, itself.
JsonText text_of_blocks(RawJson blocks, Arena &arena);

bool is_search_result(const ir::Opaque &opaque);
// A search_result block: its title, where it is from, its texts.
JsonText text_of_search_result(RawJson block, Arena &arena);

}  // namespace llm
