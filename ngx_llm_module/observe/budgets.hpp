// What is left of the budgets of keys, teams, users and customers, wherever they were made, and
// whichever store counts them.
#pragma once

#include "ngx_llm_module/observe/metrics_page.hpp"

namespace llm {

// A gauge for each, the most used ones first; what is beyond kMostBudgets is summed up as "other".
constexpr size_t kMostBudgets = 1000;
void collect_budgets(const Config &config, MetricsPage &page);

// When the worker ends.
void stop_budgets();

}  // namespace llm
