// Shared memory is invisible to sanitizers: nothing of theirs sees that two processes change the
// same bytes. So whoever touches what the zone's lock guards says that it holds it, and the build
// with sanitizers (LLM_CHECK_LOCKS) ends the process when that is not true.
#pragma once

#include <cstdlib>

#include "ngx_llm_module/base/ngx_cxx.hpp"

namespace llm {

inline void need_lock([[maybe_unused]] const ngx_slab_pool_t *pool) {
#ifdef LLM_CHECK_LOCKS
    // nginx writes the owner's pid into it.
    if (pid_t(*pool->mutex.lock) != ngx_pid) {
        ngx_log_error(NGX_LOG_ALERT, ngx_cycle->log, 0,
                      "llm: the zone is touched without its lock");
        abort();
    }
#endif
}

}  // namespace llm
