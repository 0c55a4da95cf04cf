// Limits as a store sees them: what a request asks for, what it was given, and how it gives that
// back. Two stores keep the counters: shared memory (zone_store.cpp) and Redis. Both follow the
// rules of state/window.hpp, so that a limit means the same in either.
//
//   LimitStore::open()     a lease for one request, holding nothing yet
//   Lease::take()          all limits in one step; refused: nothing was taken anywhere
//   Lease::move()          another deployment: only that part changes
//   Lease::change_model()  a fallback: the part of the model changes, too
//   Lease::grow()          a running answer needs more than was reserved
//   Lease::release()       once, with what was really used
//
// A request holds its Demands and its Lease; the lease goes first. Nothing here is nginx's.
#pragma once

#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "ngx_llm_module/conf/limits.hpp"

namespace llm {

// Whose limit it is. Counters are named by scope, id, detail, quantity and period; the limit's
// height is no part of the name, so it can be changed while the counter goes on.
enum class Scope : uint8_t { key, team, user, customer, limit, deployment };

enum class Quantity : uint8_t {
    requests,  // counted when the request is admitted, and stays counted
    tokens,    // reserved at first, in the end what was used
    parallel,  // held while the lease lives; has no period
    cost,      // nano-dollars; as tokens
};

constexpr int64_t kUnlimited = std::numeric_limits<int64_t>::max();

// One limit and what the request wants of it. The views live as long as the request.
//
// A demand fits when
//     used < limit  and  (reserved == 0  or  used + reserved + amount <= limit)
// where `used` is what the window or period has counted and `reserved` what living leases hold.
// So a request whose estimate is larger than what is left passes when it is alone, and a limit is
// exceeded by what one request uses, at most. Requests and parallel ones are exact. What it then
// holds is min(amount, limit - used - reserved).
struct Demand {
    Scope scope = Scope::key;
    Quantity quantity = Quantity::requests;
    TokenKind tokens = TokenKind::total;
    Period period;
    std::string_view id;      // key: its hash; limit: its name in the configuration
    std::string_view detail;  // a model within the scope; limit: the value of its variable
    std::string_view shown;   // what a message calls it; empty: not by name
    int64_t limit = kUnlimited;
    int64_t soft_limit = kUnlimited;    // only reported
    std::optional<OnOutage> on_outage;  // none: as llm_redis says
    int64_t amount = 0;

    // Filled by the store, granted or not.
    int64_t used = 0;      // with reservations, this one included when it was granted
    int64_t held = 0;      // so much of it is this one's
    int64_t reset_ms = 0;  // until nothing of what is counted now counts any more; -1: never

    int64_t remaining() const { return used < limit ? limit - used : 0; }
    bool is_over_soft() const { return used > soft_limit; }
};

// One deployment that could serve the request: its demands are [first, first + count) of the list.
struct Alternative {
    uint32_t slot = 0;  // of the deployment, for the gauge of requests in flight
    uint32_t first = 0;
    uint32_t count = 0;
};

struct Demands {
    std::vector<Demand> list;  // those that last, those of the model, those of the alternatives
    size_t lasting = 0;        // so many do not change once taken
    size_t common = 0;         // so many hold for each alternative: with those of the model
    // In the order in which they are to be tried; may be replaced before move().
    std::vector<Alternative> alternatives;
};

// What a request has used, or has used so far.
struct Used {
    int64_t input_tokens = 0;
    int64_t output_tokens = 0;
    int64_t cost = 0;  // nano-dollars

    Used &operator+=(const Used &more) {
        input_tokens += more.input_tokens;
        output_tokens += more.output_tokens;
        cost += more.cost;
        return *this;
    }
    int64_t of(const Demand &demand) const { return of(demand.quantity, demand.tokens); }
    int64_t of(Quantity quantity, TokenKind tokens) const {
        switch (quantity) {
            case Quantity::requests:
                return 1;
            case Quantity::parallel:
                return 0;
            case Quantity::cost:
                return cost;
            case Quantity::tokens:
                break;
        }
        return tokens == TokenKind::input    ? input_tokens
               : tokens == TokenKind::output ? output_tokens
                                             : input_tokens + output_tokens;
    }
};

enum class Admission : uint8_t {
    granted,
    refused,  // a limit is reached
    failed,   // the store cannot tell, and its configuration says to deny then
    waiting,  // Waiter::on_verdict follows
};

struct Verdict {
    Admission admission = Admission::granted;
    size_t alternative = 0;  // granted: which one
    // Refused: by this one; of several the one that lasts longest, among alternatives the one that
    // ends first.
    const Demand *refused_by = nullptr;
    int64_t wait_ms = 0;  // refused: until it may fit; 0: when another request ends; -1: never
};

// Told of a verdict that took time, once, from the event loop. Not called any more after release()
// or the lease's end; either may happen within the call.
class Waiter {
  public:
    virtual void on_verdict(const Verdict &verdict) = 0;

  protected:
    ~Waiter() = default;
};

// What one request holds. Refers to the Demands and the Waiter it was opened with.
class Lease {
  public:
    // What was not released is given back as if nothing had been used.
    virtual ~Lease() = default;

    // Takes the common demands and those of the first alternative that has room, or nothing.
    // Without alternatives the common ones alone.
    virtual Verdict take() = 0;
    // Gives back what is held of the present deployment (its requests stay counted) and takes the
    // first alternative from `first` on that has room. Refused: no deployment is held.
    virtual Verdict move(size_t first) = 0;
    // The demands from `lasting` on are those of another model. Gives back what is held of the
    // present one and its deployment, as move() does, and takes these with the first alternative
    // that has room. Refused: neither model nor deployment is held.
    virtual Verdict change_model() = 0;
    // Reserves more where the answer has used more than is held. False: a limit has run out, what
    // is held did not change. May answer from what it knows, it never waits.
    virtual bool grow(const Used &so_far, const Used &of_deployment) = 0;
    // So much more was used of the present deployment: it is counted there when the deployment is
    // left, or at the end.
    virtual void add_to_deployment(const Used &used) = 0;
    // Everything is given back, what was used is counted, by the deployment only what was added to
    // it. Later calls do nothing.
    virtual void release(const Used &used) = 0;
};

class LimitStore {
  public:
    virtual ~LimitStore() = default;
    virtual std::unique_ptr<Lease> open(Demands &demands, Waiter &waiter) = 0;
};

// Of this worker: start_limits makes it (limit_store.hpp).
LimitStore &limit_store();

}  // namespace llm
