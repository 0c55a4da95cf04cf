// Parts of a history in the forms that several targets share: what can be said as plain text, and
// which result belongs to which call.
#pragma once

#include <string_view>
#include <vector>

#include "translators/core/arena.hpp"
#include "translators/core/ir.hpp"
#include "translators/json/reader.hpp"
#include "translators/json/writer.hpp"

namespace llm {

// Parts that have a form as text: texts, refusals, documents of text, search results.
class PartText {
  public:
    static bool has_text(const ir::Part &part);
    // The text, into an open string.
    void write(const ir::Part &part, json::Writer &writer);

  private:
    void write_blocks(RawJson blocks, json::Writer &writer);
    void write_search_result(const ir::Opaque &opaque, json::Writer &writer);

    json::Reader reader_;  // for blocks that only their raw JSON describes
};

// Between two texts that become one.
constexpr JsonText kParagraph = {"\\n\\n"};

struct AnsweredCall {
    const ir::ToolCall *call;
    const ir::ToolResult *result;  // null: none came
};

// The calls of one assistant turn in their order, each with its result: everything up to the next
// assistant turn is looked at, and of several results for one call the last counts. `assistant`
// is the index of the turn, or the number of turns for what precedes the first assistant turn,
// where no result can belong.
struct Step {
    std::vector<AnsweredCall> calls;
    std::vector<const ir::ToolResult *> results;  // all of them, sorted by id
    std::vector<const ir::ToolResult *> strays;   // those without their call
    bool has_replaced = false;                    // a later result of the same call counts
};
Step match_results(const std::vector<ir::Turn> &turns, size_t assistant, Arena &arena);

// Does a result's own text say that it is an error?
bool says_error(JsonText text);

}  // namespace llm
