// The counter of a limit in Redis, as the scripts know it.
#pragma once

#include <string>
#include <string_view>

#include "ngx_llm_module/conf/config.hpp"
#include "ngx_llm_module/policy/store.hpp"

namespace llm {

struct RedisCounter {
    std::string name;       // c: with "@" and when the period began
    char kind = 'w';        // r requests, w window, s sum, c sum of a calendar period, p parallel
    int64_t period_ms = 0;  // r, w; c: until it begins anew; s: -1
    int64_t began = 0;      // c: its period, as Unix time; else 0
    int64_t ends = 0;       // the same

    // It is one counter in all its periods.
    std::string_view plain_name() const {
        return std::string_view(name).substr(0, began > 0 ? name.rfind('@') : name.npos);
    }
};

// How the names of all that belongs to limits begin: one slot of a cluster has all counters, so one
// step can look at all limits of a request.
std::string limits_base(const RedisConfig &redis);

// Names are the same on all machines.
RedisCounter redis_counter(const Config &config, const Demand &demand);

// A request counts in the period in which it ends, as in the zone.
void renew_period(const Config &config, const Period &period, RedisCounter &counter);

}  // namespace llm
