// Outgoing connections, from the socket to the check of the certificate.
#include "ngx_llm_module/base/peer.hpp"

#include <openssl/x509v3.h>

namespace llm {
namespace {

constexpr size_t kConnectionPool = 128;

ngx_int_t keep_peer(ngx_peer_connection_t *, void *) noexcept {
    return NGX_OK;  // sockaddr and name are set already
}

bool is_address(const std::string &name) {
    return ngx_inet_addr((u_char *)name.data(), name.size()) != INADDR_NONE ||
           name.find(':') != std::string::npos;
}

bool is_certificate_for_address(ngx_connection_t *c, const std::string &address) {
    X509 *certificate = SSL_get_peer_certificate(c->ssl->connection);
    if (certificate == nullptr) {
        return false;
    }
    bool fits = X509_check_ip_asc(certificate, address.c_str(), 0) == 1;
    X509_free(certificate);
    return fits;
}

}  // namespace

ngx_connection_t *connect_peer(ngx_peer_connection_t &peer, bool &is_connected, bool &is_local) {
    peer.get = keep_peer;
    ngx_int_t rc = ngx_event_connect_peer(&peer);
    ngx_connection_t *c = peer.connection;
    peer.connection = nullptr;
    is_local = rc == NGX_ERROR;
    if (rc == NGX_ERROR || rc == NGX_BUSY || rc == NGX_DECLINED) {
        if (c != nullptr) {  // some failures leave the socket to us
            ngx_close_connection(c);
        }
        return nullptr;
    }
    c->pool = ngx_create_pool(kConnectionPool, peer.log);
    if (c->pool == nullptr) {
        ngx_close_connection(c);
        return nullptr;
    }
    is_connected = rc == NGX_OK;
    return c;
}

int connect_error(ngx_connection_t *c) {
    int error = 0;
    socklen_t size = sizeof(error);
    if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &size) == -1) {
        error = ngx_socket_errno;
    }
    return error;
}

bool set_server_name(ngx_connection_t *c, const std::string &name) {
    return is_address(name) || SSL_set_tlsext_host_name(c->ssl->connection, name.c_str()) != 0;
}

bool is_peer_trusted(ngx_connection_t *c, const std::string &host, const std::string &name) {
    long rc = SSL_get_verify_result(c->ssl->connection);
    if (rc != X509_V_OK) {
        ngx_log_error(NGX_LOG_ERR, c->log, 0, "llm: certificate of \"%s\" is not trusted: %s",
                      host.c_str(), X509_verify_cert_error_string(rc));
        return false;
    }
    // nginx compares names only.
    ngx_str_t wanted = str(name);
    if (is_address(name) ? !is_certificate_for_address(c, name)
                         : ngx_ssl_check_host(c, &wanted) != NGX_OK) {
        ngx_log_error(NGX_LOG_ERR, c->log, 0, "llm: certificate of \"%s\" is not for \"%s\"",
                      host.c_str(), name.c_str());
        return false;
    }
    return true;
}

void close_peer_connection(ngx_connection_t *c) {
    if (c->ssl != nullptr) {
        c->ssl->no_wait_shutdown = 1;
        c->ssl->no_send_shutdown = c->error || c->close;
        (void)ngx_ssl_shutdown(c);
    }
    ngx_pool_t *pool = c->pool;
    ngx_close_connection(c);
    if (pool != nullptr) {
        ngx_destroy_pool(pool);
    }
}

}  // namespace llm
