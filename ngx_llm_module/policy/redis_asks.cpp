// See redis_asks.hpp. The form of what is written and read stands at the top of redis/commit.lua.
#include "ngx_llm_module/policy/redis_asks.hpp"

#include <algorithm>
#include <iterator>

namespace llm {
namespace {

void skip(PackReader &answer, size_t many) {
    while (many-- > 0 && !answer.is_bad()) {
        (void)answer.number();
    }
}

// What follows "granted" or not.
void skip_verdict(PackReader &answer) {
    skip(answer, 2);
    skip(answer, 2 * size_t(answer.number()));
    skip(answer, 2 * size_t(answer.number()));
}

}  // namespace

bool DropAsk::write(RedisBatch &batch) {
    PackWriter &work = batch.begin(RedisTask::move).add(batch.place_of(id_));
    work.add(int64_t(0)).add(int64_t(0)).add(int64_t(0));
    return true;
}

void DropAsk::on_answer(PackReader &answer) {
    (void)answer.number();
    skip_verdict(answer);
}

bool AdmitAsk::write(RedisBatch &batch) {
    if (lease_ == nullptr) {
        return false;
    }
    group = lease_->write_demands(batch);
    needs_answer = lease_->needs_answer();
    return true;
}

void AdmitAsk::on_answer(PackReader &answer) {
    if (lease_ != nullptr) {
        lease_->on_answer(answer, after_it);
        return;
    }
    bool is_granted = answer.number() == 1;
    PackReader rest = answer;
    skip_verdict(answer);
    if (is_granted && answered_at != 0) {
        take_back(size_t(rest.number()));
    } else if (is_granted) {
        give_back();
    } else {
        count();
    }
}

void AdmitAsk::on_lost(RedisLoss loss) {
    RedisLease *lease = std::exchange(lease_, nullptr);
    if (lease == nullptr) {
        needs_answer = false;
        if (loss == RedisLoss::unknown) {
            give_back();
        }
        return;
    }
    bool is_unknown = loss == RedisLoss::unknown;
    if (is_unknown) {
        requests_ = lease->asked_requests();
    }
    if (std::optional<size_t> taken = lease->on_lost(loss)) {
        granted_at_ = ngx_current_msec;
        uncounted_ = parts(*taken);
        requests_.clear();
        needs_answer = !uncounted_.empty();
    }
}

std::vector<Settlement::Item> AdmitAsk::parts(size_t alternative) {
    std::vector<Settlement::Item> items;
    for (size_t part : {size_t(0), alternative}) {
        if (part < requests_.size()) {
            std::move(requests_[part].begin(), requests_[part].end(), std::back_inserter(items));
            requests_[part].clear();
        }
    }
    return items;
}

void AdmitAsk::count() {
    if (!uncounted_.empty()) {
        RedisStore::current()->settle({0, std::exchange(uncounted_, {}), granted_at_});
    }
}

void AdmitAsk::take_back(size_t alternative) {
    std::vector<Settlement::Item> items = parts(alternative);
    if (!items.empty()) {
        RedisStore::current()->settle({id_, std::move(items), ngx_current_msec, 0, answered_at});
    }
}

bool GrowAsk::write(RedisBatch &batch) {
    counters_ = lease_ != nullptr ? lease_->write_growth(batch) : 0;
    if (counters_ == 0 && lease_ != nullptr) {
        lease_->on_grown({});  // it has left the deployment of which it wanted more
    }
    return counters_ > 0;
}

void GrowAsk::on_answer(PackReader &answer) {
    std::vector<int64_t> held;
    for (size_t i = 0; i < counters_ && !answer.is_bad(); i++) {
        held.push_back(answer.number());
    }
    if (lease_ != nullptr) {
        lease_->on_grown(held);
    }
}

void GrowAsk::on_lost(RedisLoss) {
    if (lease_ != nullptr) {
        std::exchange(lease_, nullptr)->on_grown({});
    }
}

}  // namespace llm
