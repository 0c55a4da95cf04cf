// Counters of limits in the shared zone, and the leases that hold parts of them.
//
// Meters and leases are two arrays of equal cells that are made with the zone, so that their memory
// is bounded and everything that links them (hash chains, order of use, free cells, sums of what is
// reserved) can be built again from the cells alone: that is what rebuild() does after a process
// died, be it in the middle of a change, be it with leases in its hands.
//
// Everything here is done under MetersLock. The names of counters are hashed before.
#pragma once

#include <atomic>
#include <string_view>

#include "ngx_llm_module/conf/config.hpp"
#include "ngx_llm_module/state/window.hpp"
#include "ngx_llm_module/state/zone.hpp"

namespace llm {

constexpr uint32_t kNoCell = UINT32_MAX;
constexpr uint32_t kMaxHoldings = 22;  // of a cell

struct MeterId {
    uint64_t low, high;
    bool operator==(const MeterId &) const = default;
};

struct PeriodSum {
    int64_t begin;  // Unix time; 0: forever
    int64_t end;
    int64_t amount;
};

struct Meter {
    MeterId id;
    uint32_t is_used;
    uint32_t next;          // of its bucket, or of the free ones
    uint32_t older, newer;  // by use
    PeriodKind period;
    bool is_parallel;
    uint32_t seconds;  // of a sliding window
    uint32_t leases;   // that hold something of it
    int64_t reserved;  // by them
    union {
        Window window;
        PeriodSum sum;
    };
};
static_assert(sizeof(Meter) <= 256);

struct Holding {
    uint32_t meter;
    int64_t held;
};

struct LeaseCell {
    uint32_t owner;  // row of the process, and 1; 0: free. Written last
    uint32_t next;   // of the free ones; of a lease: where it goes on
    uint32_t serial;
    uint32_t slot;  // of the deployment that is asked
    uint32_t count;
    Holding holdings[kMaxHoldings];
};
static_assert(sizeof(LeaseCell) <= 384);

// A process that counts in Redis (policy/redis_debts.hpp).
struct Debtor {
    std::atomic<uint32_t> pid;    // 0: free
    std::atomic<uint64_t> since;  // ngx_current_msec of the oldest that Redis lacks; 0: nothing
};

struct Meters {
    ngx_slab_pool_t *pool;  // its mutex guards all of this
    uint64_t seed[2];
    uint32_t busy;  // a process is changing something

    uint32_t meter_count, fresh_meter, free_meter, oldest, newest, bucket_count;
    uint32_t lease_count, fresh_lease, free_lease;
    Meter *meters;
    uint32_t *buckets;
    LeaseCell *leases;
    uint64_t checked;  // when rows were looked at last, ms

    // Read without the lock, too.
    std::atomic<uint32_t> rows[kRows];  // pids; 0: free
    std::atomic<uint32_t> in_flight;
    std::atomic<uint32_t> in_flight_of[kMaxSlots];
    std::atomic<uint64_t> meters_used, leases_used, evicted;
    std::atomic<uint64_t> budgets_changed;  // another number after each change of a budget
    Debtor debtors[kRows];
};

// Of a new zone. False: there is no room.
bool init_meters(void *part, ngx_slab_pool_t *pool, size_t zone_size);

class MetersLock {
  public:
    MetersLock(Meters &meters, ngx_slab_pool_t *pool);
    ~MetersLock();
    MetersLock(const MetersLock &) = delete;
    MetersLock &operator=(const MetersLock &) = delete;

  private:
    Meters &meters_;
    ngx_slab_pool_t *pool_;
};

// What a meter is called; secret-keyed, because clients choose names.
MeterId meter_id(const Meters &meters, std::string_view name);

// Budgets are kept over a restart, counts of a minute are not.
constexpr uint32_t kShortWindow = 60;

// One counter in its period, as the caller knows it.
struct MeterKey {
    MeterId id;
    bool is_parallel = false;
    Period period;
    int64_t begin = 0, end = 0;  // calendar: of the current period, Unix time
};

struct Clocks {
    int64_t ms;   // monotonic
    int64_t now;  // Unix time
};

// What was counted before the machine started (saved_budgets.hpp) has its place, too.
constexpr int64_t kBeforeBoot = int64_t(400) * 86400 * 1000;

inline Clocks clocks_now() {
    return {int64_t(ngx_current_msec) + kBeforeBoot, int64_t(ngx_time())};
}

// Finds or makes it, evicting one that counts nothing. kNoCell: the table is full of living ones.
uint32_t find_meter(Meters &meters, const MeterKey &key, const Clocks &clocks);
// Finds it if it is there; nothing changes.
uint32_t look_up_meter(const Meters &meters, const MeterKey &key);
int64_t meter_used(Meter &meter, const MeterKey &key, const Clocks &clocks);
void meter_add(Meters &table, Meter &meter, const MeterKey &key, const Clocks &clocks,
               int64_t amount);
// To a sliding window: what was used at that time of its clock.
void meter_add_late(Meters &table, Meter &meter, const MeterKey &key, int64_t at, int64_t amount);

// --- Leases (leases.cpp): a lease is a cell, and further ones when it holds parts of many counters
// -

// One of this process. kNoCell: there is no free cell.
uint32_t new_lease(Meters &meters);
// So many parts of counters it holds.
uint32_t holdings_of(const Meters &meters, uint32_t lease);
// Whether it can hold so many in all.
bool make_room(Meters &meters, uint32_t lease, uint32_t holdings);
// Gives the number of the holding, kNoCell: it has no room.
uint32_t hold(Meters &meters, uint32_t lease, uint32_t meter, int64_t amount);
void hold_more(Meters &meters, uint32_t lease, uint32_t number, int64_t amount);
// Gives back what it holds from the holding `first` on.
void drop_holdings(Meters &meters, uint32_t lease, uint32_t first);
void free_lease(Meters &meters, uint32_t lease);
void move_slot(Meters &meters, uint32_t lease, uint32_t slot);
// False: it was taken back with its process's row.
bool is_own_lease(const Meters &meters, uint32_t lease, uint32_t serial);

// After a process that died in the middle of a change.
void repair_leases(Meters &meters);
// Takes back what dead processes hold. Looks only when `is_urgent` or some time after the last
// look. True: there was something.
bool take_back(Meters &meters, const Clocks &clocks, bool is_urgent);

// Of leases.cpp: builds all links of counters again. Nothing of them is held then.
void rebuild_links(Meters &meters);

Meters *find_meters(const Config &config);

}  // namespace llm
