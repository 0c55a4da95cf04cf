// Which result answers which call: dialects of OpenAI want one result for each call, behind the
// turn that made it.
#pragma once

#include <vector>

#include "translators/core/arena.hpp"
#include "translators/core/ir.hpp"

namespace llm {

struct AnsweredCall {
    const ir::ToolCall *call = nullptr;
    const ir::ToolResult *result = nullptr;  // null: the client has none
};

struct AnsweredCalls {
    std::vector<AnsweredCall> calls;             // in the order of the calls
    std::vector<const ir::ToolResult *> strays;  // results that answer none of them
};

// The calls of one assistant turn with their results, which may stand anywhere up to the next
// assistant turn; of several for one call the last counts. `assistant` is the index of the turn,
// or the number of turns for what precedes the first one, where no result can belong.
AnsweredCalls answered_calls(const ir::Request &request, size_t assistant, Arena &arena);

// Does a result say itself that it is an error?
bool says_error(JsonText text);

}  // namespace llm
