// What a client says about its own request: fallbacks, num_retries, timeout, disable_fallbacks and
// tags in the body, or x-llm-* headers.
#pragma once

#include "ngx_llm_module/request/llm_request.hpp"

namespace llm {

// Reads them, and takes what stood in the body out of it: providers would refuse members they do
// not know. `is_changed`: the body has to be parsed again. An error is the client's.
Status read_wishes(LlmRequest &request, json::Value root, bool &is_changed);

// A hash that stays the same over the turns of a conversation: of prompt_cache_key, or of the
// system prompt and the first message.
uint64_t conversation_of(json::Value root);

}  // namespace llm
