// Requests in flight, per deployment and in all, counted so that they cannot leak. Four layers
// give a slot back: the request's end (prompt), the cleanup of its pool (Lease's destructor),
// the worker's exit (its row is cleared), and, for a worker that was killed, whoever looks next.
#pragma once

#include "ngx_llm_module/state/zone.hpp"

namespace llm {

// Claims a row for this process; also takes back the rows of processes that are gone.
void claim_row(const Config &config);
// Clears this process's row.
void release_row();

struct InFlight {
    uint32_t total = 0;
    uint32_t of_slot = 0;
    uint32_t rows = 0;  // processes
};

// Sums over the rows of all processes that live.
InFlight count_in_flight(const Config &config, uint32_t slot = 0);
// The same, and of as many slots as `of_slots` has places.
InFlight count_in_flight(const Config &config, uint32_t slot, std::span<uint32_t> of_slots);

// One request's share of the counters. Move-only in spirit: it stands in the request and is never
// copied. Releasing twice does nothing.
class Lease {
  public:
    Lease() = default;
    Lease(const Lease &) = delete;
    Lease &operator=(const Lease &) = delete;
    ~Lease() { release(); }

    void acquire_total();
    // Moves the deployment's share from the previous deployment, if there was one.
    void acquire_slot(uint32_t slot);
    void release_slot();
    void release();

  private:
    static constexpr uint32_t kNone = UINT32_MAX;
    bool holds_total_ = false;
    uint32_t slot_ = kNone;
};

}  // namespace llm
