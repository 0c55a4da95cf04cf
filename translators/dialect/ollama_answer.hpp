// What bodies and streams of Ollama's /api/chat read in the same way: token counts, finish reasons,
// times, calls.
#pragma once

#include "translators/core/ir.hpp"
#include "translators/json/reader.hpp"

namespace llm::ollama {

// The counts stand in the last object itself. False when there are none.
bool read_usage(json::Value root, Usage &usage);

// `has_calls`: the answer called a tool, which turns `stop` and a missing reason into tool_calls,
// and nothing else.
ir::Finish read_finish(JsonText native, bool has_calls);

// Seconds of a time such as 2025-07-07T20:22:19.184789Z; 0 where it is none.
int64_t read_time(JsonText time);

// The id of a call without one: the same for the same call of the same answer, and no other.
JsonText make_call_id(json::Value root, json::Value call, uint32_t ordinal, Arena &arena);

// The arguments of a call as JSON text.
std::string_view read_arguments(json::Value function, Arena &arena);

}  // namespace llm::ollama
