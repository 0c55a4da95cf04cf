// What can only be done when the whole configuration was read: presets fill what was left out,
// addresses and TLS contexts are made, names are looked up, and everything that contradicts is
// refused with the file and line of its directive.
#pragma once

#include "ngx_llm_module/conf/config.hpp"

namespace llm {

bool complete_config(ngx_conf_t *cf, Config &config);

}  // namespace llm
