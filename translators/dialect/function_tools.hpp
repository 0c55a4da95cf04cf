// Tools for targets that know functions alone, written as chat completions writes them. What is no
// function becomes one or is refused, and a choice among tools becomes a shorter list where the
// target cannot be told.
#pragma once

#include <vector>

#include "translators/dialect/render_job.hpp"

namespace llm {

// A tool without parameters, where a schema must be there.
constexpr std::string_view kEmptySchema = "{\"type\":\"object\",\"properties\":{}}";

// Arguments are an object everywhere. True: the schema says so, and can go on as it is. Else it was
// written here, with the type that it lacks, or with object alone out of several types.
bool is_object_schema(json::Value schema, json::Writer &writer);
// Refuses a schema of another type.
Status check_arguments(const ir::Tool &tool, json::Reader &reader);
// A free text tool as a function with one string.
constexpr std::string_view kTextInputSchema =
    "{\"type\":\"object\",\"properties\":{\"input\":{\"type\":\"string\"}},"
    "\"required\":[\"input\"]}";
constexpr std::string_view kTextInputNote = "Raw text input.";
// Its members `description` and `parameters`.
void write_text_input(const ir::Tool &tool, json::Writer &writer);

// Is the input of this free text tool held to a grammar?
bool has_grammar(const ir::Tool &tool, json::Reader &reader);

class FunctionTools {
  public:
    explicit FunctionTools(const RenderJob &job) : job_(job) {}

    // Which tools are sent. Of a choice that names tools only those are left.
    Status select();
    bool empty() const { return tools_.empty(); }
    // The model has to call one of them.
    bool is_forced() const;
    // The client wants every one of them held to its schema, and each requires a parameter.
    bool is_strict();
    // The list, as a value.
    void write();

  private:
    bool is_chosen(const ir::Tool &tool) const;
    void write_schema(RawJson schema);

    const RenderJob &job_;
    json::Reader reader_;
    std::vector<const ir::Tool *> tools_;
};

// A call's arguments as JSON text: what is blank or null is {}, a free text becomes the string of
// kTextInputSchema.
std::string_view function_arguments(const ir::ToolCall &call, Arena &arena);

}  // namespace llm
