// The store of this worker's life.
#pragma once

#include "ngx_llm_module/conf/config.hpp"

namespace llm {

void start_limits(const Config &config);
void stop_limits();

}  // namespace llm
