// What the leases of a worker share (entries: ask, settle, flush, on_timer, on_back): the queues,
// the calls under way, and the beat that keeps leases alive.
#include "ngx_llm_module/policy/redis_store.hpp"

#include <signal.h>

#include <algorithm>
#include <utility>

#include "ngx_llm_module/base/guard.hpp"
#include "ngx_llm_module/policy/redis_floors.hpp"
#include "ngx_llm_module/policy/redis_lease.hpp"
#include "ngx_llm_module/state/inflight.hpp"

namespace llm {
namespace {

RedisStore *living = nullptr;

// How an answer of the script begins, where that matters.
constexpr int64_t kUnknownWorker = 1;
constexpr int64_t kDoneBefore = 2;
constexpr int64_t kAnswerOfThen = 3;

// So much waits for a Redis that is away; some 300 bytes each.
constexpr size_t kMaxDue = 20000;
// What Redis refuses is tried again once a second, one call of it: a Redis that has no room is
// asked no more than that, and one that has room again gets the rest at once.
constexpr ngx_msec_t kRetryEvery = 1000;
constexpr ngx_msec_t kLongestRefusal = 200 * 1000;
constexpr size_t kMaxAsks = 10000;
// Redis knows a call for so long after the worker's lease (part_workers.lua): until then it can be
// made again without being done twice.
constexpr ngx_msec_t kRemembered = 3600 * 1000;
// Calls of which nothing is to be known but an answer, while a Redis comes and does not stay. Of
// those beyond what was counted leaves with its window.
constexpr size_t kMaxUnsure = 64;

// How often to look whether a worker of this machine was killed: nobody takes the place of one that
// drains, and what it held is to be free within a second.
constexpr ngx_msec_t kWatchEvery = 300;

constexpr size_t kMaxInFlight = 2;
// In one call: it must not keep Redis from others for long.
constexpr size_t kMaxTasks = 100;
constexpr size_t kMaxBatchBytes = 256 * 1024;

// What Redis has forgotten. By the time it is sent the request may have ended.
class EnterAsk final : public RedisAsk {
  public:
    explicit EnterAsk(uint64_t lease) : lease_(lease) {}

    bool write(RedisBatch &batch) override {
        RedisLease *lease = RedisStore::current()->find(lease_);
        return lease != nullptr && lease->write_holdings(batch);
    }
    void on_answer(PackReader &) override {}
    void on_lost(RedisLoss) override {}

  private:
    uint64_t lease_;
};

class EndWorkerAsk final : public RedisAsk {
  public:
    explicit EndWorkerAsk(std::string_view worker) : worker_(worker) {}

    bool write(RedisBatch &batch) override {
        batch.begin(RedisTask::end_worker).add(worker_);
        return true;
    }
    void on_answer(PackReader &) override {}
    void on_lost(RedisLoss) override {}  // they end by themselves

  private:
    std::string worker_;
};

// Which workers of this nginx hold something and live no more? A name is NAME-PID-TIME.
class WorkersCommand final : public RedisCommand {
  public:
    void on_reply(const RedisReply &reply) override {
        RedisStore *store = RedisStore::current();
        if (store == nullptr) {
            return;
        }
        size_t begin = store->redis().instance.size() + 1;
        std::vector<std::string_view> gone;
        for (size_t i = 0; i < reply.size(); i++) {
            std::string_view worker = reply[i].text();
            if (worker == store->worker()) {
                continue;
            }
            std::string_view rest = worker.substr(begin);
            ngx_str_t digits = str(rest.substr(0, rest.find('-')));
            ngx_int_t pid = ngx_atoi(digits.data, digits.len);
            // Who had our own number before is gone as well.
            if (pid > 0 &&
                (pid == ngx_pid || (kill(pid_t(pid), 0) != 0 && ngx_errno == NGX_ESRCH))) {
                gone.push_back(worker);
            }
        }
        store->revoke(gone);
    }
    void on_lost(RedisLoss) override {}
};

}  // namespace

class CommitCommand final : public RedisCommand {
  public:
    void on_reply(const RedisReply &reply) override;
    void on_lost(RedisLoss loss) override;

