// One request's share of the limits in Redis. It is in one of three states: nothing taken, held in
// Redis, or held on this machine while Redis is away (entered there when it is back). Of what is
// held in Redis this machine holds the part that was moved to while Redis was away.
#pragma once

#include <optional>

#include "ngx_llm_module/policy/redis_store.hpp"

namespace llm {

class AdmitAsk;
class GrowAsk;

class RedisLease final : public Lease {
  public:
    RedisLease(RedisStore &store, Demands &demands, Waiter &waiter);
    ~RedisLease() override;

    Verdict take() override;
    Verdict move(size_t first) override;
    Verdict change_model() override;
    bool grow(const Used &so_far, const Used &of_deployment) override;
    void add_to_deployment(const Used &used) override;
    void release(const Used &used) override;

    uint64_t id() const { return id_; }
    // What it holds, to be entered again. False: nothing.
    bool write_holdings(RedisBatch &batch) const;

    // Of AdmitAsk.
    // Gives the group in which it is admitted, 0: in none.
    size_t write_demands(RedisBatch &batch);
    // Whether an answer that does not come refuses the request, which may have been counted.
    bool needs_answer() const;
    // What it asked to be counted at once, as it was written: always, and with each alternative.
    std::vector<std::vector<Settlement::Item>> asked_requests() const;
    void on_answer(PackReader &answer, size_t after_it);
    // Which part of asked_requests() is of the alternative that was taken; none: the request goes
    // no further.
    std::optional<size_t> on_lost(RedisLoss loss);
    // Of GrowAsk. Of how many counters the answer will speak.
    size_t write_growth(RedisBatch &batch) const;
    // What is held now, -1: the limit has run out; empty: nobody knows.
    void on_grown(const std::vector<int64_t> &answer);

  private:
    enum class Place : uint8_t { nowhere, redis, machine };
    enum class Step : uint8_t { take, move, change };

    // What must be settled; the demand may be gone by then.
    struct Kept {
        Quantity quantity;
        TokenKind tokens;
        int64_t limit = 0;
        RedisCounter counter;
        Period period;
        int64_t held = 0;
        int64_t used = 0;         // so far, when Redis was asked for more
        int64_t wanted = 0;       // that is how much
        bool is_growing = false;  // it is being asked
        bool is_last = false;     // it had no more than what is held now
        bool is_left = false;     // its deployment is, and what was used of it has been counted

        bool is_counted() const { return quantity == Quantity::requests; }  // when it was admitted
        int64_t of(const Used &used_by) const { return used_by.of(quantity, tokens); }
    };

    Verdict go_on(Step step, size_t first_alternative);
    bool ask();
    size_t first_demand() const;
    void name_counters();
    PackWriter list_dropped(RedisBatch &batch) const;
    Verdict read_verdict(PackReader &answer, size_t after_it);
    OnOutage on_outage(const Demand &demand) const;
    Verdict without_redis();
    bool is_denied(size_t first, size_t many) const;
    void list_for_machine(size_t first, size_t many);
    Verdict take_on_machine();
    void keep(size_t alternative);
    void keep_range(size_t first, size_t last);
    void hold_gauge(size_t alternative);
    void forget_model();
    int64_t amount_used(Kept &kept, const Used &used) const;
    void leave_deployment();
    void drop_deployment();

    RedisStore &store_;
    Demands &demands_;
    Waiter &waiter_;
    uint64_t id_;
    AdmitAsk *pending_ = nullptr;
    GrowAsk *growing_ = nullptr;
    std::unique_ptr<Lease> local_;  // the gauge of requests in flight; more, while Redis is away
    Demands machine_;               // what local_ refers to: what this machine is to count
    std::vector<size_t> machine_demands_;       // which ones of demands_.list
    std::vector<size_t> machine_alternatives_;  // and of its alternatives
    Place place_ = Place::nowhere;
    std::vector<RedisCounter> counters_;  // of demands_.list, until they are kept
    std::vector<Kept> kept_;
    Used of_deployment_;
    size_t lasting_kept_ = 0;    // so many last
    size_t common_kept_ = 0;     // so many are not the deployment's
    std::vector<int64_t> held_;  // of demands_.list, as the last verdict said
    Step step_ = Step::take;     // the latest one
    size_t first_ = 0;           // of the alternatives that are asked for
    bool is_enlisted_ = false;
    bool may_have_counted_ = false;  // Redis, the requests of the latest step
    bool is_unsure_ = false;         // it may have granted what it was asked for
    bool has_run_out_ = false;
    bool is_released_ = false;
};

}  // namespace llm
