// One request's share of the limits in Redis. It is in one of three states: nothing taken, held in
// Redis, or held on this machine while Redis is away (entered there when it is back).
#pragma once

#include "ngx_llm_module/policy/redis_store.hpp"

namespace llm {

class AdmitCommand;
class GrowCommand;

class RedisLease final : public Lease {
  public:
    RedisLease(RedisStore &store, Demands &demands, Waiter &waiter);
    ~RedisLease() override;

    Verdict take() override;
    Verdict move(size_t first) override;
    bool grow(const Used &so_far) override;
    void release(const Used &used) override;

    const std::string &id() const { return id_; }
    // What it holds, as the scripts read it.
    std::string holdings() const;

    // Of AdmitCommand.
    void on_reply(const RedisReply &reply);
    void on_lost(RedisLoss loss);
    // Of GrowCommand.
    void on_grown(const RedisReply &reply);

  private:
    enum class Place : uint8_t { nowhere, redis, machine };

    // What must be settled. The views of the demand are not used.
    struct Kept {
        Demand demand;
        RedisCounter counter;
        int64_t held = 0;
        bool is_counted = false;  // a request: it counted when it was admitted
        bool is_growing = false;  // Redis is asked for more,
        int64_t wanted = 0;       // so much
        bool is_last = false;     // it had no more than what is held now
    };

    bool ask(size_t first_alternative, bool is_move);
    Verdict read_verdict(const RedisReply &reply);
    Verdict without_redis(bool is_move);
    void keep(size_t alternative, bool is_move);
    void keep_range(size_t first, size_t last);
    void hold_gauge(size_t alternative);
    void drop_deployment();

    RedisStore &store_;
    Demands &demands_;
    Waiter &waiter_;
    std::string id_;
    AdmitCommand *pending_ = nullptr;
    GrowCommand *growing_ = nullptr;
    std::unique_ptr<Lease> local_;  // the gauge of requests in flight; all, while Redis is away
    Demands gauge_;                 // what local_ refers to
    Place place_ = Place::nowhere;
    std::vector<Kept> kept_;
    size_t common_kept_ = 0;
    std::vector<int64_t> held_;  // of demands_.list, as the last verdict said
    size_t first_ = 0;           // of the alternatives that are asked for
    bool is_moving_ = false;
    bool is_enlisted_ = false;
    bool has_run_out_ = false;
    bool is_released_ = false;
};

// The counter of a demand. Names are the same on all machines.
RedisCounter redis_counter(const Config &config, const Demand &demand, int64_t &reset_ms);

}  // namespace llm
