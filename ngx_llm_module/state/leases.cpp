// Which process holds what: rows of processes, cells of their leases, and what becomes of both when
// a process is gone. Entry points: meters.hpp and inflight.hpp.
#include <signal.h>

#include <algorithm>

#include "ngx_llm_module/state/inflight.hpp"
#include "ngx_llm_module/state/lock_check.hpp"
#include "ngx_llm_module/state/meters.hpp"
#include "ngx_llm_module/state/zone_lock.hpp"

namespace llm {
namespace {

constexpr int64_t kLookEvery = 200;  // ms

// The slot of a cell that goes on where another one is full.
constexpr uint32_t kFurther = kNoSlot - 1;

// The row of this process. Without one nothing is held, and nothing else breaks.
uint32_t own_row = kNoCell;

// Rows of the dead that this process has cleared, in a thread maybe.
std::atomic<uint32_t> cleared_rows;

bool is_alive(uint32_t pid) {
    return kill(pid_t(pid), 0) == 0 || ngx_errno != NGX_ESRCH;
}

// Counts anew what living leases hold.
void recount(Meters &table) {
    uint32_t total = 0;
    uint32_t further = 0;
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
        further += lease.slot == kFurther ? 1 : 0;
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
    table.in_flight = total - further;
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

// A free cell, this process's from now on.
uint32_t take_cell(Meters &table, uint32_t slot) {
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
    LeaseCell &cell = table.leases[index];
    cell.serial++;
    cell.slot = slot;
    cell.count = 0;
    cell.next = kNoCell;
    order_stores();
    cell.owner = own_row + 1;
    table.leases_used++;
    return index;
}

}  // namespace

void repair_leases(Meters &table) {
    clear_dead_rows(table);
    rebuild(table);
}

uint32_t new_lease(Meters &table) {
    uint32_t index = take_cell(table, kNoSlot);
    table.in_flight += index != kNoCell ? 1 : 0;
    return index;
}

uint32_t holdings_of(const Meters &table, uint32_t lease) {
    uint32_t sum = 0;
    for (uint32_t i = lease; i != kNoCell; i = table.leases[i].next) {
        sum += table.leases[i].count;
    }
    return sum;
}

bool make_room(Meters &table, uint32_t lease, uint32_t holdings) {
    need_lock(table.pool);
    uint32_t index = lease;
    for (uint32_t room = kMaxHoldings; room < holdings; room += kMaxHoldings) {
        LeaseCell &cell = table.leases[index];
        if (cell.next == kNoCell) {
            cell.next = take_cell(table, kFurther);
        }
        if (cell.next == kNoCell) {
            return false;
        }
        index = cell.next;
    }
    return true;
}

uint32_t hold(Meters &table, uint32_t lease, uint32_t meter, int64_t amount) {
    need_lock(table.pool);
    uint32_t number = 0;
    uint32_t index = lease;
    while (index != kNoCell && table.leases[index].count == kMaxHoldings) {
        number += kMaxHoldings;
        index = table.leases[index].next;
    }
    if (index == kNoCell) {
        return kNoCell;
    }
    LeaseCell &cell = table.leases[index];
    number += cell.count;
    cell.holdings[cell.count] = {meter, amount};
    order_stores();
    cell.count++;
    table.meters[meter].reserved += amount;
    table.meters[meter].leases++;
    return number;
}

void hold_more(Meters &table, uint32_t lease, uint32_t number, int64_t amount) {
    need_lock(table.pool);
    LeaseCell *cell = &table.leases[lease];
    for (; number >= kMaxHoldings; number -= kMaxHoldings) {
        cell = &table.leases[cell->next];
    }
    Holding &holding = cell->holdings[number];
    holding.held += amount;
    table.meters[holding.meter].reserved += amount;
}

void drop_holdings(Meters &table, uint32_t lease, uint32_t first) {
    need_lock(table.pool);
    for (uint32_t i = lease; i != kNoCell; i = table.leases[i].next) {
        LeaseCell &cell = table.leases[i];
        while (cell.count > first) {
            const Holding &holding = cell.holdings[cell.count - 1];
            Meter &meter = table.meters[holding.meter];
            meter.reserved -= holding.held;
            meter.leases--;
            order_stores();
            cell.count--;
        }
        first -= std::min(first, kMaxHoldings);
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

void free_lease(Meters &table, uint32_t lease) {
    need_lock(table.pool);
    drop_holdings(table, lease, 0);
    move_slot(table, lease, kNoSlot);
    for (uint32_t i = lease; i != kNoCell;) {
        LeaseCell &cell = table.leases[i];
        uint32_t next = cell.next;
        cell.owner = 0;
        order_stores();
        cell.next = table.free_lease;
        table.free_lease = i;
        table.leases_used--;
        i = next;
    }
    table.in_flight--;
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
    repair_leases(table);
    return true;
}

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
    table->rows[own_row] = 0;
    own_row = kNoCell;
    rebuild(*table);
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
