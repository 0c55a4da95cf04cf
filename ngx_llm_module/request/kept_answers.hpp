// Answers that a provider keeps (Responses with `store`), for clients of llm_pass models: which
// deployment has one, and the names by which clients know them. A name is made of the provider's
// own (translators/provider/kept_id.hpp); nothing is remembered here.
#pragma once

#include <string_view>

#include "translators/json/writer.hpp"

namespace llm {

class LlmRequest;

// Will the client's names of the answer differ from the provider's?
bool renames_answer(const LlmRequest &request);

// Copies `text` to `out`, and in it the provider's names `id` and `previous` (views into `text`,
// either may be empty) become the client's.
void append_renamed(const LlmRequest &request, std::string_view text, std::string_view id,
                    std::string_view previous, ByteBuffer &out);

// Operation::kept: the one candidate is the deployment that has the answer. False: there is none,
// and the request was answered.
bool find_kept(LlmRequest &request);

// A request that goes on from a kept answer can be served by its provider only: other candidates
// are dropped. False: none is left, and the request was answered.
bool keep_to_origin(LlmRequest &request);

}  // namespace llm
