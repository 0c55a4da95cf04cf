// JSON Schema cut down to the subset that `parameters` and `responseSchema` take.
#pragma once

#include "translators/core/arena.hpp"
#include "translators/json/reader.hpp"

namespace llm::gemini {

// The schema in the subset, in the arena: references inlined, keywords that the API does not know
// deleted. `is_parameters`: the root is an object, and one without properties gives nothing at all
// (the member is left out then). `description` (may be empty) stands in for a missing one.
RawJson rewrite_schema(json::Value schema, bool is_parameters, JsonText description, Arena &arena);

}  // namespace llm::gemini
