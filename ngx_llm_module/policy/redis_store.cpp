// What the leases of a worker share (entries: open, settle, renew, on_back): the queue of what
// Redis has not been told yet, and the clock that keeps leases alive.
#include "ngx_llm_module/policy/redis_store.hpp"

#include <signal.h>

#include <utility>

#include "ngx_llm_module/base/guard.hpp"
#include "ngx_llm_module/policy/redis_lease.hpp"

namespace llm {
namespace {

RedisStore *living = nullptr;

// So much waits for a Redis that is away; some 300 bytes each.
constexpr size_t kMaxUndelivered = 20000;
constexpr uint8_t kMaxTries = 20;
// In one command.
constexpr size_t kMaxAdopted = 200;

class SettleCommand final : public RedisCommand {
  public:
    explicit SettleCommand(Settlement settlement) : settlement_(std::move(settlement)) {}

    void on_reply(const RedisReply &reply) override {
        if (reply.is_error()) {
            again();  // full, for instance
        }
    }
    void on_lost(RedisLoss) override { again(); }

  private:
    friend class RedisStore;
    void again() {
        if (RedisStore *store = RedisStore::current()) {
            store->settle_later(std::move(settlement_));
        }
    }

    Settlement settlement_;
};

class AdoptCommand final : public RedisCommand {
  public:
    void on_reply(const RedisReply &) override {}
    void on_lost(RedisLoss) override {}
};

// Which of the processes that hold something are gone? Those are named in a second call.
class RevokeCommand final : public RedisCommand {
  public:
    explicit RevokeCommand(bool is_last) : is_last_(is_last) {}

    void on_reply(const RedisReply &reply) override {
        RedisStore *store = RedisStore::current();
        std::vector<std::string_view> gone;
        for (size_t i = 0; i < reply.size(); i++) {
            ngx_int_t pid = ngx_atoi(str(reply[i].text()).data, reply[i].text().size());
            if (pid > 0 && kill(pid_t(pid), 0) != 0 && ngx_errno == NGX_ESRCH) {
                gone.push_back(reply[i].text());
            }
        }
        if (store != nullptr && !is_last_ && !gone.empty()) {
            store->revoke(gone);
        }
    }
    void on_lost(RedisLoss) override {}  // they end by themselves

