// What the counters of budgets must have at least; see the header.
#include "ngx_llm_module/policy/budget_floors.hpp"

#include <algorithm>

#include "ngx_llm_module/conf/time_zone.hpp"
#include "ngx_llm_module/policy/demands.hpp"
#include "ngx_llm_module/policy/record_json.hpp"
#include "ngx_llm_module/policy/shared_spend.hpp"
#include "ngx_llm_module/policy/zone_counter.hpp"

namespace llm {
namespace {

constexpr int64_t kDay = 86400;

SpendOf spend_of(Scope scope) {
    switch (scope) {
        case Scope::team:
            return SpendOf::team;
        case Scope::user:
            return SpendOf::user;
        case Scope::customer:
            return SpendOf::customer;
        default:
            return SpendOf::key;
    }
}

// The first day that counts for a budget of this period.
int64_t first_day(const Config &config, const Period &period, int64_t now) {
    if (period.kind == PeriodKind::calendar) {
        return (calendar_bounds(config.time_zone, period, now).begin + kDay - 1) / kDay;
    }
    return std::max<int64_t>(now - int64_t(period.seconds), 0) / kDay + 1;
}

BudgetFloor floor_of(const Config &config, const BudgetOwner &owner, const Period &period,
                     int64_t in_all) {
    BudgetFloor floor{owner.scope, owner.id, period, {}};
    auto now = int64_t(ngx_time());
    if (period.kind == PeriodKind::forever) {
        floor.parts.push_back({now, in_all});
        return floor;
    }
    // Backwards: most have spent nothing before some day.
    int64_t first = first_day(config, period, now);
    for (int64_t day = now / kDay; day >= first && in_all > 0; day--) {
        int64_t nanos = spent_by_all(config, spend_of(owner.scope), owner.id, uint32_t(day)).cost;
        if (nanos > 0) {
            floor.parts.push_back({day * kDay, nanos});
            in_all -= nanos;
        }
    }
    std::reverse(floor.parts.begin(), floor.parts.end());
    return floor;
}

template <class Record>
BudgetOwner read_owner(Scope scope, const RecordChange &change) {
    Record record;
    if (!read_stored(change.json, change.id, record)) {
        return {scope, change.id, {}};
    }
    if constexpr (std::is_same_v<Record, KeyRecord>) {
        return {scope, record.counted_as(), budget_periods(record.limits)};
    } else {
        return {scope, record.id, budget_periods(record.limits)};
    }
}

BudgetOwner read_owner(const RecordChange &change) {
    switch (change.kind) {
        case RecordKind::team:
            return read_owner<TeamRecord>(Scope::team, change);
        case RecordKind::user:
            return read_owner<UserRecord>(Scope::user, change);
        case RecordKind::customer:
            return read_owner<UserRecord>(Scope::customer, change);
        case RecordKind::key:
            break;
    }
    return read_owner<KeyRecord>(Scope::key, change);
}

}  // namespace

Demand BudgetFloor::demand() const {
    Demand demand;
    demand.scope = scope;
    demand.id = id;
    demand.quantity = Quantity::cost;
    demand.period = period;
    return demand;
}

int64_t BudgetFloor::since(int64_t begin) const {
    int64_t sum = 0;
    for (const SpentPart &part : parts) {
        sum += part.at >= begin ? part.nanos : 0;
    }
    return sum;
}

std::vector<BudgetOwner> configured_owners(const Config &config) {
    std::vector<BudgetOwner> owners;
    auto add = [&](Scope scope, const std::string &id, const LimitSet &limits) {
        if (std::vector<Period> periods = budget_periods(limits); !periods.empty()) {
            owners.push_back({scope, id, std::move(periods)});
        }
    };
    for (const auto &[hash, key] : config.keys) {
        add(Scope::key, key->counted_as(), key->limits);
    }
    for (const auto &[id, team] : config.teams) {
        add(Scope::team, id, team->limits);
    }
    return owners;
}

std::vector<BudgetOwner> owners_of(std::span<const RecordChange> changes) {
    std::vector<BudgetOwner> owners;
    for (const RecordChange &change : changes) {
        BudgetOwner owner = change.json.empty() ? BudgetOwner() : read_owner(change);
        if (!owner.periods.empty()) {
            owners.push_back(std::move(owner));
        }
    }
    return owners;
}

void add_floors(const Config &config, const BudgetOwner &owner, std::vector<BudgetFloor> &floors) {
    int64_t in_all =
        has_own_rows(owner.id) ? spent_by_all(config, spend_of(owner.scope), owner.id).cost : 0;
    for (const Period &period : owner.periods) {
        if (in_all == 0) {
            return;
        }
        BudgetFloor floor = floor_of(config, owner, period, in_all);
        if (!floor.parts.empty()) {
            floors.push_back(std::move(floor));
        }
    }
}

void raise_configured(const Config &config) {
    std::vector<BudgetFloor> floors;
    for (const BudgetOwner &owner : configured_owners(config)) {
        floors.clear();
        add_floors(config, owner, floors);
        for (const BudgetFloor &floor : floors) {
            raise_in_zone(config, floor);
        }
    }
}

}  // namespace llm
