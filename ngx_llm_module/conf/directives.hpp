// The table of directives for the module definition.
#pragma once

#include "ngx_llm_module/conf/config.hpp"

namespace llm {

extern ngx_command_t directives[];

}  // namespace llm
