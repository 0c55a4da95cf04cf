#include "ngx_llm_module/policy/zone_counter.hpp"

#include <algorithm>

#include "ngx_llm_module/policy/budget_floors.hpp"
#include "ngx_llm_module/policy/demand_name.hpp"

namespace llm {

void renew_period(const Config &config, MeterKey &key, int64_t now) {
    if (key.period.kind == PeriodKind::calendar && (now >= key.end || now < key.begin)) {
        PeriodBounds bounds = calendar_bounds(config.time_zone, key.period, now);
        key.begin = bounds.begin;
        key.end = bounds.end;
    }
}

MeterKey meter_key(const Config &config, const Meters &table, const Demand &demand, int64_t now,
                   std::string &name) {
    MeterKey key;
    name.clear();
    append_name(demand, name);
    key.id = meter_id(table, name);
    key.is_parallel = demand.quantity == Quantity::parallel;
    key.period = demand.period;
    renew_period(config, key, now);
    return key;
}

MeterKey key_in_zone(const Config &config, const Demand &demand) {
    Meters *table = find_meters(config);
    std::string name;
    return table != nullptr ? meter_key(config, *table, demand, ngx_time(), name) : MeterKey();
}

int64_t used_in_zone(const Config &config, MeterKey &key, const Clocks &clocks) {
    Meters *table = find_meters(config);
    if (table == nullptr) {
        return 0;
    }
    renew_period(config, key, clocks.now);
    MetersLock lock(*table, zone_pool(config));
    uint32_t cell = look_up_meter(*table, key);
    return cell != kNoCell
               ? meter_used(table->meters[cell], key, clocks) + table->meters[cell].reserved
               : 0;
}

// What running requests hold is not booked yet, neither here nor there.
void raise_in_zone(const Config &config, const BudgetFloor &floor) {
    Meters *table = find_meters(config);
    if (table == nullptr) {
        return;
    }
    Clocks clocks = clocks_now();
    std::string name;
    MeterKey key = meter_key(config, *table, floor.demand(), clocks.now, name);
    int64_t total = floor.since(key.begin);
    if (total == 0) {
        return;
    }
    MetersLock lock(*table, zone_pool(config));
    uint32_t cell = find_meter(*table, key, clocks);
    if (cell == kNoCell) {
        return;  // whoever is to be limited by it will say that the zone is full
    }
    Meter &meter = table->meters[cell];
    int64_t missing = total - meter_used(meter, key, clocks);
    if (key.period.kind != PeriodKind::sliding) {
        meter_add(*table, meter, key, clocks, missing);
        return;
    }
    for (const SpentPart &part : floor.parts) {
        int64_t at = clocks.ms - (clocks.now - part.at) * 1000;
        int64_t amount = std::min(missing, part.nanos);
        if (amount > 0 && at >= 0) {
            meter_add_late(*table, meter, key, at, amount);
            missing -= amount;
        }
    }
}

}  // namespace llm
