// The life of a lease (entries: take, move, release, on_reply, on_lost). The waiter may end the
// lease, so it is told last.
#include "ngx_llm_module/policy/redis_lease.hpp"

#include <algorithm>
#include <utility>

#include "ngx_llm_module/policy/demand_name.hpp"
#include "ngx_llm_module/state/window.hpp"

namespace llm {
namespace {

// A sum outlives its period by this, so that it can still be looked at.
constexpr int64_t kAfterPeriodMs = 24 * 3600 * 1000;

// A stream that outgrows what it holds asks for an eighth more, so that it does not ask at every
// event.
constexpr int64_t kMorePart = 8;
constexpr int64_t kMoreLeast = 8;

// Names stand in texts of words: everything else is written as %XX.
void append_encoded(std::string &out, std::string_view name) {
    for (unsigned char c : name) {
        bool is_plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
                        (c >= 'A' && c <= 'Z') || c == ':' || c == '-' || c == '_' || c == '.' ||
                        c == '/' || c == '@';
        if (is_plain) {
            out.push_back(char(c));
        } else {
            out.push_back('%');
            out.push_back("0123456789ABCDEF"[c >> 4]);
            out.push_back("0123456789ABCDEF"[c & 15]);
        }
    }
}

}  // namespace

RedisCounter redis_counter(const Config &config, const Demand &demand, int64_t &reset_ms) {
    RedisCounter counter;
    std::string name;
    append_name(demand, name);
    append_encoded(counter.name, name);
    reset_ms = -1;
    if (demand.quantity == Quantity::parallel) {
        counter.kind = 'p';
        return counter;
    }
    switch (demand.period.kind) {
        case PeriodKind::sliding:
            counter.step_ms = step_ms(demand.period);
            counter.period_ms = int64_t(demand.period.seconds) * 1000;
            break;
        case PeriodKind::calendar: {
            PeriodBounds bounds = calendar_bounds(config.time_zone, demand.period, ngx_time());
            counter.kind = 's';
            counter.name.append("@").append(std::to_string(bounds.begin));
            reset_ms = (bounds.end - int64_t(ngx_time())) * 1000;
            counter.life_ms = reset_ms + kAfterPeriodMs;
            break;
        }
        case PeriodKind::forever:
            counter.kind = 's';
            break;
    }
    return counter;
}

// The command outlives the lease when its request ends while it waits.
class AdmitCommand final : public RedisCommand {
  public:
    explicit AdmitCommand(RedisLease &lease) : lease_(&lease), id_(lease.id()) {}
    void forget() { lease_ = nullptr; }

    void on_reply(const RedisReply &reply) override {
        if (lease_ != nullptr) {
            lease_->on_reply(reply);
        } else if (reply[0].integer() == 1) {
            give_back();
        }
    }
    void on_lost(RedisLoss loss) override {
        if (lease_ != nullptr) {
            lease_->on_lost(loss);
        } else if (loss == RedisLoss::unknown) {
            give_back();
        }
    }

  private:
    void give_back() {
        if (RedisStore *store = RedisStore::current()) {
            store->settle({id_, {}, ngx_current_msec, 0});
        }
    }

    RedisLease *lease_;
    std::string id_;
};

class GrowCommand final : public RedisCommand {
  public:
    explicit GrowCommand(RedisLease &lease) : lease_(&lease) {}
    void forget() { lease_ = nullptr; }

    void on_reply(const RedisReply &reply) override {
        if (lease_ != nullptr) {
            lease_->on_grown(reply);
        }
    }
    // The request goes on: what it uses is counted at its end.
    void on_lost(RedisLoss) override {
        if (lease_ != nullptr) {
            lease_->on_grown(RedisReply(nullptr));
        }
    }

