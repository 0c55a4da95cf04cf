// Leases in shared memory (entry: ZoneStore::open). Names are hashed and periods looked up before
// the lock is taken; under it there is only arithmetic on cells.
#include "ngx_llm_module/policy/zone_store.hpp"

#include <algorithm>

#include "ngx_llm_module/policy/zone_counter.hpp"
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
    void lose_cell();
    void go_back_to(Mark mark);
    Verdict try_all(size_t first_demand, size_t first_alternative, bool is_move);
    Verdict go_on(size_t first_demand, size_t first_alternative);
    Verdict go_on_locked(size_t first_demand, size_t first_alternative);
    bool has_place(size_t first_demand, Verdict &verdict);
    bool make_place(size_t first_demand, const Verdict &verdict);
    uint32_t to_hold(size_t first, size_t last) const;
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
    bool is_full_ = false;  // a counter, or what is held of one, found no place
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
        if (cell_ != kNoCell) {
            kept.holding = hold(table_, cell_, checked.meter, checked.held);
        }
        kept_.push_back(kept);
    }
}

ZoneLease::Mark ZoneLease::mark() const {
    return {kept_.size(), cell_ != kNoCell ? holdings_of(table_, cell_) : 0};
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

// It was taken back, with all that it held.
void ZoneLease::lose_cell() {
    cell_ = kNoCell;
    lasting_.holdings = 0;
    common_.holdings = 0;
    for (Kept &kept : kept_) {
        kept.holding = kNoCell;
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
    if (!has_place(0, verdict)) {
        return verdict;
    }
    take_range(0, demands_.lasting);
    lasting_ = mark();
    take_model(demands_.lasting);
    if (!demands_.alternatives.empty()) {
        take_deployment(verdict.alternative);
    }
    return verdict;
}

// Whether it may go on: what is to be held has a place, or the zone's policy lets pass what has
// none.
bool ZoneLease::has_place(size_t first_demand, Verdict &verdict) {
    if (verdict.admission == Admission::granted && !make_place(first_demand, verdict)) {
        is_full_ = true;
        verdict.admission = config_.deny_when_full ? Admission::failed : Admission::granted;
    }
    if (verdict.admission == Admission::refused && is_full_ && config_.deny_when_full) {
        verdict.admission = Admission::failed;
    }
    return verdict.admission == Admission::granted;
}

bool ZoneLease::make_place(size_t first_demand, const Verdict &verdict) {
    uint32_t many = to_hold(first_demand, demands_.common);
    if (verdict.alternative < demands_.alternatives.size()) {
        const Alternative &taken = demands_.alternatives[verdict.alternative];
        many += to_hold(taken.first, taken.first + taken.count);
    }
    for (bool is_urgent : {false, true}) {
        if (is_urgent && !take_back(table_, clocks_, true)) {
            break;
        }
        if (cell_ == kNoCell) {
            cell_ = new_lease(table_);
            serial_ = cell_ != kNoCell ? table_.leases[cell_].serial : 0;
        }
        if (cell_ != kNoCell && make_room(table_, cell_, holdings_of(table_, cell_) + many)) {
            return true;
        }
    }
    return many == 0;
}

// Requests are counted at once, the others when they end.
uint32_t ZoneLease::to_hold(size_t first, size_t last) const {
    uint32_t many = 0;
    for (size_t i = first; i < last; i++) {
        bool is_held = demands_.list[i].quantity != Quantity::requests;
        many += is_held && checked_[i].meter != kNoCell ? 1 : 0;
    }
    return many;
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
    is_full_ = false;
    prepare(first_demand, demands_.list.size());
    renew_periods();
    Verdict verdict = go_on_locked(first_demand, first_alternative);
    if (is_full_) {
        say_full();
    }
    return verdict;
}

Verdict ZoneLease::go_on_locked(size_t first_demand, size_t first_alternative) {
    MetersLock lock(table_, zone_pool(config_));
    if (!is_own_lease(table_, cell_, serial_)) {
        lose_cell();
    }
    leave_deployment();
    go_back_to(common_);
    Verdict verdict = try_all(first_demand, first_alternative, true);
    if (has_place(first_demand, verdict)) {
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
        hold_more(table_, cell_, kept.holding, more);
        kept.held += more;
    }
    return true;
}

void ZoneLease::count_used(const Kept &kept, const Used &used) {
    int64_t amount = used.of(kept.quantity, kept.tokens);
    if (amount <= 0 || kept.key.is_parallel) {
        return;
    }
    uint32_t meter = kept.holding != kNoCell ? kept.meter : find_meter(table_, kept.key, clocks_);
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
        lose_cell();
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

}  // namespace llm
