// The settings of a location, made and inherited.
#pragma once

#include "ngx_llm_module/conf/config.hpp"

namespace llm {

void *create_location(ngx_conf_t *cf);
char *merge_location(ngx_conf_t *cf, void *parent, void *child);

}  // namespace llm
