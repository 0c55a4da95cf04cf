// What a lease asks Redis: to be admitted or moved, to leave its deployment, to hold more. It
// outlives the lease when the request ends while it waits.
#pragma once

#include <vector>

#include "ngx_llm_module/policy/redis_batch.hpp"

namespace llm {

class RedisLease;

class AdmitAsk final : public RedisAsk {
  public:
    explicit AdmitAsk(RedisLease &lease);
    void forget() { lease_ = nullptr; }

    bool write(RedisBatch &batch) override;
    void on_answer(PackReader &answer) override;
    void on_lost(RedisLoss loss) override;
    void on_undone() override { count(); }

  private:
    std::vector<Settlement::Item> parts(size_t alternative);
    void give_back();
    void take_back(size_t alternative);
    void count();

    RedisLease *lease_;
    uint64_t id_;
    std::vector<std::vector<Settlement::Item>> requests_;  // of one that was refused
    std::vector<Settlement::Item> uncounted_;              // of one that was not, perhaps
    ngx_msec_t granted_at_ = 0;
};

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

class GrowAsk final : public RedisAsk {
  public:
    explicit GrowAsk(RedisLease &lease) : lease_(&lease) {}
    void forget() { lease_ = nullptr; }

    bool write(RedisBatch &batch) override;
    void on_answer(PackReader &answer) override;
    void on_lost(RedisLoss loss) override;

  private:
    RedisLease *lease_;
    size_t counters_ = 0;
};

}  // namespace llm
