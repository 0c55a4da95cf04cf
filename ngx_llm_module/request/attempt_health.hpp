// What the present attempt tells of its deployment.
#pragma once

#include "ngx_llm_module/request/llm_request.hpp"

namespace llm {

// It failed. `retry_after`: milliseconds that the provider asked for, -1: it did not.
void note_to_health(LlmRequest &request, Failure failure, int64_t retry_after);
// It sent its first content, or all of its answer.
void note_served(LlmRequest &request, bool is_complete);
// It failed after content had been sent.
void note_broken(LlmRequest &request, Failure failure);

}  // namespace llm
