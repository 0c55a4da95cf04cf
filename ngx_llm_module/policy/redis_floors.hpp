// Budgets in Redis are raised to what was spent: before they were set, before Redis was flushed or
// began empty, and while it was away, should a worker have ended with what it owed
// (budget_floors.hpp).
//
// What was spent and what Redis has counted are never known of the same moment. So what was read is
// not sent before Redis has all that requests had booked at this machine then
// (policy/redis_debts.hpp): else that would be counted twice, after an outage above all, when
// workers hold back what stands in the table already. Other machines tell what they have spent when
// they have handed it in. What is missing for the same reason, and what they had not told yet
// (policy/shared_spend.hpp), is there when everything is done once more some seconds later.
#pragma once

#include <vector>

#include "ngx_llm_module/policy/budget_floors.hpp"
#include "ngx_llm_module/state/state_keeper.hpp"

namespace llm {

// When the worker begins, after start_shared_spend(), and when it ends, before stop_redis(). One
// worker sees to all budgets, some at a time: when it begins, when Redis was away and is back, and
// when Redis has lost what it had.
void start_raising(const Config &config);
void stop_raising();
void raise_after_outage();

// Of records that were written; the floors were known before. Told true when Redis has them, or
// will as soon as it is back; at once where there is nothing to do, or no llm_redis.
void raise_in_redis(std::vector<BudgetOwner> owners, std::vector<BudgetFloor> floors,
                    StoreWaiter &waiter);
// It has gone and must not be told.
void forget_raise(StoreWaiter &waiter);

}  // namespace llm
