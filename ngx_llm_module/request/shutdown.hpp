// The end of a worker that still has requests: nginx closes their connections without a word.
#pragma once

#include "ngx_llm_module/base/ngx_cxx.hpp"

namespace llm {

class LlmRequest;

// Those of this worker are known, from their begin until nginx frees them. A request is forgotten
// and noted again where it is settled.
void note_request(LlmRequest &request);
void forget_request(LlmRequest &request);

// When worker_shutdown_timeout ends, the clients of this worker are told before nginx closes what
// is open. Called when the worker starts, before anything else has a connection.
void watch_shutdown(ngx_cycle_t *cycle);
// When the worker exits, in whatever way.
void end_at_shutdown(ngx_cycle_t *cycle);

}  // namespace llm
