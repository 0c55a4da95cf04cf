// The tools of a request and which of them may be called, as the messages API wants them.
#pragma once

#include <vector>

#include "translators/dialect/anthropic.hpp"
#include "translators/dialect/function_tools.hpp"

namespace llm::anthropic {

constexpr std::string_view kJsonToolDescription = "Gives the final answer in the required form.";
constexpr std::string_view kJsonObjectLine = "Respond with a JSON object only.";
constexpr std::string_view kJsonToolLine =
    "When you have everything you need, give your final answer by calling the tool "
    "json_tool_call.";

// Built-in tools that the client itself runs: the only ones on Bedrock.
bool runs_at_client(const ir::Tool &tool);
// What the target has of the messages API's own tools.
bool takes_built_in(const ir::Tool &tool, const Target &target);

class ToolRenderer {
  public:
    ToolRenderer(const ir::Request &request, const Target &target, Arena &arena, Notes &notes)
        : request_(request), target_(target), arena_(arena), notes_(notes) {}

    // Decides which tools are sent and under which names. First. `takes` says which built-in tools
    // of the messages API the target has.
    using TakesBuiltIn = bool (*)(const ir::Tool &tool, const Target &target);
    Status select(TakesBuiltIn takes);
    const std::vector<const ir::Tool *> &selected() const { return tools_; }
    // The model must call a tool, be it the client's wish or our way to structured output
    // (Notes::json_tool).
    bool is_forced() const;

    void write(CacheMarks &marks, json::Writer &writer);
    void write_choice(json::Writer &writer);
    // An object schema, always: no API takes anything else at the root.
    void write_schema(RawJson schema, bool rewrite, json::Writer &writer);

  private:
    bool same(JsonText a, JsonText b);
    bool is_allowed(const ir::Tool &tool);
    bool takes_all(const ir::Tool &tool);
    Status refuse(std::string_view what);
    void write_tool(const ir::Tool &tool, CacheMarks &marks, json::Writer &writer);
    void write_server_tool(const ir::Tool &tool, CacheMarks &marks, json::Writer &writer);
    void choice(std::string_view type, JsonText name, bool one_only, json::Writer &writer);

    const ir::Request &request_;
    const Target &target_;
    Arena &arena_;
    Notes &notes_;
    json::Reader reader_;
    std::vector<const ir::Tool *> tools_;
};

}  // namespace llm::anthropic
