// Ids and names of tools by each target's rules. All functions are pure: what conforms comes back
// as it is, byte for byte; what does not is rewritten the same way every time, so that calls and
// results of a conversation stay paired without any table between requests.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "translators/core/arena.hpp"
#include "translators/json/text.hpp"

namespace llm {

// api.openai.com: at most 40 characters, else call_ + 32 hex of SHA-256.
JsonText call_id_for_openai(JsonText id, Arena &arena);
// Mistral: exactly nine of [a-zA-Z0-9], else nine digits of base 62 from SHA-256.
JsonText call_id_for_mistral(JsonText id, Arena &arena);
// [a-zA-Z0-9_-]+, else sanitised + _ + 8 hex of SHA-256.
JsonText call_id_for_anthropic(JsonText id, Arena &arena);
// [a-zA-Z0-9_-]{1,64}: sanitised + _ + 8 hex, cut to fit.
JsonText call_id_for_bedrock(JsonText id, Arena &arena);
// OpenAI responses: at most 64 bytes, else the first 55 + - + 8 hex of SHA-256.
JsonText call_id_for_responses(JsonText id, Arena &arena);
// call_ + 24 hex from a hash of (answer id, ordinal), for providers that give none.
JsonText invent_call_id(JsonText answer_id, uint32_t ordinal, Arena &arena);
// For the call of a history that has no ids, from its place and name.
JsonText history_call_id(size_t turn, size_t call, JsonText name, Arena &arena);

// A tool whose name the target would refuse ([a-zA-Z0-9_-]{1,64}) under another name; the answer
// is mapped back with the same list.
struct Renamed {
    JsonText original;
    JsonText sent;
};

enum class NameRule : uint8_t {
    common,  // [a-zA-Z0-9_-]{1,64}
    gemini,  // a letter or _ first; . and : as well
};

// Call it once with all declared names, before the first tool_name_for_target: names that conform
// are never given away to one that does not ("a.b" beside "a_b").
void plan_tool_names(const std::vector<JsonText> &declared, std::vector<Renamed> &renamed,
                     Arena &arena, NameRule rule = NameRule::common);
// The name to send, remembered in `renamed` when it differs.
JsonText tool_name_for_target(JsonText name, std::vector<Renamed> &renamed, Arena &arena,
                              NameRule rule = NameRule::common);
// The client's own name for one that the provider answered with.
JsonText tool_name_for_client(JsonText name, const std::vector<Renamed> *renamed);

}  // namespace llm
