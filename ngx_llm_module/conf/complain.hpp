// Complaints of checks that run when the whole configuration was read.
#pragma once

#include "ngx_llm_module/conf/config.hpp"

namespace llm {

// Logs with the file and line of the directive at fault. Always false.
template <class... Args>
bool complain(ngx_conf_t *cf, const ConfPlace &place, const char *format, Args... args) {
    u_char text[NGX_MAX_ERROR_STR];
    u_char *end = ngx_snprintf(text, sizeof(text) - 1, format, args...);
    ngx_log_error(NGX_LOG_EMERG, cf->log, 0, "llm: %*s in %s:%ui", size_t(end - text), text,
                  place.file.c_str(), place.line);
    return false;
}

}  // namespace llm
