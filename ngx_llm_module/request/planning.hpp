// Choosing the model of a request and the order of its deployments.
#pragma once

#include "ngx_llm_module/request/llm_request.hpp"

namespace llm {

// The model that the client asked for, or a fallback when none of its deployments can be asked now.
// False: replied.
bool plan_request(LlmRequest &request);

// The same for a location that is one provider.
bool plan_direct(LlmRequest &request);

// The same for an answer that a deployment keeps: it alone can tell of it.
bool plan_kept(LlmRequest &request);

// A model is left that helps against this kind of failure.
bool has_fallback(LlmRequest &request, FallbackKind kind);
// Goes on to the next one that has a deployment which can be asked. False: there is none.
bool move_to_fallback(LlmRequest &request, FallbackKind kind = FallbackKind::general);

// All deployments cool: 429 with the shortest time.
void reply_cooling(LlmRequest &request);

}  // namespace llm
