// Leases in shared memory (entry: ZoneStore::open). Names are hashed and periods looked up before
// the lock is taken; under it there is only arithmetic on cells.
#include "ngx_llm_module/policy/zone_store.hpp"

#include <algorithm>

#include "ngx_llm_module/policy/budget_floors.hpp"
#include "ngx_llm_module/policy/demand_name.hpp"
#include "ngx_llm_module/state/metrics.hpp"

namespace llm {
namespace {

// The refusal that lasts longest: never, a time, when another request ends.
bool lasts_longer(int64_t a, int64_t b) {
    return b >= 0 && (a < 0 || a > b);
}

// The line once a second and worker: many requests may come to a full table.
void say_full() {
    count(Metric::limit_uncounted, {}, 1);
    static time_t last = 0;
    if (last != ngx_time()) {
        last = ngx_time();
        ngx_log_error(NGX_LOG_WARN, ngx_cycle->log, 0,
                      "llm: the zone is full, a limit could not be counted (llm_zone)");
    }
}

// A calendar period that is over gives way to the one of now.
void renew_period(const Config &config, MeterKey &key, int64_t now) {
    if (key.period.kind == PeriodKind::calendar && (now >= key.end || now < key.begin)) {
        PeriodBounds bounds = calendar_bounds(config.time_zone, key.period, now);
        key.begin = bounds.begin;
        key.end = bounds.end;
    }
}

// `name`: room for one, used again.
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

class ZoneLease final : public Lease {
  public:
    ZoneLease(const Config &config, Meters &table, Demands &demands)
        : config_(config), table_(table), demands_(demands) {}
    ~ZoneLease() override { ZoneLease::release({}); }

    Verdict take() override;
    Verdict move(size_t first) override;
    Verdict change_model() override;
    bool grow(const Used &so_far, const Used &of_deployment) override;
    void add_to_deployment(const Used &used) override { of_deployment_ += used; }
    void release(const Used &used) override;

  private:
    Verdict take_locked();

    // What of a demand is needed to settle it: the demand itself may be gone by then.
    struct Kept {
        Quantity quantity;
        TokenKind tokens;
        int64_t limit;
        MeterKey key;
        uint32_t meter;
        uint32_t holding;  // of the cell; kNoCell: nothing is reserved
        int64_t held;
    };
    // How much of kept_, and of what the cell holds, was there when a part was taken.
    struct Mark {
        size_t kept = 0;
        uint32_t holdings = 0;
    };
    struct Checked {
        uint32_t meter = kNoCell;
        int64_t held = 0;
    };

    MeterKey key_of(const Demand &demand);
    void prepare(size_t first, size_t last);
    bool check(size_t first, size_t last, Verdict &verdict);
    bool check_one(size_t index, int64_t &wait);
    void take_range(size_t first, size_t last);
    Mark mark() const;
    void take_model(size_t first);
    void take_deployment(size_t alternative);
    void go_back_to(Mark mark);
    Verdict try_all(size_t first_demand, size_t first_alternative, bool is_move);
    Verdict go_on(size_t first_demand, size_t first_alternative);
    void renew_periods();
    void leave_deployment();
    void count_used(const Kept &kept, const Used &used);

