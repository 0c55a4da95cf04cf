// The tools of a request and which of them may be called, as the messages API wants them.
#pragma once

#include <vector>

#include "translators/dialect/anthropic.hpp"

namespace llm::anthropic {

class ToolRenderer {
  public:
    ToolRenderer(const ir::Request &request, const Target &target, Arena &arena, Notes &notes)
        : request_(request), target_(target), arena_(arena), notes_(notes) {}

    // Decides which tools are sent and under which names. First.
    Status select();
    const std::vector<const ir::Tool *> &selected() const { return tools_; }
    // The model must call a tool, be it the client's wish or our way to structured output
    // (Notes::json_tool).
    bool is_forced() const;

    void write(CacheMarks &marks, json::Writer &writer);
    void write_choice(json::Writer &writer);

  private:
    bool same(JsonText a, JsonText b);
    bool is_allowed(const ir::Tool &tool);
    Status refuse(std::string_view what);
    void write_tool(const ir::Tool &tool, CacheMarks &marks, json::Writer &writer);
    void write_server_tool(const ir::Tool &tool, CacheMarks &marks, json::Writer &writer);
    void write_schema(RawJson schema, bool rewrite, json::Writer &writer);
    void choice(std::string_view type, JsonText name, bool one_only, json::Writer &writer);

    const ir::Request &request_;
    const Target &target_;
    Arena &arena_;
    Notes &notes_;
    json::Reader reader_;
    std::vector<const ir::Tool *> tools_;
};

}  // namespace llm::anthropic
