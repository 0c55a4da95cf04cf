// JSON Schema cut down to what the messages API takes for structured output and strict tools.
#pragma once

#include "translators/core/arena.hpp"
#include "translators/json/reader.hpp"

namespace llm::anthropic {

// The schema in the subset: every object closed, oneOf as anyOf, and what the subset lacks told to
// the model at the end of the description. `description` (may be empty) is put before the root's
// own. The result lives in the arena.
RawJson rewrite_schema(json::Value schema, JsonText description, Arena &arena);

}  // namespace llm::anthropic
