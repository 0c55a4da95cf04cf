// What a lease asks Redis for and waits for. The lease may be gone when the answer comes: it says
// so with forget().
#pragma once

#include <utility>

#include "ngx_llm_module/policy/redis_lease.hpp"

namespace llm {

// A move to nowhere. Nobody waits for what becomes of it: what Redis does not hear now it hears at
// the lease's end.
class DropAsk final : public RedisAsk {
  public:
    explicit DropAsk(uint64_t id) : id_(id) {}
    bool write(RedisBatch &batch) override;
    void on_answer(PackReader &answer) override;
    void on_lost(RedisLoss) override {}

  private:
    uint64_t id_;
};

// It outlives the lease when its request ends while it waits.
class AdmitAsk final : public RedisAsk {
  public:
    explicit AdmitAsk(RedisLease &lease) : lease_(&lease), id_(lease.id()) {}
    void forget() { lease_ = nullptr; }

    bool write(RedisBatch &batch) override;
    void on_answer(PackReader &answer) override;
    void on_lost(RedisLoss loss) override;
    void on_undone() override { count(); }

  private:
    void give_back() { RedisStore::current()->settle({id_, {}, ngx_current_msec}); }
    // The requests that are counted always, and with this alternative.
    std::vector<Settlement::Item> parts(size_t alternative);
    // Of a request that went on without Redis, which has not counted it.
    void count();
    // What else was taken is given back at the lease's end.
    void take_back(size_t alternative);

    RedisLease *lease_;
    uint64_t id_;
    std::vector<std::vector<Settlement::Item>> requests_;  // of one that was refused
    std::vector<Settlement::Item> uncounted_;              // of one that was not, perhaps
    ngx_msec_t granted_at_ = 0;
};

class GrowAsk final : public RedisAsk {
  public:
    explicit GrowAsk(RedisLease &lease) : lease_(&lease) {}
    void forget() { lease_ = nullptr; }

    bool write(RedisBatch &batch) override;
    void on_answer(PackReader &answer) override;
    // The request goes on: what it uses is counted at its end.
    void on_lost(RedisLoss) override;

  private:
    RedisLease *lease_;
    size_t counters_ = 0;
};

}  // namespace llm