  private:
    bool is_last_;
};

class RenewCommand final : public RedisCommand {
  public:
    void on_reply(const RedisReply &reply) override {
        RedisStore *store = RedisStore::current();
        if (store == nullptr) {
            return;
        }
        std::vector<RedisLease *> unknown;
        for (size_t i = 0; i < reply.size(); i++) {
            if (RedisLease *lease = store->find(reply[i].text())) {
                unknown.push_back(lease);
            }
        }
        store->adopt(unknown);
    }
    void on_lost(RedisLoss) override {}  // the next look comes soon
};

}  // namespace

RedisStore::RedisStore(const Config &config, RedisClient &client)
    : config_(config), client_(client), local_(config) {
    // One slot of a cluster has all counters: one step can look at all limits of a request.
    base_ = client.config().prefix + "{limits}";
    begin_ = client.config().instance + "-" + std::to_string(ngx_pid) + "-";
    timer_.handler = guard<on_timer>;
    timer_.data = this;
    timer_.log = ngx_cycle->log;
    timer_.cancelable = 1;
    ngx_add_timer(&timer_, client_.config().lease / 3);
    client_.on_back(on_back, this);
    living = this;
}

// A fast stop runs no cleanups of requests: what they hold is given back here.
RedisStore::~RedisStore() {
    client_.on_back(nullptr, nullptr);
    for (auto &[id, lease] : leases_) {
        settle({lease->id(), {}, ngx_current_msec, 0});
    }
    living = nullptr;
    if (timer_.timer_set) {
        ngx_del_timer(&timer_);
    }
}

RedisStore *RedisStore::current() {
    return living;
}

std::unique_ptr<Lease> RedisStore::open(Demands &demands, Waiter &waiter) {
    return std::make_unique<RedisLease>(*this, demands, waiter);
}

std::string RedisStore::next_lease() {
    return begin_ + std::to_string(++serial_);
}

void RedisStore::enlist(RedisLease &lease) {
    leases_.emplace(lease.id(), &lease);
}

void RedisStore::strike(RedisLease &lease) {
    leases_.erase(lease.id());
}

RedisLease *RedisStore::find(std::string_view lease) {
    auto found = leases_.find(lease);
    return found != leases_.end() ? found->second : nullptr;
}

void RedisStore::settle(Settlement settlement) {
    if (!send(settlement)) {
        settle_later(std::move(settlement));
    }
}

void RedisStore::settle_later(Settlement settlement) {
    if (++settlement.tries > kMaxTries || undelivered_.size() >= kMaxUndelivered) {
        ngx_log_error(
            NGX_LOG_ERR, ngx_cycle->log, 0,
            "llm: redis was away for too long, the use of a request is not counted there");
        return;
    }
    undelivered_.push_back(std::move(settlement));
}

// False: Redis is away, the settlement is untouched.
bool RedisStore::send(Settlement &settlement) {
    if (!client_.is_up(base_)) {
        return false;
    }
    auto command = std::make_unique<SettleCommand>(settlement);
    static const RedisScript &script = redis_script("settle");
    command->script = &script;
    RespArgs &args = command->args;
    args.add(int64_t(1)).add(base_).add(settlement.lease).add(int64_t(client_.config().lease));
    args.add(int64_t(ngx_current_msec - settlement.made));
    for (const Settlement::Item &item : settlement.items) {
        const RedisCounter &counter = item.counter;
        args.add(counter.name).add(std::string_view(&counter.kind, 1)).add(counter.step_ms);
        args.add(counter.period_ms).add(counter.life_ms).add(item.amount);
    }
    return client_.send(std::move(command), base_);
}

void RedisStore::deliver() {
    size_t count = undelivered_.size();
    while (count-- > 0 && client_.is_up(base_)) {
        Settlement settlement = std::move(undelivered_.front());
        undelivered_.pop_front();
        if (!send(settlement)) {
            undelivered_.push_back(std::move(settlement));
            return;
        }
    }
}

void RedisStore::renew() {
    if (leases_.empty() || !client_.is_up(base_)) {
        return;
    }
    auto command = std::make_unique<RenewCommand>();
    static const RedisScript &script = redis_script("renew");
    command->script = &script;
    command->args.add(int64_t(1)).add(base_).add(int64_t(client_.config().lease));
    for (const auto &[id, lease] : leases_) {
        command->args.add(id);
    }
    (void)client_.send(std::move(command), base_);
}

void RedisStore::revoke(const std::vector<std::string_view> &gone) {
    auto command = std::make_unique<RevokeCommand>(!gone.empty());
    static const RedisScript &script = redis_script("revoke");
    command->script = &script;
    command->args.add(int64_t(1)).add(base_).add(client_.config().instance);
    for (std::string_view pid : gone) {
        command->args.add(pid);
    }
    (void)client_.send(std::move(command), base_);
}

void RedisStore::adopt(const std::vector<RedisLease *> &leases) {
    static const RedisScript &script = redis_script("adopt");
    for (size_t i = 0; i < leases.size(); i += kMaxAdopted) {
        auto command = std::make_unique<AdoptCommand>();
        command->script = &script;
        command->args.add(int64_t(1)).add(base_).add(int64_t(client_.config().lease));
        for (size_t j = i; j < leases.size() && j < i + kMaxAdopted; j++) {
            command->args.add(leases[j]->id()).add(leases[j]->holdings());
        }
        (void)client_.send(std::move(command), base_);
    }
}

void RedisStore::on_timer(ngx_event_t *ev) {
    auto &self = *static_cast<RedisStore *>(ev->data);
    ngx_add_timer(ev, self.client_.config().lease / 3);
    self.deliver();
    self.renew();
}

// What it missed, in this order: a lease that ended is not entered again.
void RedisStore::on_back(void *data) {
    auto &self = *static_cast<RedisStore *>(data);
    self.deliver();
    self.renew();
    self.revoke({});
}

}  // namespace llm
