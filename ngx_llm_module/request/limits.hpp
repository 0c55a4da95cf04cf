// The limits of one request: what it asks the store for, and what becomes of it. The stages ask in
// this order: admit, move_to for every attempt, leave when one failed; settle ends it.
#pragma once

#include <memory>
#include <span>
#include <string>

#include "ngx_llm_module/policy/demands.hpp"
#include "ngx_llm_module/policy/store.hpp"

namespace llm {

class LlmRequest;

class Limits final : public Waiter {
  public:
    explicit Limits(LlmRequest &request) : request_(request) {}

    // All limits, with the request's candidates as alternatives. `waiting`: resume_admission()
    // comes later.
    Admission admit();
    // The candidate whose turn it is. `waiting`: resume_attempt() comes later.
    Admission move_to(size_t index);
    // No candidate of the model had room, or it is a fallback that the caller's limits do not let
    // it have: another one may do.
    bool is_model_full() const;
    // What the attempt at this candidate has used, and nothing else will tell of: its deployment's
    // own limits count it, all others with what end() counts.
    void add_used(size_t index, const Used &used);
    // The present candidate failed.
    void leave();
    size_t candidate() const { return candidate_; }
    // Room for another attempt beside the present one, at another candidate. `waiting`: the waiter
    // is told.
    Admission take_second(size_t index, Waiter &waiter);
    // That one is the request's attempt from here: what the first one held is given back.
    void adopt_second();
    void drop_second();
    // The request was refused: answers it. It is gone afterwards.
    void reply();
    // Between two events of a stream. False: a limit has run out, and the location says cut.
    bool may_go_on(uint64_t content_bytes);
    // What was used is counted, the rest given back; add_headers() knows it from then on.
    void end();

    // x-ratelimit-* of the limit that has least left, or that refused.
    void add_headers();

    // What admit() would ask for; nothing is taken.
    const Demands &demands() {
        collect();
        return demands_;
    }
    const Estimate &estimate() const { return estimate_; }

    void on_verdict(const Verdict &verdict) override;

  private:
    enum class State : uint8_t { none, admitting, moving, held, left, over };

    // What a hedge holds of its deployment.
    struct Second {
        Demands demands;
        std::unique_ptr<Lease> lease;
        size_t candidate = 0;
        bool is_adopted = false;
    };

    void collect();
    void make_estimate();
    std::vector<LimitValue> limit_values() const;
    DemandSource source(std::span<const LimitValue> values) const;
    std::string_view current_model() const;
    Admission take(const Verdict &verdict);
    void warn();
    void correct(const Used &used, const Used &of_deployment);
    void add_scope_headers();
    void add_rate_headers(Quantity quantity, std::string_view what);

    LlmRequest &request_;
    Demands demands_;
    std::unique_ptr<Lease> lease_;
    std::unique_ptr<Second> second_;
    Verdict verdict_;
    Estimate estimate_;
    bool is_refused_ = false;  // so it ended
    std::string held_model_;   // whose demands are held
    size_t candidate_ = 0;
    size_t wanted_ = 0;  // while moving
    State state_ = State::none;
    bool is_over_soft_ = false;
};

}  // namespace llm
