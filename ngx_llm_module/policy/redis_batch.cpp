// How a call is put together (entries: place_of, settle, finish).
#include "ngx_llm_module/policy/redis_batch.hpp"

namespace llm {

int64_t RedisBatch::place_of(uint64_t lease) {
    auto [found, is_new] = lease_places_.try_emplace(lease, int64_t(lease_places_.size()) + 1);
    if (is_new) {
        leases_.add(int64_t(lease));
    }
    return found->second;
}

int64_t RedisBatch::place_of(const RedisCounter &counter) {
    auto [found, is_new] =
        counter_places_.try_emplace(counter.name, int64_t(counter_places_.size()) + 1);
    if (is_new) {
        names_.add(counter.name);
        kinds_.add(std::string_view(&counter.kind, 1));
        periods_.add(counter.period_ms);
    }
    return found->second;
}

void RedisBatch::settle(const Settlement &settlement) {
    begin(RedisTask::settle).add(place_of(settlement.lease));
    work_.add(int64_t(ngx_current_msec - settlement.made)).add(int64_t(settlement.items.size()));
    for (const Settlement::Item &item : settlement.items) {
        work_.add(place_of(item.counter)).add(item.amount);
    }
}

std::string RedisBatch::finish(std::string_view worker, bool is_beat, int64_t ttl_ms,
                               uint64_t number, uint64_t settled) {
    PackWriter whole;
    whole.add(worker).add(int64_t(is_beat)).add(ttl_ms).add(int64_t(number)).add(int64_t(settled));
    whole.add(int64_t(lease_places_.size())).add(leases_);
    whole.add(int64_t(counter_places_.size())).add(names_).add(kinds_).add(periods_);
    return whole.add(work_).array();
}

}  // namespace llm
