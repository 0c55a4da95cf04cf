// TLS contexts towards providers.
#pragma once

#include "ngx_llm_module/conf/config.hpp"

namespace llm {

// Made once for each set of trusted certificates and shared by the providers that use it.
// Nothing on failure, with the reason in `wrong`.
ngx_ssl_t *tls_context(ngx_conf_t *cf, const Provider &provider, std::string &wrong);

}  // namespace llm