    uint64_t number = 0;
    ngx_msec_t made = ngx_current_msec;
    bool is_beat = false;
    bool is_again = false;  // whatever becomes of it, the first try may have been done
    std::vector<std::unique_ptr<RedisAsk>> asks;  // in the order of the answers
    std::vector<Settlement> settlements;

  private:
    void tell(PackReader answer, int64_t answered_at);
};

// Of asks that were treated alike a group has one answer, after how many they are.
void CommitCommand::tell(PackReader answer, int64_t answered_at) {
    PackReader common = answer;
    size_t alike = 0;
    for (auto &ask : asks) {
        if (ask->group > 0) {
            if (alike == 0) {
                alike = std::max(size_t(answer.number()), size_t(1));
                common = answer;
            }
            answer = common;
            ask->after_it = --alike;
        }
        ask->answered_at = answered_at;
        answer.is_bad() ? ask->on_lost(RedisLoss::unsent) : ask->on_answer(answer);
    }
}

void CommitCommand::on_reply(const RedisReply &reply) {
    RedisStore *store = RedisStore::current();
    if (store == nullptr) {
        return;
    }
    store->in_flight_--;
    store->unsettled_.erase(number);
    store->post_flush();
    if (reply.is_error()) {
        store->on_refused(reply.text());
        if (is_again) {
            store->make_again({number, made, std::move(settlements), std::move(asks)});
            return;
        }
        store->settle_later(settlements, true);
    } else {
        store->strike_debts(settlements);
        if (is_beat) {
            store->on_taken();
        }
    }
    std::string bytes(reply.text());  // whoever is told may close the connection
    PackReader answer(bytes);
    int64_t how = answer.number();
    if (how == kUnknownWorker) {
        store->enter_all();
    }
    if (!is_again) {
        tell(answer, 0);
    } else if (how == kAnswerOfThen) {
        int64_t answered_at = answer.number();
        tell(answer, answered_at);
    } else if (how != kDoneBefore) {
        for (auto &ask : asks) {
            ask->on_undone();
        }
    }
}

void CommitCommand::on_lost(RedisLoss loss) {
    RedisStore *store = RedisStore::current();
    if (store == nullptr) {
        return;
    }
    store->in_flight_--;
    store->post_flush();
    for (auto &ask : asks) {
        if (!is_again) {
            ask->on_lost(loss);
        }
    }
    bool is_unsure = loss == RedisLoss::unknown || is_again;
    bool needs_answer =
        std::any_of(asks.begin(), asks.end(), [](const auto &ask) { return ask->needs_answer; });
    if (!needs_answer) {
        asks.clear();
    }
    if (is_unsure && (!settlements.empty() || (needs_answer && store->has_room_for_unsure()))) {
        store->make_again({number, made, std::move(settlements), std::move(asks)});
    } else {
        store->unsettled_.erase(number);
        store->settle_later(settlements, false);
    }
}

RedisStore::RedisStore(const Config &config, RedisClient &client)
    : config_(config), client_(client), local_(config), debts_(config) {
    base_ = limits_base(redis());
    // With the moment: a number of a process comes again, and one that is alone stays itself when
    // its configuration is read again.
    const ngx_time_t *now = ngx_timeofday();
    worker_ = redis().instance + "-" + std::to_string(ngx_pid) + "-" +
              std::to_string(now->sec * 1000 + time_t(now->msec));
    flush_.handler = guard<on_flush>;
    flush_.data = this;
    flush_.log = ngx_cycle->log;
    timer_.handler = guard<on_timer>;
    timer_.data = this;
    timer_.log = ngx_cycle->log;
    timer_.cancelable = 1;
    ngx_add_timer(&timer_, redis().lease / 3);
    retry_.handler = guard<on_retry>;
    retry_.data = this;
    retry_.log = ngx_cycle->log;
    retry_.cancelable = 1;
    gone_ = take_back_dead(config);
    watch_.handler = guard<on_watch>;
    watch_.data = this;
    watch_.log = ngx_cycle->log;
    watch_.cancelable = 1;
    ngx_add_timer(&watch_, kWatchEvery);
    client_.on_back(on_back, this);
    living = this;
}

// A fast stop runs no cleanups of requests: what they hold is given back here.
RedisStore::~RedisStore() {
    client_.on_back(nullptr, nullptr);
    for (auto &[id, lease] : leases_) {
        settle({id, {}, ngx_current_msec});
    }
    asks_.clear();
    while (!due_.empty() && client_.is_up(base_)) {
        send_batch(false, true);
    }
    say_lost(true);
    uncounted_.what = "is away at the end of this worker, it will not count";
    unknown_.what = "is away at the end of this worker, nobody knows whether it has counted";
    refusals_.many = size_t(std::count_if(refused_.begin(), refused_.end(),
                                          [](const auto &kept) { return kept.refused != 0; }));
    uncounted_.many = due_.size() + refused_.size() - refusals_.many;
    for (const Unsure &call : unsure_) {
        unknown_.many += call.settlements.size();
    }
    say_lost(true);
    living = nullptr;
    for (ngx_event_t *timer : {&timer_, &watch_, &retry_}) {
        if (timer->timer_set) {
            ngx_del_timer(timer);
        }
    }
    if (flush_.posted) {
        ngx_delete_posted_event(&flush_);
    }
}

RedisStore *RedisStore::current() {
    return living;
}

std::unique_ptr<Lease> RedisStore::open(Demands &demands, Waiter &waiter) {
    return std::make_unique<RedisLease>(*this, demands, waiter);
}

void RedisStore::enlist(RedisLease &lease) {
    leases_.emplace(lease.id(), &lease);
}

void RedisStore::strike(RedisLease &lease) {
    leases_.erase(lease.id());
}

RedisLease *RedisStore::find(uint64_t lease) {
    auto found = leases_.find(lease);
    return found != leases_.end() ? found->second : nullptr;
}

bool RedisStore::ask(std::unique_ptr<RedisAsk> ask) {
    if (asks_.size() >= kMaxAsks || !client_.accepts(base_)) {
        return false;
    }
    ask->since = ngx_current_msec;
    asks_.push_back(std::move(ask));
    post_flush();
    return true;
}

void RedisStore::settle(Settlement settlement) {
    debts_.add(settlement.made);
    add_due(std::move(settlement));
}

void RedisStore::strike_debts(const std::vector<Settlement> &settlements) {
    for (const Settlement &settlement : settlements) {
        debts_.remove(settlement.made);
    }
}

void RedisStore::add_due(Settlement settlement) {
    if (due_.size() >= kMaxDue) {
        debts_.remove(settlement.made);
        uncounted_.many++;
        say_lost(false);
        return;
    }
    due_.push_back(std::move(settlement));
    post_flush();
}

bool RedisStore::has_room_for_unsure() const {
    return unsure_.size() < kMaxUnsure;
}

void RedisStore::make_again(Unsure call) {
    unsettled_.insert(call.number);
    unsure_.push_back(std::move(call));
}

// Nothing is counted twice: what cannot be made again is not counted again.
void RedisStore::give_up(const Unsure &call) {
    unsettled_.erase(call.number);
    strike_debts(call.settlements);
    unknown_.many += call.settlements.size();
    say_lost(false);
}

// Every request may add to it: a line a second tells how many there are since the last one.
void RedisStore::say_lost(bool is_end) {
    for (Lost *lost : {&uncounted_, &unknown_, &refusals_}) {
        if (lost->many > 0 && (lost->said != ngx_time() || is_end)) {
            lost->said = ngx_time();
            ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0, "llm: redis %s the use of %uz requests",
                          lost->what, std::exchange(lost->many, 0));
        }
    }
}

