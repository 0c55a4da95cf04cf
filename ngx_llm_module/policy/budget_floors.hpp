// A budget is compared with what was spent, also with what was spent before it was set or got
// another duration: whenever a record with budgets is written, and when the configuration is read,
// their counters are raised to what the table of spend knows (state/spend.hpp). Raised: what a
// counter has stays, what it lacks is added. So it may be done as often as one likes.
//
// Of a period that runs, days count that began in it: never more than was spent in it. The days of
// the table are those of UTC. A budget of one model has no row there and begins at zero; so does
// one whose name was counted as "other".
#pragma once

#include <span>
#include <string>
#include <vector>

#include "ngx_llm_module/conf/config.hpp"
#include "ngx_llm_module/policy/store.hpp"
#include "ngx_llm_module/state/record_table.hpp"

namespace llm {

struct SpentPart {
    int64_t at;  // Unix time: the day's begin
    int64_t nanos;
};

// How much a budget's counter must have at least.
struct BudgetFloor {
    Scope scope = Scope::key;
    std::string id;
    Period period;
    std::vector<SpentPart> parts;  // the oldest one first; of all time: one

    // The counter; refers to the id.
    Demand demand() const;
    // 0: all of it.
    int64_t since(int64_t begin) const;
};

// Whose budgets they are.
struct BudgetOwner {
    Scope scope = Scope::key;
    std::string id;  // under which it is counted
    std::vector<Period> periods;
};

// Those that have budgets: of the configuration.
std::vector<BudgetOwner> configured_owners(const Config &config);
// Of records that are being written.
std::vector<BudgetOwner> owners_of(std::span<const RecordChange> changes);

// Appends those that are above zero, as far as is known here now.
void add_floors(const Config &config, const BudgetOwner &owner, std::vector<BudgetFloor> &floors);

// The configuration's, in the zone; before the workers begin.
void raise_configured(const Config &config);

}  // namespace llm
