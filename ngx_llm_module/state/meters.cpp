// The table of counters and leases in shared memory. Entry points: see the header.
//
// A process may be killed between any two instructions. What makes a cell valid (is_used, owner) is
// written after its content; the rest is built again when `busy` is found set.
#include "ngx_llm_module/state/meters.hpp"

#include <signal.h>
#include <sys/random.h>

#include <algorithm>

#include "ngx_llm_module/state/inflight.hpp"
#include "ngx_llm_module/state/lock_check.hpp"
#include "ngx_llm_module/state/zone_lock.hpp"

namespace llm {
namespace {

constexpr int64_t kLookEvery = 200;  // ms
constexpr int kEvictionTries = 64;

// The row of this process. Without one nothing is held, and nothing else breaks.
uint32_t own_row = kNoCell;

// Rows of the dead that this process has cleared, in a thread maybe.
std::atomic<uint32_t> cleared_rows;

// Stores before this line are in memory before those after it, as seen by whoever comes after a
// SIGKILL.
void order_stores() {
    std::atomic_signal_fence(std::memory_order_seq_cst);
}

bool is_alive(uint32_t pid) {
    return kill(pid_t(pid), 0) == 0 || ngx_errno != NGX_ESRCH;
}

// --- SipHash-2-4 with 128 bits ----------------------------------------------------------------

uint64_t rotate(uint64_t x, int bits) {
    return x << bits | x >> (64 - bits);
}

struct Sip {
    uint64_t v0, v1, v2, v3;

