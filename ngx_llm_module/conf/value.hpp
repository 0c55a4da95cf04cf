// Reads secrets and header values: env:NAME, file:PATH, fixed text, or text with variables.
#pragma once

#include "ngx_llm_module/conf/config.hpp"

namespace llm {

// On failure the reason was logged with file and line.
bool read_secret(ngx_conf_t *cf, ngx_str_t text, Value &value);
bool read_value(ngx_conf_t *cf, ngx_str_t text, Value &value);

}  // namespace llm
