// What a client's history says of tool calls, put in order once for all targets. A parser calls it
// when the turns are read.
#pragma once

#include "translators/core/arena.hpp"
#include "translators/core/ir.hpp"

namespace llm {

// After it
//   - no two calls of the request have one id: some providers count their calls anew in each
//     answer, or give all of one answer the same id, or none. The first one keeps it;
//   - a result has the id of its call, byte for byte. Results of one id belong to the calls of that
//     id in their order;
//   - calls that stand in assistant turns one behind the other, as some clients write parallel
//     calls, are one turn's.
// Results of no call stay as they are: it is for the target to say that they are left out. A
// history that grows keeps the ids of its beginning, so the prompt cache holds.
void order_tool_calls(ir::Request &request, Arena &arena);

}  // namespace llm