// One that is full says so to every call.
void RedisStore::on_refused(std::string_view text) {
    if (complained_ != ngx_time()) {
        complained_ = ngx_time();
        ngx_str_t shown = str(text);
        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0, "llm: redis says: %V", &shown);
    }
    if (!retry_.timer_set) {
        ngx_add_timer(&retry_, kRetryEvery);
    }
}

// It takes calls again: what it refused, and the leases that it knows nothing of. With a beat, so
// no more than once a second, should it take some calls and refuse others.
void RedisStore::on_taken() {
    if (retry_.timer_set) {
        ngx_del_timer(&retry_);
        send_unsure();
        settle_refused(SIZE_MAX);
        enter_all();
    }
}

// Redis did not take them.
void RedisStore::settle_later(std::vector<Settlement> &settlements, bool is_refused) {
    for (Settlement &settlement : settlements) {
        if (is_refused && settlement.refused == 0) {
            settlement.refused = ngx_current_msec;
        }
        bool is_late = is_refused && ngx_current_msec - settlement.refused > kLongestRefusal;
        if (is_late || refused_.size() >= kMaxDue) {
            debts_.remove(settlement.made);
            refusals_.many++;
        } else {
            refused_.push_back(std::move(settlement));
        }
    }
    say_lost(false);
}

