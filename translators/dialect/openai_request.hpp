// Reading a chat request: single members with their types checked, and the messages.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "translators/core/ir.hpp"
#include "translators/dialect/tool_names.hpp"
#include "translators/json/reader.hpp"

namespace llm::openai {

using json::Value;

// One member each. Absent and null leave `out` as it is; a wrong type is refused with `name`.
Status read_number(Value value, std::string_view name, RawJson &out);
Status read_integer(Value value, std::string_view name, RawJson &out);
Status read_text(Value value, std::string_view name, JsonText &out);
Status read_flag(Value value, std::string_view name, std::optional<bool> &out);
Status read_object(Value value, std::string_view name, RawJson &out);

// An address or a data URL. Something that begins like a data URL and is none is refused here: no
// provider would read it.
Status read_source(JsonText url, std::string_view name, Arena &arena, ir::Source &source);

Status read_effort(Value value, std::string_view name, ir::Thinking &thinking);

// The cache_control object of a message, part or tool (an extension of OpenRouter and LiteLLM).
RawJson cache_mark(Value holder);

// Reads the messages in order; the state is what later messages need of earlier ones.
class MessageReader {
  public:
    MessageReader(Arena &arena, ir::Request &request) : arena_(arena), request_(request) {}

    Status read(Value message);

  private:
    void note_unmodelled(Value message, bool is_result);
    Status read_system(Value message);
    Status read_user(Value message);
    Status read_assistant(Value message);
    Status read_result(Value message, bool is_function);
    Status read_part(Value part, std::vector<ir::Part> &parts);
    Status read_image(Value part, std::vector<ir::Part> &parts);
    Status read_file(Value part, std::vector<ir::Part> &parts);
    Status read_assistant_content(Value content, ir::Turn &turn);
    void read_reasoning(Value message, ir::Turn &turn);
    Status read_calls(Value message, ir::Turn &turn);
    Status read_call(Value call, ir::Turn &turn);
    std::string_view arguments_of(Value arguments);
    JsonText made_up_id(JsonText name) { return invent_call_id(name, next_made_up_id_++, arena_); }

    Arena &arena_;
    ir::Request &request_;
    JsonText pending_function_;  // name and id of the latest legacy call without a result
    JsonText pending_function_id_;
    uint32_t next_made_up_id_ = 0;
    bool in_results_ = false;  // the last turn is a run of tool messages
};

}  // namespace llm::openai
