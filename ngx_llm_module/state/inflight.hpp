// Requests in flight, per deployment and in all: the number of living leases. Four layers give a
// lease back: the request's end (prompt), the cleanup of its pool, the worker's exit (its row is
// cleared), and, for a worker that was killed, whoever looks next.
#pragma once

#include "ngx_llm_module/state/zone.hpp"

namespace llm {

// Claims a row for this process; also takes back the rows of processes that are gone.
void claim_row(const Config &config);
// None: there is no zone, or there are too many processes.
bool has_row();
// Gives back all that this process holds.
void release_row(const Config &config);

// Looks for processes that are gone, and takes back what they hold. How many this one has found so
// far, here or elsewhere: each is found by one, who tells those that must know
// (policy/redis_store).
uint32_t take_back_dead(const Config &config);

struct InFlight {
    uint32_t total = 0;
    uint32_t of_slot = 0;
    uint32_t rows = 0;  // processes
};

// Of all processes that live.
InFlight count_in_flight(const Config &config, uint32_t slot = 0);
// The same, and of as many slots as `of_slots` has places.
InFlight count_in_flight(const Config &config, uint32_t slot, std::span<uint32_t> of_slots);

}  // namespace llm
