// What the present attempt tells of its deployment.
#pragma once

#include "ngx_llm_module/request/llm_request.hpp"

namespace llm {

// It failed, nothing was sent. `retry_after`: milliseconds that the provider asked for, -1: it did
// not.
void note_to_health(LlmRequest &request, Failure failure, int64_t retry_after);

}  // namespace llm
