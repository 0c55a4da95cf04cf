// Reads secrets and header values: env:NAME, file:PATH, fixed text, or text with variables.
#pragma once

#include "ngx_llm_module/conf/config.hpp"

namespace llm {

// On failure the reason was logged with file and line.
bool read_secret(ngx_conf_t *cf, ngx_str_t text, Value &value);
bool read_value(ngx_conf_t *cf, ngx_str_t text, Value &value);

// A file that is a secret as a whole, several lines of it.
bool read_secret_file(ngx_conf_t *cf, std::string_view path, std::string &secret);

// The first of these environment variables (a blank between their names) that is set. False only
// when memory ran out.
bool read_environment(ngx_conf_t *cf, std::string_view names, std::string &secret);

}  // namespace llm
