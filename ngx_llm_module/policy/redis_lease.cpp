// The life of a lease (entries: take, move, release, on_answer, on_lost). The waiter may end the
// lease, so it is told last.
#include "ngx_llm_module/policy/redis_lease.hpp"

#include <algorithm>
#include <utility>

#include "ngx_llm_module/policy/redis_asks.hpp"
#include "ngx_llm_module/policy/redis_counter.hpp"

namespace llm {
namespace {

// A stream that outgrows what it holds asks for an eighth more, so that it does not ask at every
// event.
constexpr int64_t kMorePart = 8;
constexpr int64_t kMoreLeast = 8;

// What a demand takes in a call of Redis, about.
constexpr size_t kBytesOfDemand = 24;

}  // namespace

RedisLease::RedisLease(RedisStore &store, Demands &demands, Waiter &waiter)
    : store_(store), demands_(demands), waiter_(waiter), id_(store.next_lease()) {}

RedisLease::~RedisLease() {
    RedisLease::release({});
}

Verdict RedisLease::take() {
    return go_on(Step::take, 0);
}

Verdict RedisLease::move(size_t first) {
    leave_deployment();
    if (first < demands_.alternatives.size()) {
        return go_on(Step::move, first);
    }
    drop_deployment();
    Verdict verdict;
    verdict.admission = Admission::refused;
    return verdict;
}

Verdict RedisLease::change_model() {
    leave_deployment();
    return go_on(Step::change, 0);
}

Verdict RedisLease::go_on(Step step, size_t first_alternative) {
    step_ = step;
    first_ = first_alternative;
    may_have_counted_ = false;
    if (place_ == Place::machine) {
        return without_redis();
    }
    const auto &all = demands_.alternatives;
    bool has_limits = step == Step::take
                          ? !demands_.list.empty()
                          : kept_.size() > (step == Step::move ? common_kept_ : lasting_kept_) ||
                                first_demand() < demands_.common;
    for (size_t i = first_alternative; i < all.size(); i++) {
        has_limits = has_limits || all[i].count > 0;
    }
    Verdict verdict;
    if (!has_limits) {
        verdict.alternative = first_alternative;
        keep(first_alternative);
        hold_gauge(first_alternative);
        return verdict;
    }
    verdict.admission = Admission::waiting;
    may_have_counted_ = ask();
    return may_have_counted_ ? verdict : without_redis();
}

// False: Redis is away.
bool RedisLease::ask() {
    auto ask = std::make_unique<AdmitAsk>(*this);
    AdmitAsk *pending = ask.get();
    if (!store_.ask(std::move(ask))) {
        return false;
    }
    pending_ = pending;
    return true;
}

// From there on demands are asked for; those before it are held.
size_t RedisLease::first_demand() const {
    return step_ == Step::take ? 0 : step_ == Step::move ? demands_.common : demands_.lasting;
}

void RedisLease::name_counters() {
    counters_.resize(demands_.list.size());
    for (size_t i = first_demand(); i < counters_.size(); i++) {
        counters_[i] = redis_counter(store_.config(), demands_.list[i]);
    }
}

size_t RedisLease::write_demands(RedisBatch &batch) {
    const auto &all = demands_.alternatives;
    name_counters();
    PackWriter work;
    work.reserve(kBytesOfDemand * demands_.list.size());
    std::vector<int64_t> places;
    places.reserve(demands_.list.size());
    auto add = [&](size_t first, size_t many) {
        work.add(int64_t(many));
        for (size_t i = first; i < first + many; i++) {
            places.push_back(batch.place_of(counters_[i]));
            work.add(places.back()).add(demands_.list[i].limit).add(demands_.list[i].amount);
        }
    };
    work.add(int64_t(all.size() - std::min(first_, all.size())));
    add(first_demand(), demands_.common - first_demand());
    for (size_t i = first_; i < all.size(); i++) {
        add(all[i].first, all[i].count);
    }
    if (step_ != Step::take) {
        PackWriter dropped = list_dropped(batch);
        PackWriter &task = batch.begin(RedisTask::move).add(batch.place_of(id_));
        task.add(int64_t(dropped.count())).add(dropped).add(work);
        return 0;
    }
    // How many fit together is known where each counter is asked for once.
    std::sort(places.begin(), places.end());
    bool has_twin = std::adjacent_find(places.begin(), places.end()) != places.end();
    return batch.admit(id_, std::move(work), !has_twin);
}

// What is held of the model before, when it is another one now.
PackWriter RedisLease::list_dropped(RedisBatch &batch) const {
    PackWriter places;
    for (size_t i = lasting_kept_; step_ == Step::change && i < common_kept_; i++) {
        places.add(batch.place_of(kept_[i].counter));
    }
    return places;
}

void RedisLease::on_answer(PackReader &answer, size_t after_it) {
    pending_ = nullptr;
    Verdict verdict = read_verdict(answer, after_it);
    waiter_.on_verdict(answer.is_bad() ? without_redis() : verdict);
}

std::optional<size_t> RedisLease::on_lost(RedisLoss loss) {
    pending_ = nullptr;
    may_have_counted_ = loss == RedisLoss::unknown;
    is_unsure_ = is_unsure_ || may_have_counted_;
    Verdict verdict = without_redis();
    std::optional<size_t> taken;
    if (verdict.admission == Admission::granted) {
        taken = verdict.alternative - first_ + 1;
    }
    waiter_.on_verdict(verdict);
    return taken;
}

// What denies without Redis may refuse all of it.
bool RedisLease::needs_answer() const {
    auto asked = demands_.list.begin() + ptrdiff_t(first_demand());
    bool counts = std::any_of(asked, demands_.list.end(), [](const Demand &demand) {
        return demand.quantity == Quantity::requests;
    });
    return counts && is_denied(first_demand(), demands_.list.size() - first_demand());
}

std::vector<std::vector<Settlement::Item>> RedisLease::asked_requests() const {
    std::vector<std::vector<Settlement::Item>> requests;
    auto add = [&](size_t first, size_t many) {
        auto &items = requests.emplace_back();
        for (size_t i = first; i < first + many; i++) {
            if (demands_.list[i].quantity == Quantity::requests) {
                items.push_back({counters_[i], demands_.list[i].amount});
            }
        }
    };
    add(first_demand(), demands_.common - first_demand());
    for (size_t i = first_; i < demands_.alternatives.size(); i++) {
        add(demands_.alternatives[i].first, demands_.alternatives[i].count);
    }
    return requests;
}

// Of leases that were admitted together the answer says what the last one saw.
Verdict RedisLease::read_verdict(PackReader &answer, size_t after_it) {
    Verdict verdict;
    const auto &all = demands_.alternatives;
    bool is_granted = answer.number() == 1;
    auto which = size_t(answer.number());
    verdict.wait_ms = answer.number();
    // The demands that the answer speaks of, in its order: all that were asked for, as far as they
    // are looked at.
    std::vector<size_t> asked;
    auto add = [&asked](size_t first, size_t many) {
        for (size_t i = 0; i < many; i++) {
            asked.push_back(first + i);
        }
    };
    add(first_demand(), demands_.common - first_demand());
    for (size_t i = first_; i < all.size(); i++) {
        if (!is_granted || i + 1 == first_ + which) {
            add(all[i].first, all[i].count);
        }
    }
    held_.resize(demands_.list.size());
    size_t reported = std::min(size_t(answer.number()), asked.size());
    for (size_t i = 0; i < reported; i++) {
        Demand &demand = demands_.list[asked[i]];
        demand.used = answer.number() - (is_granted ? int64_t(after_it) * demand.amount : 0);
        demand.reset_ms = answer.number();
        held_[asked[i]] = demand.amount;
    }
    for (int64_t i = answer.number(); i > 0 && !answer.is_bad(); i--) {
        auto number = size_t(answer.number()) - 1;
        int64_t held = answer.number();
        if (number < asked.size()) {
            held_[asked[number]] = held;
        }
    }
    if (answer.is_bad()) {
        return verdict;
    }
    if (is_granted) {
        for (size_t i : asked) {
            demands_.list[i].held = held_[i];
        }
        verdict.alternative = which > 0 ? first_ + which - 1 : 0;
        verdict.wait_ms = 0;
        place_ = Place::redis;
        keep(verdict.alternative);
        hold_gauge(verdict.alternative);
        return verdict;
    }
    if (step_ == Step::change) {
        forget_model();
    }
    if (step_ != Step::take) {
        drop_deployment();
    }
    verdict.admission = Admission::refused;
    if (which > 0 && which <= asked.size()) {
        Demand &by = demands_.list[asked[which - 1]];
        verdict.refused_by = &by;
        if (which > reported) {  // of deployments it is only known that they have no room
            by.used = by.limit;
            by.reset_ms = verdict.wait_ms;
        }
    }
    return verdict;
}

OnOutage RedisLease::on_outage(const Demand &demand) const {
    return demand.on_outage.value_or(store_.redis().on_outage);
}

bool RedisLease::is_denied(size_t first, size_t many) const {
    auto begin = demands_.list.begin() + ptrdiff_t(first);
    return std::any_of(begin, begin + ptrdiff_t(many),
                       [&](const Demand &demand) { return on_outage(demand) == OnOutage::deny; });
}

// What each limit's on_outage says. A lease that began in Redis stays there: this machine counts
// what it moves to, and Redis is asked again when it moves next.
Verdict RedisLease::without_redis() {
    held_.assign(demands_.list.size(), 0);
    name_counters();
    const auto &all = demands_.alternatives;
    machine_alternatives_.clear();
    for (size_t i = first_; i < all.size(); i++) {
        if (!is_denied(all[i].first, all[i].count)) {
            machine_alternatives_.push_back(i);
        }
    }
    Verdict verdict;
    if (is_denied(first_demand(), demands_.common - first_demand()) ||
        (machine_alternatives_.empty() && first_ < all.size())) {
        verdict.admission = Admission::failed;
        return verdict;
    }
    verdict = take_on_machine();
    if (verdict.admission == Admission::granted) {
        keep(verdict.alternative);
    } else if (step_ == Step::change) {
        forget_model();
    }
    return verdict;
}

// Of these, what this machine counts itself.
void RedisLease::list_for_machine(size_t first, size_t many) {
    for (size_t i = first; i < first + many; i++) {
        if (on_outage(demands_.list[i]) == OnOutage::local) {
            machine_.list.push_back(demands_.list[i]);
            machine_demands_.push_back(i);
        }
    }
}

// In its words the verdict speaks of machine_, in ours of demands_.
Verdict RedisLease::take_on_machine() {
    if (step_ == Step::take) {
        machine_.list.clear();
        machine_demands_.clear();
        list_for_machine(0, demands_.lasting);
        machine_.lasting = machine_.list.size();
    }
    if (step_ != Step::move) {
        machine_.list.resize(machine_.lasting);
        machine_demands_.resize(machine_.lasting);
        list_for_machine(demands_.lasting, demands_.common - demands_.lasting);
        machine_.common = machine_.list.size();
    }
    machine_.list.resize(machine_.common);
    machine_demands_.resize(machine_.common);
    machine_.alternatives.clear();
    for (size_t i : machine_alternatives_) {
        const Alternative &alternative = demands_.alternatives[i];
        auto first = uint32_t(machine_.list.size());
        list_for_machine(alternative.first, alternative.count);
        machine_.alternatives.push_back(
            {alternative.slot, first, uint32_t(machine_.list.size()) - first});
    }
    if (local_ == nullptr) {
        local_ = store_.local().open(machine_, waiter_);
    }
    Verdict verdict = step_ == Step::take   ? local_->take()
                      : step_ == Step::move ? local_->move(0)
                                            : local_->change_model();
    for (size_t i = 0; i < machine_.list.size(); i++) {
        Demand &demand = demands_.list[machine_demands_[i]];
        demand.used = machine_.list[i].used;
        demand.held = machine_.list[i].held;
        demand.reset_ms = machine_.list[i].reset_ms;
        held_[machine_demands_[i]] = demand.amount;
    }
    if (verdict.refused_by != nullptr) {
        auto by = size_t(verdict.refused_by - machine_.list.data());
        verdict.refused_by = &demands_.list[machine_demands_[by]];
    }
    if (verdict.admission == Admission::granted) {
        if (place_ == Place::nowhere && !machine_.list.empty()) {
            place_ = Place::machine;
        }
        verdict.alternative = verdict.alternative < machine_alternatives_.size()
                                  ? machine_alternatives_[verdict.alternative]
                                  : 0;
    }
    return verdict;
}

void RedisLease::keep(size_t alternative) {
    kept_.reserve(demands_.list.size());
    held_.resize(demands_.list.size());
    if (step_ == Step::take) {
        keep_range(0, demands_.lasting);
        lasting_kept_ = kept_.size();
    }
    if (step_ != Step::move) {
        kept_.resize(lasting_kept_);
        keep_range(demands_.lasting, demands_.common);
        common_kept_ = kept_.size();
    }
    kept_.resize(common_kept_);
    if (alternative < demands_.alternatives.size()) {
        const Alternative &taken = demands_.alternatives[alternative];
        keep_range(taken.first, taken.first + taken.count);
    }
    if (!is_enlisted_ && !kept_.empty() && place_ != Place::nowhere) {
        store_.enlist(*this);
        is_enlisted_ = true;
    }
}

void RedisLease::keep_range(size_t first, size_t last) {
    for (size_t i = first; i < last; i++) {
        const Demand &demand = demands_.list[i];
        if (demand.quantity == Quantity::requests && may_have_counted_) {
            continue;  // there is nothing to settle, or it could count twice
        }
        Kept &kept = kept_.emplace_back();
        kept.quantity = demand.quantity;
        kept.tokens = demand.tokens;
        kept.limit = demand.limit;
        kept.counter = std::move(counters_[i]);
        kept.period = demand.period;
        kept.held = held_[i];
    }
}

// Redis counts; this machine knows which deployment is in flight.
void RedisLease::hold_gauge(size_t alternative) {
    machine_.list.clear();
    machine_.lasting = 0;
    machine_.common = 0;
    machine_.alternatives.clear();
    if (alternative < demands_.alternatives.size()) {
        machine_.alternatives.push_back({demands_.alternatives[alternative].slot, 0, 0});
    }
    if (local_ == nullptr) {
        local_ = store_.local().open(machine_, waiter_);
        (void)local_->take();
    } else if (!machine_.alternatives.empty()) {
        (void)(step_ == Step::change ? local_->change_model() : local_->move(0));
    }
}

// Neither model nor deployment is held.
void RedisLease::forget_model() {
    kept_.resize(lasting_kept_);
    common_kept_ = lasting_kept_;
}

void RedisLease::add_to_deployment(const Used &used) {
    of_deployment_ += used;
    if (local_ != nullptr) {
        local_->add_to_deployment(used);
    }
}

// That is still to be counted, in the period of now.
int64_t RedisLease::amount_used(Kept &kept, const Used &used) const {
    int64_t amount = kept.counter.kind != 'p' && !kept.is_left ? kept.of(used) : 0;
    if (amount > 0) {
        renew_period(store_.config(), kept.period, kept.counter);
    }
    return amount;
}

// What was used of it is counted, whatever becomes of what it holds.
void RedisLease::leave_deployment() {
    std::vector<Settlement::Item> items;
    for (size_t i = common_kept_; i < kept_.size(); i++) {
        Kept &kept = kept_[i];
        if (int64_t amount = amount_used(kept, of_deployment_); amount > 0) {
            items.push_back({kept.counter, amount});
        }
        kept.is_left = true;
    }
    of_deployment_ = Used();
    if (!items.empty()) {
        store_.settle({0, std::move(items), ngx_current_msec});
    }
}

// Without waiting.
void RedisLease::drop_deployment() {
    // Where Redis is away what is held stays ours, to be given back later.
    if (place_ == Place::redis && kept_.size() > common_kept_ &&
        store_.ask(std::make_unique<DropAsk>(id_))) {
        kept_.resize(common_kept_);
    }
    if (local_ != nullptr) {
        (void)local_->move(SIZE_MAX);
    }
}

bool RedisLease::write_holdings(RedisBatch &batch) const {
    auto is_held = [](const Kept &kept) { return kept.held > 0 && !kept.is_counted(); };
    auto middle = kept_.begin() + ptrdiff_t(std::min(common_kept_, kept_.size()));
    auto common = std::count_if(kept_.begin(), middle, is_held);
    auto all = common + std::count_if(middle, kept_.end(), is_held);
    if (all == 0) {
        return false;
    }
    PackWriter &work = batch.begin(RedisTask::enter).add(batch.place_of(id_));
    work.add(int64_t(common)).add(int64_t(all));
    for (const Kept &kept : kept_) {
        if (is_held(kept)) {
            work.add(batch.place_of(kept.counter)).add(kept.held);
        }
    }
    return true;
}

// Asks without waiting: when a limit has run out, the next look tells.
bool RedisLease::grow(const Used &so_far, const Used &of_deployment) {
    if (place_ == Place::machine) {
        return local_->grow(so_far, of_deployment);
    }
    auto used_of = [&](const Kept &kept) {
        return kept.of(size_t(&kept - kept_.data()) < common_kept_ ? so_far : of_deployment);
    };
    // Before it has used all, so that the answer is there when it has.
    auto needs_more = [&](const Kept &kept) {
        int64_t used = used_of(kept);
        return !kept.is_counted() && !kept.is_last && used + used / (2 * kMorePart) > kept.held;
    };
    has_run_out_ = has_run_out_ || std::any_of(kept_.begin(), kept_.end(), [&](const Kept &kept) {
                       return kept.is_last && used_of(kept) > kept.held;
                   });
    if (has_run_out_ || growing_ != nullptr || place_ != Place::redis ||
        std::none_of(kept_.begin(), kept_.end(), needs_more)) {
        return !has_run_out_;
    }
    for (Kept &kept : kept_) {
        renew_period(store_.config(), kept.period, kept.counter);
        kept.is_growing = needs_more(kept);
        kept.used = used_of(kept);
        kept.wanted = kept.used + kept.used / kMorePart + kMoreLeast;
    }
    auto ask = std::make_unique<GrowAsk>(*this);
    GrowAsk *growing = ask.get();
    growing_ = store_.ask(std::move(ask)) ? growing : nullptr;
    return true;
}

size_t RedisLease::write_growth(RedisBatch &batch) const {
    auto count =
        std::count_if(kept_.begin(), kept_.end(), [](const Kept &kept) { return kept.is_growing; });
    if (count == 0) {
        return 0;
    }
    PackWriter &work = batch.begin(RedisTask::grow).add(batch.place_of(id_)).add(int64_t(count));
    for (size_t i = 0; i < kept_.size(); i++) {
        const Kept &kept = kept_[i];
        if (kept.is_growing) {
            work.add(batch.place_of(kept.counter)).add(int64_t(i >= common_kept_));
            work.add(kept.limit).add(kept.used).add(kept.wanted).add(kept.held);
        }
    }
    return size_t(count);
}

void RedisLease::on_grown(const std::vector<int64_t> &answer) {
    growing_ = nullptr;
    size_t i = 0;
    for (Kept &kept : kept_) {
        if (std::exchange(kept.is_growing, false) && i < answer.size()) {
            int64_t held = answer[i++];
            has_run_out_ = has_run_out_ || held < 0;
            kept.held = held < 0 ? kept.held : held;
            kept.is_last = kept.held < kept.wanted;
        }
    }
}

void RedisLease::release(const Used &used) {
    if (is_released_) {
        return;
    }
    is_released_ = true;
    if (pending_ != nullptr) {
        pending_->forget();
        pending_ = nullptr;
    }
    if (growing_ != nullptr) {
        growing_->forget();
        growing_ = nullptr;
    }
    if (local_ != nullptr) {
        local_->release(used);
    }
    if (is_enlisted_) {
        store_.strike(*this);
    }
    if (kept_.empty() && !is_unsure_) {
        return;  // nothing was taken, or only requests that have counted already
    }
    Settlement settlement{id_, {}, ngx_current_msec};
    for (size_t i = 0; i < kept_.size(); i++) {
        Kept &kept = kept_[i];
        if (int64_t amount = amount_used(kept, i < common_kept_ ? used : of_deployment_);
            amount > 0) {
            settlement.items.push_back({std::move(kept.counter), amount});
        }
    }
    store_.settle(std::move(settlement));
}

}  // namespace llm
