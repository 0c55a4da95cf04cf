// How a call is put together (entries: place_of, admit, settle, finish).
#include "ngx_llm_module/policy/redis_batch.hpp"

#include <algorithm>
#include <utility>

namespace llm {
namespace {

// What a request with some ten limits takes; for more it grows.
constexpr size_t kUsualNames = 1024;
constexpr size_t kUsualNumbers = 256;
constexpr size_t kUsualCounters = 16;

}  // namespace

RedisBatch::RedisBatch() {
    names_.reserve(kUsualNames);
    periods_.reserve(kUsualNumbers);
    counter_places_.reserve(kUsualCounters);
}

int64_t RedisBatch::place_of(uint64_t lease) {
    auto [found, is_new] = lease_places_.try_emplace(lease, int64_t(lease_places_.size()) + 1);
    if (is_new) {
        leases_.add(std::to_string(lease));
    }
    return found->second;
}

int64_t RedisBatch::place_of(const RedisCounter &counter) {
    auto [found, is_new] =
        counter_places_.try_emplace(counter.name, int64_t(counter_places_.size()) + 1);
    if (is_new) {
        names_.add(counter.plain_name());
        bool is_calendar = counter.began > 0;
        kinds_.add(is_calendar ? "s" : std::string_view(&counter.kind, 1));
        periods_.add(counter.period_ms);
        if (is_calendar) {
            calendar_.add(found->second).add(counter.began * 1000);
        }
    }
    return found->second;
}

size_t RedisBatch::admit(uint64_t lease, PackWriter demands, bool can_share) {
    auto found = group_numbers_.find(demands.bytes());
    size_t number = can_share && found != group_numbers_.end() ? found->second : 0;
    if (number == 0) {
        const Group &group = groups_.emplace_back(Group{{}, std::move(demands)});
        number = groups_.size();
        grouped_bytes_ += group.demands.bytes().size();
        if (can_share) {
            group_numbers_.emplace(group.demands.bytes(), number);
        }
    }
    groups_[number - 1].leases.add(place_of(lease));
    return number;
}

void RedisBatch::settle(const Settlement &settlement) {
    if (settlement.counted_at != 0) {
        begin(RedisTask::take_back).add(settlement.counted_at);
        work_.add(int64_t(settlement.items.size()));
        for (const Settlement::Item &item : settlement.items) {
            int64_t place = place_of(item.counter);
            work_.add(place).add(item.amount);
        }
        return;
    }
    if (settlement.lease != 0) {
        ended_.add(place_of(settlement.lease));
    }
    // To a tenth of a second: what ends within one is counted together.
    int64_t age = int64_t(ngx_current_msec - settlement.made) / 100 * 100;
    std::vector<int64_t> &used = used_[age];
    for (const Settlement::Item &item : settlement.items) {
        auto place = size_t(place_of(item.counter));
        used.resize(std::max(used.size(), place + 1));
        used[place] += item.amount;
    }
}

PackWriter RedisBatch::finish_work() const {
    PackWriter work;
    work.reserve(work_.bytes().size() + grouped_bytes_ + kUsualNumbers);
    auto begin = [&work](RedisTask task) -> PackWriter & { return work.add(int64_t(task)); };
    if (ended_.count() > 0) {
        begin(RedisTask::settle).add(int64_t(ended_.count())).add(ended_);
    }
    for (const auto &[age, used] : used_) {
        PackWriter amounts;
        for (size_t place = 1; place < used.size(); place++) {
            if (used[place] > 0) {
                amounts.add(int64_t(place)).add(used[place]);
            }
        }
        begin(RedisTask::count).add(age).add(int64_t(amounts.count() / 2)).add(amounts);
    }
    work.add(work_);
    for (const Group &group : groups_) {
        begin(RedisTask::admit).add(int64_t(group.leases.count())).add(group.leases);
        work.add(group.demands);
    }
    return work;
}

std::string RedisBatch::finish(std::string_view worker, CallFlags flags, int64_t ttl_ms,
                               uint64_t number, uint64_t settled) {
    PackWriter whole;
    whole.reserve(size() + kUsualNumbers + kUsualNames);
    whole.add(worker).add(int64_t(flags)).add(ttl_ms).add(int64_t(number)).add(int64_t(settled));
    whole.add(int64_t(lease_places_.size())).add(leases_);
    whole.add(int64_t(counter_places_.size())).add(names_).add(kinds_).add(periods_);
    whole.add(int64_t(calendar_.count() / 2)).add(calendar_);
    return whole.add(finish_work()).array();
}

}  // namespace llm
