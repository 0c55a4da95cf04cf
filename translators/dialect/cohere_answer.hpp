// What bodies and streams of Cohere's v2 chat read in the same way: token counts, finish reasons,
// citations, log probabilities.
#pragma once

#include <optional>

#include "translators/core/ir.hpp"
#include "translators/json/reader.hpp"
#include "translators/json/writer.hpp"

namespace llm::cohere {

// False when it is no usage object.
bool read_usage(json::Value object, Usage &usage);

// `has_calls`: the answer called a tool, which turns `COMPLETE` and a missing reason into
// tool_calls, and nothing else.
ir::Finish read_finish(JsonText native, bool has_calls);

// The class of an answer that ended with an error, by its finish reason.
ir::ErrorClass error_class_of(JsonText native);

// The content block that a citation belongs to; nothing for one of a plan or of thoughts.
std::optional<int64_t> cited_block(json::Value citation);

// A citation in common terms: its offsets are those of the text, its source is the first one.
ir::Citation read_citation(json::Value citation);

// Log probabilities in the words of chat: entries for its `content` list, comma separated.
void append_logprobs(json::Value logprobs, Arena &arena, ByteBuffer &entries);

}  // namespace llm::cohere
