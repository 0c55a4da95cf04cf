// Writing a Responses request: what the part that writes the input shares with the one that writes
// the parameters.
#pragma once

#include "translators/dialect/openai_render.hpp"

namespace llm::responses {

// Members of a request by which it leans on what the provider has stored; its input may then
// answer calls that it does not hold.
bool leans_on_stored(const ir::Request &request);

// `instructions` where there is system text before the first turn, and `input`, as members.
// responses_input_render.cpp
Status render_input(const RenderJob &job);

}  // namespace llm::responses
