// The limits of one machine: counted in the shared zone, answered at once.
#pragma once

#include "ngx_llm_module/policy/store.hpp"
#include "ngx_llm_module/state/meters.hpp"

namespace llm {

struct BudgetFloor;

class ZoneStore final : public LimitStore {
  public:
    explicit ZoneStore(const Config &config) : config_(config) {}
    std::unique_ptr<Lease> open(Demands &demands, Waiter &waiter) override;

  private:
    const Config &config_;
};

// Where a limit is counted, to be looked at often.
MeterKey key_in_zone(const Config &config, const Demand &demand);
// What has been used against it, and what living requests hold of it. The key's period is renewed.
int64_t used_in_zone(const Config &config, MeterKey &key, const Clocks &clocks);
// What is missing in the budget's counter is added.
void raise_in_zone(const Config &config, const BudgetFloor &floor);

}  // namespace llm
