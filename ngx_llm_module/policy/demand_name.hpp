// What a counter is called, the same in every store.
#pragma once

#include <string>

#include "ngx_llm_module/policy/store.hpp"

namespace llm {

// "key", or "key model" of one model within it: the scope in logs, metrics and names of counters.
std::string_view scope_name(Scope scope, bool is_of_model);
std::string_view scope_name(const Demand &demand);
std::string_view quantity_name(const Demand &demand);

// Appends the name: no two counters share one, whatever bytes stand in ids.
void append_name(const Demand &demand, std::string &out);

}  // namespace llm
