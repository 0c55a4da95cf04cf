// The metrics of all workers as Prometheus' text, from shared memory. No lock is taken: rows of
// the tables stay where they are, their numbers are read one by one.
#pragma once

#include <array>
#include <string>

#include "ngx_llm_module/state/metrics.hpp"

namespace llm {

class MetricsPage {
  public:
    // Of a gauge, by the collectors. The values stand in the order of the metric's labels.
    void add(Metric metric, std::initializer_list<std::string_view> values, int64_t number);

    // The whole page.
    std::string render();

  private:
    std::array<std::string, size_t(Metric::count)> gauges_;
};

// Calls every collector of collectors.cpp.
void collect(const Config &config, MetricsPage &page);

}  // namespace llm
