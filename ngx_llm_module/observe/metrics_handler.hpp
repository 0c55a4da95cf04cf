// The content handler of llm_metrics.
#pragma once

#include "ngx_llm_module/base/ngx_cxx.hpp"

namespace llm {

ngx_int_t handle_metrics(ngx_http_request_t *r);

// Counts what nginx itself answered in our locations; called when the configuration is complete.
bool install_log_handler(ngx_conf_t *cf);

}  // namespace llm
