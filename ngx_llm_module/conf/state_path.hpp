// The place of the state file (llm_zone state=), as far as it can be judged before there are
// workers.
#pragma once

#include <string>

#include "ngx_llm_module/conf/config.hpp"

namespace llm {

// Nobody shall learn of it from the workers; nothing is made here, for this may be a test. False:
// it is no place for one, and the log says why. A place where the workers may not write is a
// warning: all but changes through llm_admin goes on without it.
bool check_state_path(ngx_conf_t *cf, const std::string &path);

}  // namespace llm
