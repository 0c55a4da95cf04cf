// Where nginx hands a request over.
#pragma once

#include "ngx_llm_module/conf/config.hpp"

namespace llm {

ngx_int_t handle_request(ngx_http_request_t *r);          // llm_pass
ngx_int_t handle_health_location(ngx_http_request_t *r);  // llm_health

class LlmRequest;

// The request object, with prompt cleanup; nothing: out of memory.
LlmRequest *make_llm_request(ngx_http_request_t *r);

// What follows the location's own prefix.
std::string_view path_below(const ngx_http_request_t *r, const ngx_http_llm_loc_conf_t &loc);

// Liveness, readiness and the bare root: answered without a key.
bool is_open(ngx_http_request_t *r);

}  // namespace llm
