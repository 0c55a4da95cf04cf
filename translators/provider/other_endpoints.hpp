// Endpoints that are not translated: embeddings, images, sound, moderation, ranking. A request goes
// to a provider that has the same endpoint, with the provider's name of the model in the place of
// the client's; the answer comes back as it is.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "translators/core/usage.hpp"
#include "translators/dialect/dialect.hpp"
#include "translators/json/reader.hpp"

namespace llm {

struct OtherEndpoint {
    std::string_view path;  // of the client, without /v1; Gemini: the operation behind the colon
    DialectId client;       // in whose form errors are
    // Where providers of these dialects have it: instead of /chat/completions, of all of Cohere's
    // path, of /responses, of Gemini's generateContent. Empty: they do not.
    std::string_view openai;
    std::string_view cohere;
    std::string_view responses;
    bool takes_text = false;  // its tokens can be estimated from the length of the request
};

// By a client's path, and by the operation of a path of Gemini's.
const OtherEndpoint *find_other_endpoint(std::string_view path);
const OtherEndpoint *find_gemini_endpoint(std::string_view operation);

// The path at a provider that is spoken to in `dialect` at `chat_path`; empty: there is none.
std::string other_path(const OtherEndpoint &endpoint, DialectId dialect,
                       std::string_view chat_path);

// The names of the model in a JSON body, in ascending order, become `model`.
Status splice_other(const OtherEndpoint &endpoint, json::Value root, std::string_view model,
                    std::vector<Edit> &edits);

// What an answer says of its tokens, in the words of any of these providers; false: nothing.
bool read_other_usage(json::Value root, Usage &usage);

}  // namespace llm
