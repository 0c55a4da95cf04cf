// Budgets over a restart (llm_zone state=): what was spent in each period that still runs. Counters
// are saved under their hashed names, and the key of the hash with them.
#pragma once

#include <string>
#include <string_view>

#include "ngx_llm_module/conf/config.hpp"

namespace llm {

class StateWriter;

// Another number whenever something was spent.
uint64_t budgets_generation(const Config &config);
void save_budgets(const Config &config, StateWriter &out);
// Into a zone that has counted nothing yet. False: the text is not what save_budgets writes.
bool load_budgets(const Config &config, std::string_view text);

}  // namespace llm
