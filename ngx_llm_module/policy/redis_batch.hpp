// One call of commit.lua: the work of many requests, each counter and each lease named once.
#pragma once

#include <deque>
#include <map>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "ngx_llm_module/policy/redis_counter.hpp"
#include "ngx_llm_module/redis/command.hpp"
#include "ngx_llm_module/redis/pack.hpp"

namespace llm {

// What a lease has used, on its way to Redis.
struct Settlement {
    struct Item {
        RedisCounter counter;
        int64_t amount = 0;
    };
    uint64_t lease = 0;  // that ends; 0: none does
    std::vector<Item> items;
    ngx_msec_t made = 0;
    ngx_msec_t refused = 0;  // by Redis, for the first time
    // On Redis' clock. Not 0: the items are what was counted then for a request that did not come
    // to be, they are taken back; no lease ends.
    int64_t counted_at = 0;
};

// What the script is asked to do; see there.
enum class RedisTask : uint8_t {
    settle = 1,
    admit,
    move,
    grow,
    enter,
    end_worker,
    count,
    take_back,
};

// What else a call is to do.
enum CallFlags : uint8_t {
    kNoFlags = 0,
    kIsBeat = 1,       // renews the worker's time
    kKeepsAnswer = 2,  // whoever makes it again is given its answer
};

// Names must live until it is finished.
class RedisBatch {
  public:
    RedisBatch();
    // The places of a lease and of a counter in this call.
    int64_t place_of(uint64_t lease);
    int64_t place_of(const RedisCounter &counter);

    PackWriter &begin(RedisTask task) { return work_.add(int64_t(task)); }
    // Leases that ask for the same are admitted in one step, whatever came between them, if they
    // can share it. Gives the number of their group (from 1): the answer speaks of all of a group
    // in turn, and of groups after everything else.
    size_t admit(uint64_t lease, PackWriter demands, bool can_share);
    void settle(const Settlement &settlement);
    size_t size() const { return names_.bytes().size() + work_.bytes().size() + grouped_bytes_; }

    // The whole argument.
    std::string finish(std::string_view worker, CallFlags flags, int64_t ttl_ms, uint64_t number,
                       uint64_t settled);

  private:
    struct Group {
        PackWriter leases;
        PackWriter demands;
    };

    PackWriter finish_work() const;

    PackWriter leases_;
    PackWriter names_;  // of counters
    PackWriter kinds_;
    PackWriter periods_;
    PackWriter calendar_;  // which counters, when their periods began
    PackWriter work_;
    PackWriter ended_;                              // leases that are settled
    std::map<int64_t, std::vector<int64_t>> used_;  // how long ago, how much by counter
    std::deque<Group> groups_;                      // they do not move: the next has views of them
    std::unordered_map<std::string_view, size_t> group_numbers_;  // by bytes of demands
    size_t grouped_bytes_ = 0;
    std::unordered_map<uint64_t, int64_t> lease_places_;
    std::unordered_map<std::string_view, int64_t> counter_places_;
};

// What waits for its turn in a batch, and then for the answer. Whoever sends one for a request
// clears its pointer when the request ends.
class RedisAsk {
  public:
    RedisAsk() = default;
    virtual ~RedisAsk() = default;
    RedisAsk(const RedisAsk &) = delete;
    RedisAsk &operator=(const RedisAsk &) = delete;

    // False: it is not wanted any more.
    virtual bool write(RedisBatch &batch) = 0;
    // Either of the two, once it was written. The first reads its own part of the answer. It may
    // come behind the second, too, with answered_at, and must read its part then all the same.
    virtual void on_answer(PackReader &answer) = 0;
    virtual void on_lost(RedisLoss loss) = 0;
    // Behind the second: nothing of it had been done, and nothing will be.
    virtual void on_undone() {}

    bool needs_answer = false;  // also when it was lost and nobody waits for it any more
    int64_t answered_at = 0;    // Redis' clock; only of such an answer
    ngx_msec_t since = 0;       // when it came
    size_t group = 0;           // of leases that are admitted together, 0: in none
    size_t after_it = 0;        // of those, how many were admitted after it; known with the answer
};

}  // namespace llm
