// Keys that nobody can use any more make room: those that another key has replaced, when their
// grace is over, and others a month after they expired.
#pragma once

#include "ngx_llm_module/conf/config.hpp"

namespace llm {

// When the worker begins, after start_sharing(), and when it ends.
void start_expiry(const Config &config);
void stop_expiry();

}  // namespace llm
