// Authentication in nginx's access phase, behind nginx's own directives. What was found out is kept
// with the request's pool, so that it is there after an internal redirect and for the log.
#pragma once

#include "ngx_llm_module/conf/config.hpp"
#include "translators/core/errors.hpp"

namespace llm {

struct Access {
    Identity identity;
    bool is_checked = false;  // by the access phase; else a variable was read before
    bool is_refused = false;
    // Of a refusal: one word that is known to users of such gateways (ApiError::own), and why.
    std::string_view word;
    std::string_view message;
};

// Nothing: no key was looked for.
Access *find_access(ngx_http_request_t *r);

// Whose key it is, also before the access phase: limit_req and `if` ask early. Nothing: none is
// sent.
const Identity *find_identity(ngx_http_request_t *r);

// The key that the client sent, without its header's other words; empty: none.
std::string client_key(ngx_http_request_t *r);

// A key in the address would stand in every log line that shows the request: it is overwritten
// there, and in the arguments. Where no request is passed on (llm_admin, llm_metrics, llm_health)
// so is whatever looks like one; elsewhere what has the name of one is before the request is
// logged.
void mask_client_key(ngx_http_request_t *r);

bool install_access(ngx_conf_t *cf);

}  // namespace llm
