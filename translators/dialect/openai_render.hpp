// Writing a chat request: what the part that writes the messages shares with the one that writes
// the parameters.
#pragma once

#include "translators/dialect/render_job.hpp"

namespace llm::openai {

// The array of messages, as a value. openai_messages_render.cpp
Status render_messages(const RenderJob &job);

}  // namespace llm::openai
