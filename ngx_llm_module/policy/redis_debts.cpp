#include "ngx_llm_module/policy/redis_debts.hpp"

#include <signal.h>

#include <algorithm>

namespace llm {
namespace {

// Settlements come many in a millisecond: they are kept apart no finer than this, and the oldest
// counts as made at the beginning of its grain.
constexpr ngx_msec_t kGrain = 64;

bool is_gone(uint32_t pid) {
    return kill(pid_t(pid), 0) != 0 && ngx_errno == NGX_ESRCH;
}

}  // namespace

RedisDebts::RedisDebts(const Config &config) {
    Meters *table = find_meters(config);
    if (table == nullptr) {
        return;
    }
    auto own = uint32_t(ngx_pid);
    for (Debtor &debtor : table->debtors) {
        uint32_t pid = debtor.pid.load();
        bool is_free = pid == 0 || pid == own || is_gone(pid);
        if (is_free && debtor.pid.compare_exchange_strong(pid, own)) {
            debtor.since = 0;
            own_ = &debtor;
            return;
        }
    }
}

RedisDebts::~RedisDebts() {
    if (own_ != nullptr) {
        own_->since = 0;
        own_->pid = 0;
    }
}

void RedisDebts::add(ngx_msec_t made) {
    many_[made / kGrain]++;
    tell();
}

void RedisDebts::remove(ngx_msec_t made) {
    auto found = many_.find(made / kGrain);
    if (found != many_.end() && --found->second == 0) {
        many_.erase(found);
        tell();
    }
}

// 0 is nothing: that grain of a clock that has just begun counts as the next.
void RedisDebts::tell() {
    uint64_t since = many_.empty() ? 0 : std::max<uint64_t>(many_.begin()->first * kGrain, 1);
    if (own_ != nullptr && own_->since.load(std::memory_order_relaxed) != since) {
        own_->since = since;
    }
}

bool is_handed_in(const Config &config, ngx_msec_t until) {
    Meters *table = find_meters(config);
    if (table == nullptr) {
        return true;
    }
    for (const Debtor &debtor : table->debtors) {
        uint64_t since = debtor.since.load();
        uint32_t pid = debtor.pid.load();
        if (pid != 0 && since != 0 && since <= until && !is_gone(pid)) {
            return false;
        }
    }
    return true;
}

}  // namespace llm
