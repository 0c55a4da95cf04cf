// Cool-downs of several machines, through Redis: a deployment that one of them leaves alone is left
// alone by all of them, within half a second.
#pragma once

#include "ngx_llm_module/conf/config.hpp"

namespace llm {

// When the worker begins, after start_redis(), and when it ends, before stop_redis().
void start_shared_cooldowns(const Config &config);
void stop_shared_cooldowns();

}  // namespace llm