  private:
    RedisLease *lease_;
};

RedisLease::RedisLease(RedisStore &store, Demands &demands, Waiter &waiter)
    : store_(store), demands_(demands), waiter_(waiter), id_(store.next_lease()) {}

RedisLease::~RedisLease() {
    RedisLease::release({});
}

Verdict RedisLease::take() {
    if (demands_.list.empty()) {
        Verdict verdict;
        keep(0, false);
        return verdict;
    }
    Verdict verdict;
    verdict.admission = Admission::waiting;
    return ask(0, false) ? verdict : without_redis(false);
}

Verdict RedisLease::move(size_t first) {
    Verdict verdict;
    verdict.alternative = first;
    if (first >= demands_.alternatives.size()) {
        drop_deployment();
        verdict.admission = Admission::refused;
        return verdict;
    }
    if (place_ == Place::machine) {
        return without_redis(true);
    }
    bool has_limits = kept_.size() > common_kept_;
    for (size_t i = first; i < demands_.alternatives.size(); i++) {
        has_limits = has_limits || demands_.alternatives[i].count > 0;
    }
    if (!has_limits) {
        keep(first, true);
        return verdict;
    }
    first_ = first;
    verdict.admission = Admission::waiting;
    return ask(first, true) ? verdict : without_redis(true);
}

// Sends all that is asked for. False: Redis is away.
bool RedisLease::ask(size_t first_alternative, bool is_move) {
    first_ = first_alternative;
    is_moving_ = is_move;
    auto command = std::make_unique<AdmitCommand>(*this);
    static const RedisScript &script = redis_script("admit");
    command->script = &script;
    RespArgs &args = command->args;
    const auto &list = demands_.list;
    const auto &all = demands_.alternatives;
    args.add(int64_t(1)).add(store_.base()).add(id_);
    args.add(int64_t(store_.client().config().lease)).add(int64_t(is_move));
    args.add(int64_t(demands_.common)).add(int64_t(list.size()));
    args.add(int64_t(all.size() - std::min(first_alternative, all.size())));
    for (const Demand &demand : list) {
        int64_t reset_ms = -1;
        RedisCounter counter = redis_counter(store_.config(), demand, reset_ms);
        bool is_counted = demand.quantity == Quantity::requests;
        args.add(counter.name).add(std::string_view(&counter.kind, 1)).add(int64_t(is_counted));
        args.add(counter.step_ms).add(counter.period_ms).add(demand.limit).add(demand.amount);
        args.add(counter.life_ms).add(reset_ms);
    }
    for (size_t i = first_alternative; i < all.size(); i++) {
        args.add(int64_t(all[i].first) + 1).add(int64_t(all[i].count));
    }
    pending_ = command.get();
    if (store_.client().send(std::move(command), store_.base())) {
        return true;
    }
    pending_ = nullptr;
    return false;
}

void RedisLease::on_reply(const RedisReply &reply) {
    pending_ = nullptr;
    if (reply.size() < 3 + 3 * demands_.list.size()) {
        if (reply.is_error()) {
            ngx_str_t text = str(reply.text());
            ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0, "llm: redis says: %V", &text);
        }
        waiter_.on_verdict(without_redis(is_moving_));
        return;
    }
    waiter_.on_verdict(read_verdict(reply));
}

void RedisLease::on_lost(RedisLoss loss) {
    pending_ = nullptr;
    if (loss == RedisLoss::unknown && !is_moving_ &&
        store_.client().config().on_outage != OnOutage::local) {
        store_.settle_later({id_, {}, ngx_current_msec, 0});  // Redis may have granted it
        id_ = store_.next_lease();
    }
    waiter_.on_verdict(without_redis(is_moving_));
}

Verdict RedisLease::read_verdict(const RedisReply &reply) {
    held_.resize(demands_.list.size());
    // The common ones were not looked at when only the deployment changes.
    for (size_t i = is_moving_ ? demands_.common : 0; i < demands_.list.size(); i++) {
        demands_.list[i].used = reply[3 + 3 * i].integer();
        demands_.list[i].reset_ms = reply[4 + 3 * i].integer();
        held_[i] = reply[5 + 3 * i].integer();
    }
    Verdict verdict;
    auto which = size_t(reply[1].integer());
    if (reply[0].integer() == 1) {
        verdict.alternative = which > 0 ? first_ + which - 1 : 0;
        place_ = Place::redis;
        keep(verdict.alternative, is_moving_);
        return verdict;
    }
    if (is_moving_) {
        drop_deployment();
    }
    verdict.admission = Admission::refused;
    verdict.refused_by =
        which > 0 && which <= demands_.list.size() ? &demands_.list[which - 1] : nullptr;
    verdict.wait_ms = reply[2].integer();
    return verdict;
}

// What on_outage says. Leases that began in Redis stay there; only their move is not checked.
Verdict RedisLease::without_redis(bool is_move) {
    Verdict verdict;
    verdict.alternative = is_move ? first_ : 0;
    OnOutage policy = store_.client().config().on_outage;
    if (policy == OnOutage::deny) {
        verdict.admission = Admission::failed;
        return verdict;
    }
    held_.assign(demands_.list.size(), 0);
    if (policy == OnOutage::allow || (is_move && place_ != Place::machine)) {
        keep(verdict.alternative, is_move);
        return verdict;
    }
    if (!is_move) {
        local_ = store_.local().open(demands_, waiter_);
    }
    verdict = is_move ? local_->move(verdict.alternative) : local_->take();
    if (verdict.admission == Admission::granted) {
        place_ = Place::machine;
        for (size_t i = 0; i < demands_.list.size(); i++) {
            held_[i] = demands_.list[i].amount;
        }
        keep(verdict.alternative, is_move);
    }
    return verdict;
}

void RedisLease::keep(size_t alternative, bool is_move) {
    if (is_move) {
        kept_.resize(std::min(common_kept_, kept_.size()));
    } else {
        held_.resize(demands_.list.size());
        keep_range(0, demands_.common);
        common_kept_ = kept_.size();
    }
    if (alternative < demands_.alternatives.size()) {
        const Alternative &taken = demands_.alternatives[alternative];
        held_.resize(demands_.list.size());
        keep_range(taken.first, taken.first + taken.count);
    }
    if (place_ != Place::machine) {
        hold_gauge(alternative);
    }
    if (!is_enlisted_ && !kept_.empty() && place_ != Place::nowhere) {
        store_.enlist(*this);
        is_enlisted_ = true;
    }
}

