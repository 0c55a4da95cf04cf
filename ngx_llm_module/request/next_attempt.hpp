// Choosing deployments and models for a request, and what follows when one of them failed.
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

}  // namespace llm
