// What workers have not handed in to Redis yet: what requests used stands in the table of what was
// spent at once, and in Redis' counters when a worker has got it there. Whoever compares the two
// (redis_floors.hpp, other machines by spend_publisher.cpp) waits for that. In the zone, because
// each worker hands in its own.
#pragma once

#include <map>

#include "ngx_llm_module/state/meters.hpp"

namespace llm {

// Of this worker.
class RedisDebts {
  public:
    explicit RedisDebts(const Config &config);
    ~RedisDebts();
    RedisDebts(const RedisDebts &) = delete;
    RedisDebts &operator=(const RedisDebts &) = delete;

    // A settlement of that time (ngx_current_msec) is to be handed in; Redis has it, or never will.
    void add(ngx_msec_t made);
    void remove(ngx_msec_t made);

  private:
    void tell();

    Debtor *own_ = nullptr;              // none: there is no zone, or there are too many processes
    std::map<ngx_msec_t, size_t> many_;  // by their time, in grains
};

// Whether Redis has all that requests had used at this machine up to that time. What a dead worker
// held back nobody hands in any more.
bool is_handed_in(const Config &config, ngx_msec_t until);

}  // namespace llm
