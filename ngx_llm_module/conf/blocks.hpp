// Reads the blocks llm_provider NAME { } and llm_model NAME { } into the configuration.
#pragma once

#include "ngx_llm_module/conf/config.hpp"

namespace llm {

char *read_provider_block(ngx_conf_t *cf, Config &config);
char *read_model_block(ngx_conf_t *cf, Config &config);

}  // namespace llm
