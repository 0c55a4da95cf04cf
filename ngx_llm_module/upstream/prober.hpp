// Asks the deployments of models that have `probe`, each in its interval, and tells what came of it
// to their health. All workers ask whether one is due; shared memory gives it to one of them, and
// with Redis to one machine. So nothing needs to be taken over when one of them ends.
#pragma once

#include "ngx_llm_module/conf/config.hpp"

namespace llm {

// When the worker begins, after start_worker(), and when it ends, before stop_worker().
void start_probes(const Config &config);
void stop_probes();

}  // namespace llm
