// Where a provider can be reached: base URLs, addresses that need no DNS, and the resolver for
// the rest. Nothing here asks a name server: start and `nginx -t` do not wait for one.
#pragma once

#include "ngx_llm_module/conf/config.hpp"

namespace llm {

// Nothing, or what is wrong with the URL.
const char *parse_base_url(std::string_view url, Endpoint &endpoint);

// IP literals, names of /etc/hosts, and names without a dot (localhost, container names).
void find_fixed_addresses(ngx_conf_t *cf, Host &host);

// From the name servers of /etc/resolv.conf; nothing when there are none. A `resolver` of the
// nginx configuration is preferred where one is set.
ngx_resolver_t *make_resolver(ngx_conf_t *cf);

}  // namespace llm
