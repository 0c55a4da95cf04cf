// Reading a generateContent request: members in either spelling, signatures, contents, schemas.
#pragma once

#include <string_view>
#include <vector>

#include "translators/core/ir.hpp"
#include "translators/core/result.hpp"
#include "translators/json/reader.hpp"

namespace llm::gemini {

constexpr uint32_t kMaxMessages = 8192;

// A member by its camelCase name, or else by the snake_case one that Google's API takes as well.
json::Value member(json::Value object, std::string_view camel);
// Is `key` the name of that member, in either spelling?
bool is_member(JsonText key, std::string_view camel);

// One member each. Absent and null leave `out` as it is; a wrong type is refused with `name`.
Status read_text(json::Value value, std::string_view name, JsonText &out);
Status read_number(json::Value value, std::string_view name, RawJson &out);

// A thoughtSignature as a client sent it: Google's own, or (Base64 of) one that we tagged.
ir::Reasoning read_signature(JsonText sent, Arena &arena);
// Is it one that another dialect's provider made?
bool is_foreign_signature(JsonText sent, Arena &arena);
// A redacted block has no signature but data: it travels as a signature with this before it.
constexpr std::string_view kRedactedMark = "redacted:";

// The contents as turns: see gemini_contents_parse.cpp.
Status read_contents(json::Value contents, Arena &arena, ir::Request &request);
Status read_system(json::Value system, ir::Request &request);

// A schema of the OpenAPI subset as JSON Schema: type names in lower case, `nullable` as a type,
// counts as numbers. What is JSON Schema already comes back byte for byte.
RawJson to_json_schema(json::Value schema, Arena &arena);

}  // namespace llm::gemini
