// The variables of variables.def.
#pragma once

#include "ngx_llm_module/base/ngx_cxx.hpp"

namespace llm {

bool add_variables(ngx_conf_t *cf);

}  // namespace llm