void RedisStore::settle_refused(size_t most) {
    for (; most > 0 && !refused_.empty(); most--) {
        add_due(std::move(refused_.front()));
        refused_.pop_front();
    }
}

// After all events of this turn: what came in it leaves together.
void RedisStore::post_flush() {
    if (!flush_.posted) {
        ngx_post_event(&flush_, &ngx_posted_events);
    }
}

void RedisStore::on_flush(ngx_event_t *ev) {
    static_cast<RedisStore *>(ev->data)->flush();
}

void RedisStore::flush() {
    while (in_flight_ < kMaxInFlight &&
           (!asks_.empty() || (may_settle() && client_.is_up(base_)))) {
        send_batch(false, may_settle());
    }
}

// What is sent while Redis says nothing comes to be in doubt. So the rest waits until the calls
// before it are answered, also those that are made again: of what waits it is known that it does
// not count.
bool RedisStore::may_settle() const {
    return !due_.empty() && unsettled_.size() < kMaxInFlight;
}

// Settlements first: what they give back may let somebody in.
void RedisStore::send_batch(bool is_beat, bool settles) {
    auto command = std::make_unique<CommitCommand>();
    RedisBatch batch;
    command->is_beat = is_beat;
    auto has_room = [&batch](size_t tasks) {
        return tasks < kMaxTasks && batch.size() < kMaxBatchBytes;
    };
    // They must not move any more: the batch keeps their names.
    command->settlements.reserve(std::min(due_.size(), kMaxTasks));
    while (settles && !due_.empty() && has_room(command->settlements.size())) {
        batch.settle(command->settlements.emplace_back(std::move(due_.front())));
        due_.pop_front();
    }
    while (!asks_.empty() && has_room(command->asks.size())) {
        std::unique_ptr<RedisAsk> ask = std::move(asks_.front());
        asks_.pop_front();
        if (ask->write(batch)) {
            // Nobody waits longer than the time-out, in the queue and for the answer together.
            command->began = command->asks.empty() ? ask->since : command->began;
            command->asks.push_back(std::move(ask));
        }
    }
    // In the order of the answers.
    std::stable_sort(command->asks.begin(), command->asks.end(),
                     [](const auto &a, const auto &b) { return a->group < b->group; });
    if (is_beat || !command->asks.empty() || !command->settlements.empty()) {
        command->number = ++calls_;
        (void)send(std::move(command), batch);
    }
}

