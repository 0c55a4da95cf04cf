// Counters of requests in flight. A process writes only its own row, without locks; readers sum
// over the rows. kill(pid, 0) tells whether a row's owner still lives.
#include "ngx_llm_module/state/inflight.hpp"

#include <signal.h>

namespace llm {
namespace {

// The row of this process. Without one (zone missing, more than kRows processes) nothing is
// counted, and nothing else breaks.
SharedRow *own_row = nullptr;

bool is_alive(uint32_t pid) {
    return kill(pid_t(pid), 0) == 0 || ngx_errno != NGX_ESRCH;
}

void clear(SharedRow &row) {
    row.total.store(0);
    for (auto &count : row.by_slot) {
        count.store(0, std::memory_order_relaxed);
    }
}

// Stands in a row while its counts are cleared. Of several processes that find the same dead owner
// only the one that puts this mark in may clear: a row must not be cleared under a new owner.
constexpr uint32_t kReclaiming = UINT32_MAX;

void reclaim(SharedRow &row, uint32_t dead_pid) {
    if (row.pid.compare_exchange_strong(dead_pid, kReclaiming)) {
        clear(row);
        row.pid.store(0);
    }
}

}  // namespace

void claim_row(const Config &config) {
    own_row = nullptr;
    SharedZone *zone = shared_zone(config);
    if (zone == nullptr) {
        return;
    }
    uint32_t pid = uint32_t(ngx_pid);
    for (SharedRow &row : zone->rows) {
        uint32_t owner = row.pid.load();
        if (owner != 0 && owner != kReclaiming && (owner == pid || !is_alive(owner))) {
            reclaim(row, owner);
        }
    }
    for (SharedRow &row : zone->rows) {
        uint32_t free_row = 0;
        if (row.pid.compare_exchange_strong(free_row, pid)) {
            own_row = &row;
            return;
        }
    }
    ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                  "llm: no free row in the zone, requests of this worker are not counted");
}

void release_row() {
    if (own_row != nullptr) {
        clear(*own_row);
        own_row->pid.store(0);
        own_row = nullptr;
    }
}

InFlight count_in_flight(const Config &config, uint32_t slot) {
    return count_in_flight(config, slot, {});
}

InFlight count_in_flight(const Config &config, uint32_t slot, std::span<uint32_t> of_slots) {
    InFlight sum;
    SharedZone *zone = shared_zone(config);
    if (zone == nullptr) {
        return sum;
    }
    for (SharedRow &row : zone->rows) {
        uint32_t owner = row.pid.load();
        if (owner == 0 || owner == kReclaiming) {
            continue;
        }
        if (!is_alive(owner)) {
            reclaim(row, owner);
            continue;
        }
        sum.total += row.total.load();
        sum.of_slot += row.by_slot[slot].load();
        sum.rows++;
        for (size_t i = 0; i < of_slots.size(); i++) {
            of_slots[i] += row.by_slot[i].load(std::memory_order_relaxed);
        }
    }
    return sum;
}

void Lease::acquire_total() {
    if (!holds_total_ && own_row != nullptr) {
        own_row->total.fetch_add(1);
        holds_total_ = true;
    }
}

void Lease::acquire_slot(uint32_t slot) {
    release_slot();
    if (own_row != nullptr) {
        own_row->by_slot[slot].fetch_add(1);
        slot_ = slot;
    }
}

void Lease::release_slot() {
    if (slot_ != kNone && own_row != nullptr) {
        own_row->by_slot[slot_].fetch_sub(1);
    }
    slot_ = kNone;
}

void Lease::release() {
    release_slot();
    if (holds_total_ && own_row != nullptr) {
        own_row->total.fetch_sub(1);
    }
    holds_total_ = false;
}

}  // namespace llm
