// Writing a request of Cohere's v2 chat: what the part that writes the messages gives to the one
// that writes the parameters.
#pragma once

#include <vector>

#include "translators/dialect/render_job.hpp"

namespace llm::cohere {

// The array of messages, as a value. Documents that the answer is to cite stand apart from the
// messages: they are collected in `documents`. cohere_messages_render.cpp
Status render_messages(const RenderJob &job, std::vector<const ir::Part *> &documents);

// One of them: {"data":{...}}.
void write_document(const ir::Part &part, const RenderJob &job);

}  // namespace llm::cohere
