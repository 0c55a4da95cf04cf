// The table of counters in shared memory. Entry points: see the header.
//
// A process may be killed between any two instructions. What makes a cell valid (is_used; owner of
// a lease) is written after its content; the rest is built again when `busy` is found set.
#include "ngx_llm_module/state/meters.hpp"

#include <sys/random.h>

#include <algorithm>

#include "ngx_llm_module/base/siphash.hpp"
#include "ngx_llm_module/state/lock_check.hpp"
#include "ngx_llm_module/state/zone_lock.hpp"

namespace llm {
namespace {

constexpr int kEvictionTries = 64;

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
        repair_leases(meters_);
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
    Sip128 hash = siphash(meters.seed, name);
    return {hash.low, hash.high};
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

Meters *find_meters(const Config &config) {
    return zone_part<Meters>(config, ZonePart::meters);
}

}  // namespace llm