    const Config &config_;
    Meters &table_;
    Demands &demands_;
    std::vector<MeterKey> keys_;    // of demands_.list
    std::vector<Checked> checked_;  // the same
    std::vector<Kept> kept_;        // what must be settled
    Mark lasting_;                  // the others are of the model and its deployment
    Mark common_;                   // the others are of the deployment
    size_t deployments_ = 0;        // from there on kept_ is
    Used of_deployment_;
    uint32_t cell_ = kNoCell;
    uint32_t serial_ = 0;
    Clocks clocks_{};
    std::string name_;
    bool is_full_ = false;  // a counter found no place
    bool is_released_ = false;
};

MeterKey ZoneLease::key_of(const Demand &demand) {
    return meter_key(config_, table_, demand, clocks_.now, name_);
}

void ZoneLease::prepare(size_t first, size_t last) {
    keys_.resize(demands_.list.size());
    checked_.resize(demands_.list.size());
    for (size_t i = first; i < last; i++) {
        keys_[i] = key_of(demands_.list[i]);
        checked_[i] = {};
    }
}

// Under the lock. Fills the demand's report, and `wait` when it does not fit.
bool ZoneLease::check_one(size_t index, int64_t &wait) {
    Demand &demand = demands_.list[index];
    const MeterKey &key = keys_[index];
    Checked &checked = checked_[index];
    checked.meter = find_meter(table_, key, clocks_);
    if (checked.meter == kNoCell) {
        is_full_ = true;
        wait = 0;
        return !config_.deny_when_full;
    }
    Meter &meter = table_.meters[checked.meter];
    int64_t used = meter_used(meter, key, clocks_);
    Room room = room_for(demand.amount, demand.limit, used, meter.reserved);
    checked.held = room.held;
    demand.used = used + meter.reserved;
    demand.held = 0;
    demand.reset_ms = 0;
    if (!key.is_parallel) {
        switch (key.period.kind) {
            case PeriodKind::sliding:
                demand.reset_ms = window_frees(meter.window, key.period, clocks_.ms, used);
                break;
            case PeriodKind::calendar:
                demand.reset_ms = (key.end - clocks_.now) * 1000;
                break;
            case PeriodKind::forever:
                demand.reset_ms = -1;
                break;
        }
    }
    if (room.fits) {
        return true;
    }
    if (demand.limit <= 0) {
        wait = -1;
    } else if (key.is_parallel) {
        wait = 0;
    } else if (key.period.kind == PeriodKind::sliding) {
        int64_t excess = excess_of(demand.amount, demand.limit, used, meter.reserved);
        wait = std::max<int64_t>(window_frees(meter.window, key.period, clocks_.ms, excess), 0);
    } else {
        wait = used < demand.limit ? 0 : demand.reset_ms;  // else what is reserved may come back
    }
    return false;
}

bool ZoneLease::check(size_t first, size_t last, Verdict &verdict) {
    bool fits = true;
    for (size_t i = first; i < last; i++) {
        int64_t wait = 0;
        if (!check_one(i, wait) && (fits || lasts_longer(wait, verdict.wait_ms))) {
            verdict.refused_by = &demands_.list[i];
            verdict.wait_ms = wait;
            fits = false;
        }
    }
    return fits;
}

void ZoneLease::take_range(size_t first, size_t last) {
    for (size_t i = first; i < last; i++) {
        Demand &demand = demands_.list[i];
        const Checked &checked = checked_[i];
        if (checked.meter == kNoCell) {
            continue;
        }
        demand.used += checked.held;
        demand.held = checked.held;
        if (demand.quantity == Quantity::requests) {
            meter_add(table_, table_.meters[checked.meter], keys_[i], clocks_, checked.held);
            continue;
        }
        Kept kept{demand.quantity, demand.tokens, demand.limit, keys_[i],
                  checked.meter,   kNoCell,       checked.held};
        if (cell_ != kNoCell && hold(table_, cell_, checked.meter, checked.held)) {
            kept.holding = table_.leases[cell_].count - 1;
        }
        kept_.push_back(kept);
    }
}

ZoneLease::Mark ZoneLease::mark() const {
    return {kept_.size(), cell_ != kNoCell ? table_.leases[cell_].count : 0};
}

// The demands from `first` on that are not the deployment's.
void ZoneLease::take_model(size_t first) {
    take_range(first, demands_.common);
    common_ = mark();
    deployments_ = common_.kept;
}

void ZoneLease::take_deployment(size_t alternative) {
    const Alternative &taken = demands_.alternatives[alternative];
    take_range(taken.first, taken.first + taken.count);
    if (cell_ != kNoCell) {
        move_slot(table_, cell_, taken.slot);
    }
}

// What was taken after it is given back.
void ZoneLease::go_back_to(Mark mark) {
    if (cell_ != kNoCell) {
        drop_holdings(table_, cell_, mark.holdings);
        move_slot(table_, cell_, kNoSlot);
    }
    kept_.resize(mark.kept);
    deployments_ = mark.kept;
}

void ZoneLease::renew_periods() {
    for (Kept &kept : kept_) {
        renew_period(config_, kept.key, clocks_.now);
    }
}

// Under the lock. What it was used for stays counted there.
void ZoneLease::leave_deployment() {
    for (size_t i = deployments_; i < kept_.size(); i++) {
        count_used(kept_[i], of_deployment_);
    }
    of_deployment_ = Used();
}

// Under the lock, twice at most: dead processes may hold what is missing.
Verdict ZoneLease::try_all(size_t first_demand, size_t first_alternative, bool is_move) {
    Verdict verdict;
    if (!check(first_demand, demands_.common, verdict)) {
        verdict.admission = Admission::refused;
        return verdict;
    }
    const auto &all = demands_.alternatives;
    if (first_alternative >= all.size()) {
        verdict.admission = all.empty() && !is_move ? Admission::granted : Admission::refused;
        return verdict;
    }
    for (size_t i = first_alternative; i < all.size(); i++) {
        Verdict found;
        if (check(all[i].first, all[i].first + all[i].count, found)) {
            found.alternative = i;
            return found;
        }
        if (verdict.refused_by == nullptr || lasts_longer(verdict.wait_ms, found.wait_ms)) {
            verdict.refused_by = found.refused_by;
            verdict.wait_ms = found.wait_ms;
        }
    }
    verdict.admission = Admission::refused;
    return verdict;
}

Verdict ZoneLease::take() {
    clocks_ = clocks_now();
    prepare(0, demands_.list.size());
    kept_.reserve(demands_.list.size());
    Verdict verdict = take_locked();
    if (is_full_) {
        say_full();
    }
    return verdict;
}

Verdict ZoneLease::take_locked() {
    MetersLock lock(table_, zone_pool(config_));
    take_back(table_, clocks_, false);
    Verdict verdict = try_all(0, 0, false);
    if (verdict.admission == Admission::refused && take_back(table_, clocks_, true)) {
        verdict = try_all(0, 0, false);
    }
    if (verdict.admission != Admission::granted) {
        if (is_full_ && config_.deny_when_full) {
            verdict.admission = Admission::failed;
        }
        return verdict;
    }
    cell_ = new_lease(table_);
    if (cell_ != kNoCell) {
        serial_ = table_.leases[cell_].serial;
    }
    take_range(0, demands_.lasting);
    lasting_ = mark();
    take_model(demands_.lasting);
    if (!demands_.alternatives.empty()) {
        take_deployment(verdict.alternative);
    }
    if (cell_ != kNoCell) {
        commit_lease(table_, cell_);
    }
    return verdict;
}

Verdict ZoneLease::move(size_t first) {
    return go_on(demands_.common, first);
}

Verdict ZoneLease::change_model() {
    common_ = lasting_;
    return go_on(demands_.lasting, 0);
}

// With the demands from the given one on: what was held of the model or the deployment before goes.
Verdict ZoneLease::go_on(size_t first_demand, size_t first_alternative) {
    clocks_ = clocks_now();
    prepare(first_demand, demands_.list.size());
    renew_periods();
    MetersLock lock(table_, zone_pool(config_));
    if (!is_own_lease(table_, cell_, serial_)) {
        cell_ = kNoCell;
    }
    leave_deployment();
    go_back_to(common_);
    Verdict verdict = try_all(first_demand, first_alternative, true);
    if (verdict.admission == Admission::granted) {
        take_model(first_demand);
        take_deployment(verdict.alternative);
    }
    return verdict;
}

bool ZoneLease::grow(const Used &so_far, const Used &of_deployment) {
    auto more_of = [&](const Kept &kept) {
        bool is_common = size_t(&kept - kept_.data()) < deployments_;
        return (is_common ? so_far : of_deployment).of(kept.quantity, kept.tokens) - kept.held;
    };
    bool has_more = std::any_of(kept_.begin(), kept_.end(),
                                [&](const Kept &kept) { return more_of(kept) > 0; });
    if (!has_more || is_released_) {
        return true;
    }
    clocks_ = clocks_now();
    renew_periods();
    MetersLock lock(table_, zone_pool(config_));
    if (!is_own_lease(table_, cell_, serial_)) {
        return true;
    }
    for (Kept &kept : kept_) {
        int64_t more = more_of(kept);
        if (more <= 0 || kept.holding == kNoCell) {
            continue;
        }
        Meter &meter = table_.meters[kept.meter];
        int64_t used = meter_used(meter, kept.key, clocks_);
        if (used + meter.reserved + more > kept.limit) {
            return false;
        }
        meter.reserved += more;
        table_.leases[cell_].holdings[kept.holding].held += more;
        kept.held += more;
    }
    return true;
}

void ZoneLease::count_used(const Kept &kept, const Used &used) {
    int64_t amount = used.of(kept.quantity, kept.tokens);
    if (amount <= 0 || kept.key.is_parallel) {
        return;
    }
    uint32_t meter = cell_ != kNoCell && kept.holding != kNoCell
                         ? kept.meter
                         : find_meter(table_, kept.key, clocks_);
    if (meter != kNoCell) {
        meter_add(table_, table_.meters[meter], kept.key, clocks_, amount);
    }
}

void ZoneLease::release(const Used &used) {
    if (is_released_) {
        return;
    }
    is_released_ = true;
    if (kept_.empty() && cell_ == kNoCell) {
        return;
    }
    clocks_ = clocks_now();
    renew_periods();
    MetersLock lock(table_, zone_pool(config_));
    if (!is_own_lease(table_, cell_, serial_)) {
        cell_ = kNoCell;
    }
    for (size_t i = 0; i < std::min(deployments_, kept_.size()); i++) {
        count_used(kept_[i], used);
    }
    leave_deployment();
    if (cell_ != kNoCell) {
        free_lease(table_, cell_);
        cell_ = kNoCell;
    }
}

// Without a zone nothing is counted.
class NoLease final : public Lease {
  public:
    Verdict take() override { return {}; }
    Verdict move(size_t first) override {
        Verdict verdict;
        verdict.alternative = first;
        return verdict;
    }
    Verdict change_model() override { return {}; }
    bool grow(const Used &, const Used &) override { return true; }
    void add_to_deployment(const Used &) override {}
    void release(const Used &) override {}
};

}  // namespace

std::unique_ptr<Lease> ZoneStore::open(Demands &demands, Waiter &) {
    Meters *table = find_meters(config_);
    if (table == nullptr) {
        return std::make_unique<NoLease>();
    }
    return std::make_unique<ZoneLease>(config_, *table, demands);
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
