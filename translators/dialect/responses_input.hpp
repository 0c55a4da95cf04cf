// Reading the `input` of a Responses request: items of many types in one list.
#pragma once

#include "translators/core/ir.hpp"
#include "translators/dialect/dialect.hpp"
#include "translators/json/reader.hpp"

namespace llm::responses {

// What stands between the tag of foreign reasoning and the data of a redacted block: the two come
// back in one member.
constexpr std::string_view kRedacted = "redacted.";

// Reads the items in order. What the assistant said, thought and called without anything between
// is one turn, and so is a run of results.
class InputReader {
  public:
    InputReader(Arena &arena, ir::Request &request) : arena_(arena), request_(request) {}

    Status read(json::Value item);

  private:
    enum class Run : uint8_t { none, assistant, results };

    Status read_message(json::Value item);
    Status read_system(json::Value content);
    Status read_parts(json::Value content, std::vector<ir::Part> &parts);
    Status read_part(json::Value part, std::vector<ir::Part> &parts);
    Status read_image(json::Value part, std::vector<ir::Part> &parts);
    Status read_file(json::Value part, std::vector<ir::Part> &parts);
    Status read_reference(json::Value item);
    Status read_call(json::Value item, bool is_custom);
    Status read_result(json::Value item);
    void read_reasoning(json::Value item);
    JsonText joined(json::Value texts);
    std::vector<ir::Part> &run(Run kind);

    Arena &arena_;
    ir::Request &request_;
    Run run_ = Run::none;  // what the last turn is, where further items may join it
};

}  // namespace llm::responses
