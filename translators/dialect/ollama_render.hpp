// Writing a request of Ollama's /api/chat: what the part that writes the messages gives to the one
// that writes the parameters.
#pragma once

#include "translators/dialect/render_job.hpp"

namespace llm::ollama {

// The array of messages, as a value. ollama_messages_render.cpp
Status render_messages(const RenderJob &job);

}  // namespace llm::ollama
