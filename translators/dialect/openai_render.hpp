// Writing a chat request: what the part that writes the messages shares with the one that writes
// the parameters.
#pragma once

#include "translators/dialect/render_job.hpp"

namespace llm::openai {

// reasoning_effort. `knows_all`: also xhigh and max, which are high to the others.
std::string_view effort_name(ir::Effort effort, bool knows_all);
// `user` has room for 64 characters.
std::string_view cut_user(JsonText id, Arena &arena);

// Free text tools are OpenAI's own; a chat client knows what its provider is.
bool knows_custom_tools(const RenderJob &job);

// The array of messages, as a value. openai_messages_render.cpp
Status render_messages(const RenderJob &job);

}  // namespace llm::openai
