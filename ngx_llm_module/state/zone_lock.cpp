#include "ngx_llm_module/state/zone_lock.hpp"

#include <signal.h>

namespace llm {

void lock_zone(ngx_slab_pool_t &pool) {
    constexpr int kSpins = 2048;
    for (int spins = 1;; spins = spins < kSpins ? spins * 2 : spins) {
        if (ngx_shmtx_trylock(&pool.mutex)) {
            return;
        }
        if (ngx_ncpu > 1 && spins < kSpins) {
            for (int i = 0; i < spins; i++) {
                ngx_cpu_pause();
            }
            continue;
        }
        auto holder = ngx_pid_t(*pool.mutex.lock);
        if (holder != 0 && kill(holder, 0) != 0 && ngx_errno == NGX_ESRCH &&
            ngx_shmtx_force_unlock(&pool.mutex, holder)) {
            ngx_log_error(NGX_LOG_WARN, ngx_cycle->log, 0,
                          "llm: the zone was locked by %P, which is gone", holder);
        }
        ngx_sched_yield();
    }
}

}  // namespace llm
