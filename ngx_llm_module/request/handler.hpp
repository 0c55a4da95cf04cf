// Where nginx hands a request over.
#pragma once

#include "ngx_llm_module/base/ngx_cxx.hpp"

namespace llm {

ngx_int_t handle_request(ngx_http_request_t *r);          // llm_pass
ngx_int_t handle_health_location(ngx_http_request_t *r);  // llm_health

// Liveness, readiness and the bare root: answered without a key.
bool is_open(ngx_http_request_t *r);

}  // namespace llm
