// nginx's own error pages (413, 429 of limit_req, 403 of deny, 502 ...) as errors of the caller's
// dialect, wherever llm_pass or llm_admin stands.
#pragma once

#include <string_view>

#include "ngx_llm_module/base/ngx_cxx.hpp"

namespace llm {

// The id that such an answer has got; empty: there was none.
std::string_view refused_id(ngx_http_request_t *r);

void install_error_pages();

}  // namespace llm