void RedisLease::keep_range(size_t first, size_t last) {
    for (size_t i = first; i < last; i++) {
        const Demand &demand = demands_.list[i];
        bool is_counted = demand.quantity == Quantity::requests;
        if (is_counted && place_ == Place::redis) {
            continue;  // there is nothing to settle
        }
        int64_t unused = 0;
        kept_.push_back(
            {demand, redis_counter(store_.config(), demand, unused), held_[i], is_counted});
    }
}

// The deployment that is in flight on this machine.
void RedisLease::hold_gauge(size_t alternative) {
    gauge_.alternatives.clear();
    if (alternative < demands_.alternatives.size()) {
        gauge_.alternatives.push_back({demands_.alternatives[alternative].slot, 0, 0});
    }
    if (local_ == nullptr) {
        local_ = store_.local().open(gauge_, waiter_);
        (void)local_->take();
    } else if (!gauge_.alternatives.empty()) {
        (void)local_->move(0);
    }
}

// Nobody waits for what becomes of it: what Redis did not hear now it hears at the lease's end.
class DropCommand final : public RedisCommand {
  public:
    void on_reply(const RedisReply &) override {}
    void on_lost(RedisLoss) override {}
};

// Without waiting.
void RedisLease::drop_deployment() {
    if (place_ == Place::redis && kept_.size() > common_kept_) {
        auto command = std::make_unique<DropCommand>();
        static const RedisScript &script = redis_script("admit");
        command->script = &script;
        command->args.add(int64_t(1)).add(store_.base()).add(id_);
        command->args.add(int64_t(store_.client().config().lease)).add(int64_t(1));
        command->args.add(int64_t(0)).add(int64_t(0)).add(int64_t(0));
        // Where Redis is away what is held stays ours, to be given back later.
        if (store_.client().send(std::move(command), store_.base())) {
            kept_.resize(common_kept_);
        }
    }
    if (local_ != nullptr) {
        (void)local_->move(SIZE_MAX);
    }
}

std::string RedisLease::holdings() const {
    std::string text;
    for (size_t i = 0; i <= kept_.size(); i++) {
        if (i == common_kept_) {
            text.push_back('\n');
        }
        if (i < kept_.size() && kept_[i].held > 0 && !kept_[i].is_counted) {
            if (!text.empty() && text.back() != '\n') {
                text.push_back(' ');
            }
            text.append(kept_[i].counter.name).append(" ").append(std::to_string(kept_[i].held));
        }
    }
    return text;
}

// Asks without waiting: when a limit has run out, the next look tells.
bool RedisLease::grow(const Used &so_far) {
    if (place_ == Place::machine) {
        return local_->grow(so_far);
    }
    // Before it has used all, so that the answer is there when it has.
    auto needs_more = [&](const Kept &kept) {
        int64_t used = so_far.of(kept.demand);
        return !kept.is_counted && !kept.is_last && used + used / (2 * kMorePart) > kept.held;
    };
    has_run_out_ = has_run_out_ || std::any_of(kept_.begin(), kept_.end(), [&](const Kept &kept) {
                       return kept.is_last && so_far.of(kept.demand) > kept.held;
                   });
    if (has_run_out_ || growing_ != nullptr || place_ != Place::redis ||
        std::none_of(kept_.begin(), kept_.end(), needs_more)) {
        return !has_run_out_;
    }
    auto command = std::make_unique<GrowCommand>(*this);
    static const RedisScript &script = redis_script("grow");
    command->script = &script;
    RespArgs &args = command->args;
    args.add(int64_t(1)).add(store_.base()).add(id_);
    args.add(int64_t(store_.client().config().lease));
    for (size_t i = 0; i < kept_.size(); i++) {
        Kept &kept = kept_[i];
        kept.is_growing = needs_more(kept);
        if (kept.is_growing) {
            int64_t used = so_far.of(kept.demand);
            args.add(kept.counter.name).add(std::string_view(&kept.counter.kind, 1));
            args.add(kept.counter.period_ms).add(int64_t(i >= common_kept_));
            args.add(kept.demand.limit).add(used);
            kept.wanted = used + used / kMorePart + kMoreLeast;
            args.add(kept.wanted).add(kept.held);
        }
    }
    growing_ = command.get();
    if (!store_.client().send(std::move(command), store_.base())) {
        growing_ = nullptr;
    }
    return true;
}

void RedisLease::on_grown(const RedisReply &reply) {
    growing_ = nullptr;
    size_t i = 0;
    for (Kept &kept : kept_) {
        if (std::exchange(kept.is_growing, false) && i < reply.size()) {
            int64_t held = reply[i++].integer();
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
    if (kept_.empty()) {
        return;  // nothing was taken, or only requests that have counted already
    }
    Settlement settlement{id_, {}, ngx_current_msec, 0};
    for (Kept &kept : kept_) {
        int64_t amount = used.of(kept.demand);
        if (kept.counter.kind != 'p' && amount > 0) {
            settlement.items.push_back({std::move(kept.counter), amount});
        }
    }
    store_.settle(std::move(settlement));
}

}  // namespace llm
