// Parts of a message that become text at dialects which have no such block.
#pragma once

#include "translators/core/ir.hpp"
#include "translators/json/reader.hpp"
#include "translators/json/writer.hpp"

namespace llm {

// Text that is not empty, refusals, documents of plain text and search results of messages.
bool is_text_part(const ir::Part &part);

// The text of such a part, into an open string. `reader` is for blocks that are raw JSON.
void write_part_text(const ir::Part &part, json::Writer &writer, json::Reader &reader);

}  // namespace llm