    void rounds(int count) {
        while (count-- > 0) {
            v0 += v1;
            v1 = rotate(v1, 13) ^ v0;
            v0 = rotate(v0, 32);
            v2 += v3;
            v3 = rotate(v3, 16) ^ v2;
            v0 += v3;
            v3 = rotate(v3, 21) ^ v0;
            v2 += v1;
            v1 = rotate(v1, 17) ^ v2;
            v2 = rotate(v2, 32);
        }
    }
    uint64_t all() const { return v0 ^ v1 ^ v2 ^ v3; }
};

// --- links --------------------------------------------------------------------------------------

uint32_t &bucket_of(Meters &table, const MeterId &id) {
    return table.buckets[id.low & (table.bucket_count - 1)];
}

void link_newest(Meters &table, uint32_t index) {
    Meter &meter = table.meters[index];
    meter.newer = kNoCell;
    meter.older = table.newest;
    if (table.newest != kNoCell) {
        table.meters[table.newest].newer = index;
    } else {
        table.oldest = index;
    }
    table.newest = index;
}

void unlink_use(Meters &table, uint32_t index) {
    Meter &meter = table.meters[index];
    (meter.newer != kNoCell ? table.meters[meter.newer].older : table.newest) = meter.older;
    (meter.older != kNoCell ? table.meters[meter.older].newer : table.oldest) = meter.newer;
}

void touch(Meters &table, uint32_t index) {
    if (table.newest != index) {
        unlink_use(table, index);
        link_newest(table, index);
    }
}

void unlink_bucket(Meters &table, uint32_t index) {
    uint32_t *link = &bucket_of(table, table.meters[index].id);
    while (*link != index) {
        link = &table.meters[*link].next;
    }
    *link = table.meters[index].next;
}

bool counts_nothing(const Meter &meter, const Clocks &clocks) {
    if (meter.leases > 0) {
        return false;
    }
    if (meter.is_parallel) {
        return true;
    }
    switch (meter.period) {
        case PeriodKind::sliding:
            return window_sum(meter.window, {PeriodKind::sliding, meter.seconds}, clocks.ms) == 0;
        case PeriodKind::calendar:
            return meter.sum.amount == 0 || meter.sum.end <= clocks.now;
        case PeriodKind::forever:
            return meter.sum.amount == 0;
    }
    return true;
}

void forget(Meters &table, uint32_t index) {
    unlink_bucket(table, index);
    unlink_use(table, index);
    Meter &meter = table.meters[index];
    meter.is_used = 0;
    order_stores();
    meter.next = table.free_meter;
    table.free_meter = index;
    table.meters_used--;
}

uint32_t free_cell(Meters &table, const Clocks &clocks) {
    for (int tries = kEvictionTries; table.free_meter == kNoCell; tries--) {
        if (table.fresh_meter < table.meter_count) {
            return table.fresh_meter++;
        }
        if (tries == 0 || table.oldest == kNoCell) {
            return kNoCell;
        }
        uint32_t index = table.oldest;
        if (counts_nothing(table.meters[index], clocks)) {
            forget(table, index);
            table.evicted++;
        } else {
            touch(table, index);  // another one will be the oldest next time
        }
    }
    uint32_t index = table.free_meter;
    table.free_meter = table.meters[index].next;
    return index;
}

// --- what dead processes left -------------------------------------------------------------------

void rebuild_links(Meters &table) {
    std::fill_n(table.buckets, table.bucket_count, kNoCell);
    table.free_meter = table.oldest = table.newest = kNoCell;
    table.meters_used = 0;
    for (uint32_t i = 0; i < table.fresh_meter; i++) {
        Meter &meter = table.meters[i];
        meter.reserved = 0;
        meter.leases = 0;
        if (meter.is_used) {
            meter.next = bucket_of(table, meter.id);
            bucket_of(table, meter.id) = i;
            link_newest(table, i);
            table.meters_used++;
        } else {
            meter.next = table.free_meter;
            table.free_meter = i;
        }
    }
}

// Counts anew what living leases hold.
void recount(Meters &table) {
    uint32_t total = 0;
    for (auto &slot : table.in_flight_of) {
        slot.store(0, std::memory_order_relaxed);
    }
    table.free_lease = kNoCell;
    for (uint32_t i = 0; i < table.fresh_lease; i++) {
        LeaseCell &lease = table.leases[i];
        if (lease.owner != 0 && (lease.owner > kRows || table.rows[lease.owner - 1].load() == 0)) {
            lease.owner = 0;
        }
        if (lease.owner == 0) {
            lease.next = table.free_lease;
            table.free_lease = i;
            continue;
        }
        total++;
        if (lease.slot < kMaxSlots) {
            table.in_flight_of[lease.slot]++;
        }
        for (uint32_t n = 0; n < std::min(lease.count, kMaxHoldings); n++) {
            const Holding &holding = lease.holdings[n];
            if (holding.meter < table.fresh_meter) {
                table.meters[holding.meter].reserved += holding.held;
                table.meters[holding.meter].leases++;
            }
        }
    }
    table.in_flight = total;
    table.leases_used = total;
}

void rebuild(Meters &table) {
    need_lock(table.pool);
    rebuild_links(table);
    recount(table);
}

bool has_dead_rows(const Meters &table) {
    for (const auto &row : table.rows) {
        uint32_t pid = row.load();
        if (pid != 0 && pid != uint32_t(ngx_pid) && !is_alive(pid)) {
            return true;
        }
    }
    return false;
}

void clear_dead_rows(Meters &table) {
    for (auto &row : table.rows) {
        uint32_t pid = row.load();
        if (pid != 0 && pid != uint32_t(ngx_pid) && !is_alive(pid)) {
            row = 0;
            cleared_rows++;
        }
    }
}

}  // namespace

bool init_meters(void *part, ngx_slab_pool_t *pool, size_t zone_size) {
    Meters &table = *static_cast<Meters *>(part);
    table.pool = pool;
    table.meter_count = uint32_t(zone_size / 5 / sizeof(Meter));
    table.lease_count = uint32_t(zone_size / 8 / sizeof(LeaseCell));
    table.bucket_count = 1;
    while (table.bucket_count < table.meter_count) {
        table.bucket_count *= 2;
    }
    auto alloc = [&](size_t count, size_t size) { return ngx_slab_alloc(pool, count * size); };
    table.meters = static_cast<Meter *>(alloc(table.meter_count, sizeof(Meter)));
    table.leases = static_cast<LeaseCell *>(alloc(table.lease_count, sizeof(LeaseCell)));
    table.buckets = static_cast<uint32_t *>(alloc(table.bucket_count, sizeof(uint32_t)));
    if (table.meters == nullptr || table.leases == nullptr || table.buckets == nullptr) {
        return false;
    }
    std::fill_n(table.buckets, table.bucket_count, kNoCell);
    table.free_meter = table.free_lease = table.oldest = table.newest = kNoCell;
    if (getrandom(table.seed, sizeof(table.seed), GRND_NONBLOCK) != ssize_t(sizeof(table.seed))) {
        table.seed[0] = uint64_t(ngx_random()) << 32 ^ uint64_t(ngx_random());
        table.seed[1] = uint64_t(ngx_time()) << 20 ^ uint64_t(ngx_pid);
    }
    return true;
}

MetersLock::MetersLock(Meters &meters, ngx_slab_pool_t *pool) : meters_(meters), pool_(pool) {
    lock_zone(*pool_);
    if (meters_.busy != 0) {
        clear_dead_rows(meters_);
        rebuild(meters_);
    }
    meters_.busy = uint32_t(ngx_pid);
    order_stores();
}

MetersLock::~MetersLock() {
    order_stores();
    meters_.busy = 0;
    ngx_shmtx_unlock(&pool_->mutex);
}

MeterId meter_id(const Meters &meters, std::string_view name) {
    Sip sip{meters.seed[0] ^ 0x736f6d6570736575u, meters.seed[1] ^ 0x646f72616e646f6du ^ 0xeeu,
            meters.seed[0] ^ 0x6c7967656e657261u, meters.seed[1] ^ 0x7465646279746573u};
    size_t whole = name.size() / 8 * 8;
    for (size_t at = 0; at <= whole; at += 8) {
        uint64_t word = 0;
        if (at < whole) {
            memcpy(&word, name.data() + at, 8);
        } else {
            memcpy(&word, name.data() + at, name.size() - whole);
            word |= uint64_t(name.size()) << 56;
        }
        sip.v3 ^= word;
        sip.rounds(2);
        sip.v0 ^= word;
    }
    sip.v2 ^= 0xee;
    sip.rounds(4);
    MeterId id{sip.all(), 0};
    sip.v1 ^= 0xdd;
    sip.rounds(4);
    id.high = sip.all();
    return id;
}

uint32_t find_meter(Meters &table, const MeterKey &key, const Clocks &clocks) {
    need_lock(table.pool);
    for (uint32_t i = bucket_of(table, key.id); i != kNoCell; i = table.meters[i].next) {
        if (table.meters[i].id == key.id) {
            touch(table, i);
            return i;
        }
    }
    uint32_t index = free_cell(table, clocks);
    if (index == kNoCell) {
        return kNoCell;
    }
    Meter &meter = table.meters[index];
    ngx_memzero(&meter, sizeof(meter));
    meter.id = key.id;
    meter.period = key.period.kind;
    meter.seconds = key.period.seconds;
    meter.is_parallel = key.is_parallel;
    order_stores();
    meter.is_used = 1;
    meter.next = bucket_of(table, key.id);
    bucket_of(table, key.id) = index;
    link_newest(table, index);
    table.meters_used++;
    return index;
}

uint32_t look_up_meter(const Meters &table, const MeterKey &key) {
    need_lock(table.pool);
    uint32_t i = table.buckets[key.id.low & (table.bucket_count - 1)];
    while (i != kNoCell && !(table.meters[i].id == key.id)) {
        i = table.meters[i].next;
    }
    return i;
}

int64_t meter_used(Meter &meter, const MeterKey &key, const Clocks &clocks) {
    if (meter.is_parallel) {
        return 0;
    }
    if (meter.period == PeriodKind::sliding) {
        return window_sum(meter.window, key.period, clocks.ms);
    }
    if (meter.period == PeriodKind::calendar && meter.sum.begin < key.begin) {
        return 0;
    }
    return meter.sum.amount;
}

void meter_add(Meters &table, Meter &meter, const MeterKey &key, const Clocks &clocks,
               int64_t amount) {
    if (meter.is_parallel || amount <= 0) {
        return;
    }
    if (meter.period == PeriodKind::sliding) {
        window_add(meter.window, key.period, clocks.ms, amount);
        table.budgets_changed += meter.seconds > kShortWindow ? 1 : 0;
        return;
    }
    table.budgets_changed++;
    if (meter.period == PeriodKind::calendar && meter.sum.begin < key.begin) {
        meter.sum = {key.begin, key.end, 0};
    }
    meter.sum.amount += amount;
}

void meter_add_late(Meters &table, Meter &meter, const MeterKey &key, int64_t at, int64_t amount) {
    window_add_late(meter.window, key.period, at, amount);
    table.budgets_changed++;
}

uint32_t new_lease(Meters &table) {
    need_lock(table.pool);
    if (own_row == kNoCell) {
        return kNoCell;
    }
    uint32_t index = table.free_lease;
    if (index != kNoCell) {
        table.free_lease = table.leases[index].next;
    } else if (table.fresh_lease < table.lease_count) {
        index = table.fresh_lease;
        table.leases[index].owner = 0;
        table.leases[index].serial = 0;
        order_stores();
        table.fresh_lease++;
    } else {
        return kNoCell;
    }
    LeaseCell &lease = table.leases[index];
    lease.serial++;
    lease.slot = kNoSlot;
    lease.count = 0;
    return index;
}

void commit_lease(Meters &table, uint32_t index) {
    need_lock(table.pool);
    order_stores();
    table.leases[index].owner = own_row + 1;
    table.in_flight++;
    table.leases_used++;
}

bool hold(Meters &table, uint32_t index, uint32_t meter, int64_t amount) {
    need_lock(table.pool);
    LeaseCell &lease = table.leases[index];
    if (lease.count == kMaxHoldings) {
        return false;
    }
    lease.holdings[lease.count] = {meter, amount};
    order_stores();
    lease.count++;
    table.meters[meter].reserved += amount;
    table.meters[meter].leases++;
    return true;
}

void drop_holdings(Meters &table, uint32_t index, uint32_t first) {
    need_lock(table.pool);
    LeaseCell &lease = table.leases[index];
    while (lease.count > first) {
        const Holding &holding = lease.holdings[lease.count - 1];
        Meter &meter = table.meters[holding.meter];
        meter.reserved -= holding.held;
        meter.leases--;
        order_stores();
        lease.count--;
    }
}

void move_slot(Meters &table, uint32_t index, uint32_t slot) {
    need_lock(table.pool);
    LeaseCell &lease = table.leases[index];
    if (lease.slot < kMaxSlots) {
        table.in_flight_of[lease.slot]--;
    }
    lease.slot = slot;
    if (slot < kMaxSlots) {
        table.in_flight_of[slot]++;
    }
}

void free_lease(Meters &table, uint32_t index) {
    need_lock(table.pool);
    LeaseCell &lease = table.leases[index];
    drop_holdings(table, index, 0);
    move_slot(table, index, kNoSlot);
    lease.owner = 0;
    order_stores();
    lease.next = table.free_lease;
    table.free_lease = index;
    table.in_flight--;
    table.leases_used--;
}

bool is_own_lease(const Meters &table, uint32_t index, uint32_t serial) {
    need_lock(table.pool);
    return index != kNoCell && own_row != kNoCell && table.leases[index].owner == own_row + 1 &&
           table.leases[index].serial == serial;
}

bool take_back(Meters &table, const Clocks &clocks, bool is_urgent) {
    need_lock(table.pool);
    if (!is_urgent && uint64_t(clocks.ms) - table.checked < uint64_t(kLookEvery)) {
        return false;
    }
    table.checked = uint64_t(clocks.ms);
    if (!has_dead_rows(table)) {
        return false;
    }
    clear_dead_rows(table);
    rebuild(table);
    return true;
}

Meters *find_meters(const Config &config) {
    return zone_part<Meters>(config, ZonePart::meters);
}

// --- inflight.hpp -------------------------------------------------------------------------------

void claim_row(const Config &config) {
    Meters *table = find_meters(config);
    auto pid = uint32_t(ngx_pid);
    if (table != nullptr && own_row != kNoCell && table->rows[own_row].load() == pid) {
        return;  // a single process that was reloaded
    }
    own_row = kNoCell;
    if (table == nullptr) {
        return;
    }
    MetersLock lock(*table, zone_pool(config));
    bool is_reused = false;
    for (auto &row : table->rows) {
        if (row.load() == pid) {
            row = 0;  // of a dead one that had our number
            is_reused = true;
        }
    }
    if (is_reused) {
        rebuild(*table);
    }
    take_back(*table, clocks_now(), true);
    for (uint32_t i = 0; i < kRows; i++) {
        if (table->rows[i].load() == 0) {
            table->rows[i] = pid;
            own_row = i;
            return;
        }
    }
}

bool has_row() {
    return own_row != kNoCell;
}

void release_row(const Config &config) {
    Meters *table = find_meters(config);
    if (table == nullptr || own_row == kNoCell) {
        return;
    }
    MetersLock lock(*table, zone_pool(config));
    for (uint32_t i = 0; i < table->fresh_lease; i++) {
        if (table->leases[i].owner == own_row + 1) {
            free_lease(*table, i);
        }
    }
    table->rows[own_row] = 0;
    own_row = kNoCell;
}

uint32_t take_back_dead(const Config &config) {
    Meters *table = find_meters(config);
    if (table != nullptr && has_dead_rows(*table)) {
        MetersLock lock(*table, zone_pool(config));
        take_back(*table, clocks_now(), true);
    }
    return cleared_rows.load();
}

InFlight count_in_flight(const Config &config, uint32_t slot) {
    return count_in_flight(config, slot, {});
}

InFlight count_in_flight(const Config &config, uint32_t slot, std::span<uint32_t> of_slots) {
    Meters *table = find_meters(config);
    if (table == nullptr) {
        return {};
    }
    (void)take_back_dead(config);
    InFlight sum{table->in_flight.load(), table->in_flight_of[slot].load(), 0};
    for (const auto &row : table->rows) {
        sum.rows += row.load() != 0 ? 1 : 0;
    }
    for (size_t i = 0; i < of_slots.size(); i++) {
        of_slots[i] += table->in_flight_of[i].load(std::memory_order_relaxed);
    }
    return sum;
}

}  // namespace llm
