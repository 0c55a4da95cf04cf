// What was spent at several machines, through Redis. One worker of each machine writes the rows of
// its zone there, as they are: sums, not differences, so whatever is sent twice, late or after an
// outage of any length makes nothing wrong, and nothing has to be kept for it. Whoever wants to
// know what all have spent asks for what the others have, and adds what is here.
#pragma once

#include "ngx_llm_module/state/spend.hpp"

namespace llm {

// When the worker begins, after start_redis(), and when it ends, before stop_sharing().
void start_shared_spend(const Config &config);
void stop_shared_spend(const Config &config);
// By the master at its end: has anything come to nowhere?
void tell_owed_spend(const Config &config);

class SpendWaiter {
  public:
    virtual void on_spend() = 0;

  protected:
    ~SpendWaiter() = default;
};

// Asks Redis for what has changed at other machines. False: there is nothing to wait for.
bool refresh_spend(SpendWaiter &waiter);
// It has gone and must not be told.
void forget_refresh(SpendWaiter &waiter);

enum class SpendView : uint8_t {
    own,   // this machine is alone
    all,   // as of the last refresh_spend()
    part,  // Redis is away: of other machines what was seen last
};
SpendView spend_view();

// As read_spend() and spent(), of all machines.
std::vector<SpendRow> read_all_spend(const Config &config);
SpendNumbers spent_by_all(const Config &config, SpendOf of, std::string_view name,
                          uint32_t day = kAllDays);

// --- the half that writes (spend_publisher.cpp), for the one that reads ---

void start_spend_publisher(const Config &config);
void stop_spend_publisher(const Config &config);

}  // namespace llm
