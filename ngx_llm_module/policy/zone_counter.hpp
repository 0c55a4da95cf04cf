// Which counter of the zone a limit is counted in, and what it says.
#pragma once

#include <string>

#include "ngx_llm_module/policy/demands.hpp"
#include "ngx_llm_module/state/meters.hpp"

namespace llm {

struct BudgetFloor;

// A calendar period that is over gives way to the one of now.
void renew_period(const Config &config, MeterKey &key, int64_t now);
// `name`: room for one, used again.
MeterKey meter_key(const Config &config, const Meters &table, const Demand &demand, int64_t now,
                   std::string &name);

// Where a limit is counted, to be looked at often.
MeterKey key_in_zone(const Config &config, const Demand &demand);
// What has been used against it, and what living requests hold of it. The key's period is renewed.
int64_t used_in_zone(const Config &config, MeterKey &key, const Clocks &clocks);
// What is missing in the budget's counter is added.
void raise_in_zone(const Config &config, const BudgetFloor &floor);

}  // namespace llm
