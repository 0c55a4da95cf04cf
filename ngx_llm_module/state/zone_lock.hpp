// The zone's lock. A process that is killed while it holds it is missed by its master, which frees
// the lock; one whose master was killed, too, is missed by whoever waits here, for after the start
// of a new binary the workers of two masters share the zone.
#pragma once

#include <atomic>

#include "ngx_llm_module/base/ngx_cxx.hpp"

namespace llm {

void lock_zone(ngx_slab_pool_t &pool);

// Stores before this line are in memory before those after it, as seen by whoever comes after a
// SIGKILL.
inline void order_stores() {
    std::atomic_signal_fence(std::memory_order_seq_cst);
}

class ZoneLock {
  public:
    explicit ZoneLock(ngx_slab_pool_t *pool) : pool_(*pool) { lock_zone(pool_); }
    ~ZoneLock() { ngx_shmtx_unlock(&pool_.mutex); }
    ZoneLock(const ZoneLock &) = delete;
    ZoneLock &operator=(const ZoneLock &) = delete;

  private:
    ngx_slab_pool_t &pool_;
};

}  // namespace llm
