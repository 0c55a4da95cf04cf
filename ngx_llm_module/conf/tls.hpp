// TLS contexts towards providers and stores.
#pragma once

#include "ngx_llm_module/conf/config.hpp"

namespace llm {

struct TlsTrust {
    bool verify = true;
    std::string certificates;  // a file; empty: those of the system
};

// Nothing on failure, with the reason in `wrong`. Freed with the configuration.
ngx_ssl_t *make_tls_context(ngx_conf_t *cf, const TlsTrust &trust, std::string &wrong);

// Made once for each set of trusted certificates and shared by the providers that use it.
// Nothing on failure, with the reason in `wrong`.
ngx_ssl_t *tls_context(ngx_conf_t *cf, const Provider &provider, std::string &wrong);

}  // namespace llm
