// The limits of many machines: counted in Redis by redis/commit.lua, all of one request in one
// step. A request waits for one answer before it begins and for none afterwards. While Redis is
// away, llm_redis on_outage= says what holds.
//
// A worker has at most two calls under way. What comes meanwhile goes out together in the next one,
// which reads and writes each counter once: so a Redis that is busy does more with each call, and
// when nothing is under way nothing waits. Of what requests used, no more than stands in two calls
// can come to be in doubt, however often Redis does not answer.
#pragma once

#include <deque>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "ngx_llm_module/policy/redis_batch.hpp"
#include "ngx_llm_module/policy/redis_debts.hpp"
#include "ngx_llm_module/policy/store.hpp"
#include "ngx_llm_module/policy/zone_store.hpp"
#include "ngx_llm_module/redis/client.hpp"

namespace llm {

class CommitCommand;
class RedisLease;

class RedisStore final : public LimitStore {
  public:
    RedisStore(const Config &config, RedisClient &client);
    ~RedisStore() override;

    std::unique_ptr<Lease> open(Demands &demands, Waiter &waiter) override;

    const Config &config() const { return config_; }
    const RedisConfig &redis() const { return client_.config(); }
    LimitStore &local() { return local_; }
    uint64_t next_lease() { return ++serial_; }

    // Leases that hold something are entered again when Redis has forgotten them, until they are
    // struck off.
    void enlist(RedisLease &lease);
    void strike(RedisLease &lease);
    RedisLease *find(uint64_t lease);

    // False: Redis is away, and nothing was sent or will be.
    bool ask(std::unique_ptr<RedisAsk> ask);
    // Sent at once, or when Redis is back.
    void settle(Settlement settlement);
    // Leases of processes of this nginx that are gone are given back: those of `workers`.
    void revoke(const std::vector<std::string_view> &workers);
    const std::string &worker() const { return worker_; }

    // None when the worker ends: late answers find nobody.
    static RedisStore *current();

  private:
    friend class CommitCommand;

    // A call of which nobody knows whether it was done: it is made again under its number, so it is
    // done once.
    struct Unsure {
        uint64_t number = 0;
        ngx_msec_t made = 0;
        std::vector<Settlement> settlements;
        std::vector<std::unique_ptr<RedisAsk>> asks;  // where one needs its answer
    };

    // What Redis will not hear of.
    struct Lost {
        const char *what;
        size_t many = 0;  // since the last line of the log
        time_t said = 0;
    };

    void post_flush();
    void flush();
    bool may_settle() const;
    void send_batch(bool is_beat, bool settles);
    void send_unsure();
    void make_again(Unsure call);
    void give_up(const Unsure &call);
    void say_lost(bool is_end);
    void on_refused(std::string_view text);
    void on_taken();
    bool send(std::unique_ptr<CommitCommand> command, RedisBatch &batch);
    bool has_room_for_unsure() const;
    void add_due(Settlement settlement);
    void strike_debts(const std::vector<Settlement> &settlements);
    void settle_later(std::vector<Settlement> &settlements, bool is_refused);
    void settle_refused(size_t most);
    void enter_all();
    static void on_flush(ngx_event_t *ev);
    static void on_timer(ngx_event_t *ev);
    static void on_retry(ngx_event_t *ev);
    static void on_watch(ngx_event_t *ev);
    static void on_back(void *data);
    void ask_for_gone();

    const Config &config_;
    RedisClient &client_;
    ZoneStore local_;
    std::string base_;
    std::string worker_;
    uint64_t serial_ = 0;
    uint64_t calls_ = 0;
    std::set<uint64_t> unsettled_;  // calls of which the end is not known
    size_t in_flight_ = 0;
    std::unordered_map<uint64_t, RedisLease *> leases_;
    std::deque<std::unique_ptr<RedisAsk>> asks_;
    RedisDebts debts_;  // all below
    std::deque<Settlement> due_;
    std::deque<Settlement> refused_;  // by Redis; tried again
    std::vector<Unsure> unsure_;
    Lost uncounted_ = {"was away for too long, it will not count"};
    Lost unknown_ = {"was away for too long, nobody knows whether it has counted"};
    Lost refusals_ = {"refuses to count"};
    time_t complained_ = 0;
    ngx_event_t flush_ = {};
    ngx_event_t timer_ = {};
    ngx_event_t watch_ = {};
    ngx_event_t retry_ = {};  // set while Redis refuses calls
    uint32_t gone_;           // processes that this one has found to be gone, and Redis knows of
};

}  // namespace llm
