// The end of a worker that still has streams: nginx closes their connections without a word.
#pragma once

#include "ngx_llm_module/base/ngx_cxx.hpp"

namespace llm {

// When worker_shutdown_timeout ends, the streams of this worker are told before nginx closes what
// is open. Called when the worker starts, before anything else has a connection.
void watch_shutdown(ngx_cycle_t *cycle);
// When the worker exits, in whatever way.
void end_at_shutdown();

}  // namespace llm
