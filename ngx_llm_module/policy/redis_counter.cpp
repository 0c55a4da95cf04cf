// Names and periods of counters in Redis; see the header.
#include "ngx_llm_module/policy/redis_counter.hpp"

#include <algorithm>
#include <array>

#include "ngx_llm_module/conf/redis_conf.hpp"
#include "ngx_llm_module/policy/demand_name.hpp"

namespace llm {
namespace {

constexpr std::array<bool, 256> kPlain = [] {
    std::array<bool, 256> plain{};
    for (char c : std::string_view("0123456789abcdefghijklmnopqrstuvwxyz"
                                   "ABCDEFGHIJKLMNOPQRSTUVWXYZ:-_./@")) {
        plain[size_t(c)] = true;
    }
    return plain;
}();

bool is_plain(char c) {
    return kPlain[uint8_t(c)];
}

// Names stand in texts of words: everything else is written as %XX.
void append_encoded(std::string &out, std::string_view name) {
    for (;;) {
        auto end = size_t(std::find_if_not(name.begin(), name.end(), is_plain) - name.begin());
        out.append(name.substr(0, end));
        if (end == name.size()) {
            return;
        }
        auto c = uint8_t(name[end]);
        out.append({'%', "0123456789ABCDEF"[c >> 4], "0123456789ABCDEF"[c & 15]});
        name.remove_prefix(end + 1);
    }
}

// The calendar period of now, as the script reads it.
void append_period(const Config &config, const Period &period, RedisCounter &counter) {
    PeriodBounds bounds = calendar_bounds(config.time_zone, period, ngx_time());
    counter.name.append("@").append(std::to_string(bounds.begin));
    counter.period_ms = (bounds.end - int64_t(ngx_time())) * 1000;
    counter.began = bounds.begin;
    counter.ends = bounds.end;
}

}  // namespace

std::string limits_base(const RedisConfig &redis) {
    return redis.prefix + "{limits}";
}

void renew_period(const Config &config, const Period &period, RedisCounter &counter) {
    if (counter.ends > 0 && int64_t(ngx_time()) >= counter.ends) {
        counter.name.resize(counter.name.rfind('@'));
        append_period(config, period, counter);
    }
}

RedisCounter redis_counter(const Config &config, const Demand &demand) {
    RedisCounter counter;
    static std::string name;  // its room is used again
    name.clear();
    append_name(demand, name);
    counter.name.reserve(name.size() + 16);
    append_encoded(counter.name, name);
    if (demand.quantity == Quantity::parallel) {
        counter.kind = 'p';
        return counter;
    }
    switch (demand.period.kind) {
        case PeriodKind::sliding:
            counter.kind = demand.quantity == Quantity::requests ? 'r' : 'w';
            counter.period_ms = int64_t(demand.period.seconds) * 1000;
            break;
        case PeriodKind::calendar:
            counter.kind = 'c';
            append_period(config, demand.period, counter);
            break;
        case PeriodKind::forever:
            counter.kind = 's';
            counter.period_ms = -1;
            break;
    }
    return counter;
}

}  // namespace llm
