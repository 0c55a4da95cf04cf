// Connections that this module opens: what providers and stores have in common.
#pragma once

#include <string>

#include "ngx_llm_module/base/ngx_cxx.hpp"

namespace llm {

// Starts to connect to peer.sockaddr and gives the connection a pool. Nothing when it failed at
// once; `is_local`: for want of a connection here. `is_connected`: there is no need to wait.
ngx_connection_t *connect_peer(ngx_peer_connection_t &peer, bool &is_connected, bool &is_local);

// After the first event of a connection: what connect() came to; 0: it stands.
int connect_error(ngx_connection_t *c);

// The server name that TLS asks for; an address has none (RFC 6066).
bool set_server_name(ngx_connection_t *c, const std::string &name);

// After the handshake: the certificate is trusted and made out to this name. Logs why not.
bool is_peer_trusted(ngx_connection_t *c, const std::string &host, const std::string &name);

// Also destroys its pool; says farewell in TLS where that does not wait.
void close_peer_connection(ngx_connection_t *c);

}  // namespace llm