bool RedisStore::send(std::unique_ptr<CommitCommand> command, RedisBatch &batch) {
    static const RedisScript &script = redis_script("commit");
    unsettled_.insert(command->number);
    command->script = &script;
    command->args.add(int64_t(1)).add(base_);
    bool keeps =
        !command->is_again && std::any_of(command->asks.begin(), command->asks.end(),
                                          [](const auto &ask) { return ask->needs_answer; });
    auto flags =
        CallFlags((command->is_beat ? kIsBeat : kNoFlags) | (keeps ? kKeepsAnswer : kNoFlags));
    command->args.add(batch.finish(worker_, flags, int64_t(redis().lease), command->number,
                                   *unsettled_.begin() - 1));
    in_flight_++;
    std::unique_ptr<RedisCommand> sent = std::move(command);
    if (!client_.send(std::move(sent), base_)) {
        sent->on_lost(RedisLoss::unsent);
        return false;
    }
    return true;
}

void RedisStore::send_unsure() {
    for (Unsure &call : std::exchange(unsure_, {})) {
        if (ngx_current_msec - call.made > kRemembered) {
            give_up(call);
            continue;
        }
        auto command = std::make_unique<CommitCommand>();
        RedisBatch batch;
        command->number = call.number;
        command->made = call.made;
        command->is_again = true;
        command->settlements = std::move(call.settlements);
        command->asks = std::move(call.asks);
        for (const Settlement &settlement : command->settlements) {
            batch.settle(settlement);
        }
        (void)send(std::move(command), batch);
    }
}

void RedisStore::revoke(const std::vector<std::string_view> &workers) {
    for (std::string_view worker : workers) {
        (void)ask(std::make_unique<EndWorkerAsk>(worker));
    }
}

// What is known already stays as it is.
void RedisStore::enter_all() {
    for (const auto &[id, lease] : leases_) {
        (void)ask(std::make_unique<EnterAsk>(id));
    }
}

void RedisStore::on_timer(ngx_event_t *ev) {
    auto &self = *static_cast<RedisStore *>(ev->data);
    ngx_add_timer(ev, self.redis().lease / 3);
    self.say_lost(false);
    if (self.client_.is_up(self.base_)) {
        self.send_unsure();
        self.send_batch(true, self.may_settle());
        if (!self.retry_.timer_set) {
            self.settle_refused(SIZE_MAX);
        }
    }
}

void RedisStore::on_retry(ngx_event_t *ev) {
    auto &self = *static_cast<RedisStore *>(ev->data);
    ngx_add_timer(ev, kRetryEvery);
    if (self.client_.is_up(self.base_) && self.in_flight_ == 0) {
        self.settle_refused(kMaxTasks);
        self.send_batch(true, self.may_settle());
    }
}

// What it missed. A lease that ended is not entered again: it is not listed any more.
void RedisStore::on_back(void *data) {
    auto &self = *static_cast<RedisStore *>(data);
    if (!self.client_.is_up(self.base_)) {
        return;
    }
    self.send_unsure();
    self.settle_refused(SIZE_MAX);
    self.enter_all();
    self.post_flush();  // what ended meanwhile
    self.ask_for_gone();
    raise_after_outage();
}

void RedisStore::on_watch(ngx_event_t *ev) {
    auto &self = *static_cast<RedisStore *>(ev->data);
    ngx_add_timer(ev, kWatchEvery);
    uint32_t gone = take_back_dead(self.config_);
    // A Redis that is away hears of it when it is back.
    if (std::exchange(self.gone_, gone) != gone && self.client_.is_up(self.base_)) {
        self.ask_for_gone();
    }
}

void RedisStore::ask_for_gone() {
    auto command = std::make_unique<WorkersCommand>();
    command->script = &redis_script("get_workers");
    command->args.add(int64_t(1)).add(base_).add(redis().instance + "-");
    (void)client_.send(std::move(command), base_);
}

}  // namespace llm
