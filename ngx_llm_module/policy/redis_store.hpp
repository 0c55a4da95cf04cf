// The limits of many machines: counted in Redis by the scripts of redis/, all of one request in one
// step. A request waits for one answer before it begins and for none afterwards. While Redis is
// away, llm_redis on_outage= says what holds.
#pragma once

#include <deque>
#include <string>
#include <unordered_map>
#include <vector>

#include "ngx_llm_module/policy/store.hpp"
#include "ngx_llm_module/policy/zone_store.hpp"
#include "ngx_llm_module/redis/client.hpp"

namespace llm {

class RedisLease;

// A counter as the scripts know it.
struct RedisCounter {
    std::string name;
    char kind = 'w';        // w window, s sum, p parallel requests
    int64_t step_ms = 0;    // w
    int64_t period_ms = 0;  // w
    int64_t life_ms = 0;    // s; 0: for ever
};

// What a lease has used, on its way to Redis.
struct Settlement {
    struct Item {
        RedisCounter counter;
        int64_t amount = 0;
    };
    std::string lease;
    std::vector<Item> items;
    ngx_msec_t made = 0;
    uint8_t tries = 0;
};

class RedisStore final : public LimitStore {
  public:
    RedisStore(const Config &config, RedisClient &client);
    ~RedisStore() override;

    std::unique_ptr<Lease> open(Demands &demands, Waiter &waiter) override;

    const Config &config() const { return config_; }
    RedisClient &client() { return client_; }
    LimitStore &local() { return local_; }
    const std::string &base() const { return base_; }
    std::string next_lease();

    // Leases that hold something are renewed until they are struck off.
    void enlist(RedisLease &lease);
    void strike(RedisLease &lease);
    RedisLease *find(std::string_view lease);

    // Sent at once, or when Redis is back.
    void settle(Settlement settlement);
    // It did not arrive, or nobody knows whether it did.
    void settle_later(Settlement settlement);
    void renew();
    // Leases of processes of this nginx that are gone; named: given back.
    void revoke(const std::vector<std::string_view> &gone);
    void adopt(const std::vector<RedisLease *> &leases);

    // None when the worker ends: late answers find nobody.
    static RedisStore *current();

  private:
    void deliver();
    bool send(Settlement &settlement);
    static void on_timer(ngx_event_t *ev);
    static void on_back(void *data);

    const Config &config_;
    RedisClient &client_;
    ZoneStore local_;
    std::string base_;
    std::string begin_;  // of this worker's leases
    uint64_t serial_ = 0;
    std::unordered_map<std::string_view, RedisLease *> leases_;
    std::deque<Settlement> undelivered_;
    ngx_event_t timer_ = {};
};

}  // namespace llm
