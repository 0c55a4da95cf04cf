// How a NetAttempt gets its connection: an idle one, or address, connect and TLS handshake. When
// an address refuses, the endpoint's other addresses are tried before the attempt counts as failed.
#include <utility>

#include "ngx_llm_module/base/guard.hpp"
#include "ngx_llm_module/base/peer.hpp"
#include "ngx_llm_module/upstream/net_attempt.hpp"

namespace llm {

void NetAttempt::start() {
    if (ngx_connection_t *idle = may_reuse_ ? state_.idle.take() : nullptr) {
        is_reused_ = true;
        is_connected_ = true;
        use_connection(idle);
        // One that was made for a probe has no name.
        bool has_name = r_ != nullptr && idle->addr_text.len > 0;
        note_state(has_name ? copy_str(r_->pool, view(idle->addr_text))
                            : str(outgoing_.endpoint->host));
        enter(Phase::waiting);
        send();
        return;
    }
    enter(Phase::connecting);
    is_unaddressed_ = true;
    note_state(str(outgoing_.endpoint->host));
    if (state_.addresses.ready(resolver_, *this)) {
        on_addresses();
    }
}

void NetAttempt::on_addresses() {
    addresses_left_ = state_.addresses.count();
    if (addresses_left_ == 0) {
        ngx_log_error(NGX_LOG_ERR, log_, 0, "llm: no address of \"%s\": %s",
                      outgoing_.endpoint->host.c_str(), state_.addresses.why_none());
        broken(Broken::no_address);
        return;
    }
    connect();
}

void NetAttempt::note_address() {
    if (r_ == nullptr) {
        return;
    }
    u_char text[NGX_SOCKADDR_STRLEN];
    size_t size = ngx_sock_ntop(reinterpret_cast<struct sockaddr *>(address_.data()),
                                socklen_t(address_.size()), text, sizeof(text), 1);
    ngx_str_t name = copy_str(r_->pool, {reinterpret_cast<char *>(text), size});
    std::exchange(is_unaddressed_, false) ? name_state(name) : note_state(name);
}

void NetAttempt::connect() {
    addresses_left_--;
    address_ = state_.addresses.take();
    note_address();
    peer_.sockaddr = reinterpret_cast<struct sockaddr *>(address_.data());
    peer_.socklen = socklen_t(address_.size());
    peer_.name = &peer_name_;
    peer_.log = log_;
    peer_.log_error = NGX_ERROR_ERR;
    peer_.start_time = ngx_current_msec;
    bool is_connected = false;
    bool is_local = false;
    ngx_connection_t *c = connect_peer(peer_, is_connected, is_local);
    if (is_local) {
        broken(Broken::no_connection);  // another address needs one, too
        return;
    }
    if (c == nullptr) {
        next_address_or_fail(Broken::connect);
        return;
    }
    use_connection(c);
    c->addr_text = copy_str(c->pool, view(peer_name_));
    if (is_connected) {
        on_connected();
    }
}

// True: another address is being tried.
bool NetAttempt::next_address_or_fail(Broken why) {
    if (c_ != nullptr) {
        close_peer_connection(c_);
        c_ = nullptr;
    }
    if (addresses_left_ > 0) {
        if (ngx_http_upstream_state_t *state = upstream_state()) {
            state->status = NGX_HTTP_BAD_GATEWAY;
        }
        close_state();
        connect();
        return true;
    }
    broken(why);
    return false;
}

void NetAttempt::use_connection(ngx_connection_t *c) {
    c_ = c;
    c->data = this;
    c->log = log_;
    c->log_error = NGX_ERROR_ERR;
    c->read->log = log_;
    c->write->log = log_;
    if (c->pool != nullptr) {
        c->pool->log = log_;
    }
    c->read->handler = guard<on_event>;
    c->write->handler = guard<on_event>;
    c->sendfile = 0;
}

void NetAttempt::on_connected() {
    if (int error = connect_error(c_)) {
        ngx_log_error(NGX_LOG_ERR, c_->log, error, "llm: connect() to %V failed", &peer_name_);
        next_address_or_fail(Broken::connect);
        return;
    }
    is_connected_ = true;
    (void)ngx_tcp_nodelay(c_);  // small requests must not wait for an acknowledgement
    if (outgoing_.endpoint->tls) {
        start_tls();
        return;
    }
    enter(Phase::waiting);
    send();
}

void NetAttempt::start_tls() {
    const Endpoint &endpoint = *outgoing_.endpoint;
    ngx_ssl_t *ssl = endpoint.provider->ssl;
    if (ngx_ssl_create_connection(ssl, c_, NGX_SSL_BUFFER | NGX_SSL_CLIENT) != NGX_OK) {
        broken(Broken::tls);
        return;
    }
    if (!set_server_name(c_, endpoint.ssl_name)) {
        broken(Broken::tls);
        return;
    }
    c_->ssl->save_session = guard<on_tls_session>;
    if (state_.session != nullptr) {
        (void)ngx_ssl_set_session(c_, state_.session);
    }
    c_->log->action = const_cast<char *>("SSL handshaking to provider");
    if (ngx_ssl_handshake(c_) == NGX_AGAIN) {
        c_->ssl->handler = guard<on_tls_handshake>;
        return;
    }
    on_tls_done();
}

void NetAttempt::on_tls_handshake(ngx_connection_t *c) {
    auto &self = *static_cast<NetAttempt *>(c->data);
    Turn turn(self.r_);
    self.on_tls_done();
}

// OpenSSL gives a session when it likes to (TLS 1.3: some time after the handshake).
void NetAttempt::on_tls_session(ngx_connection_t *c) {
    if (c->idle) {
        return;  // the attempt is gone, the next handshake brings another
    }
    auto &self = *static_cast<NetAttempt *>(c->data);
    ngx_ssl_session_t *session = ngx_ssl_get_session(c);
    if (session == nullptr) {
        return;
    }
    if (self.state_.session != nullptr) {
        ngx_ssl_free_session(self.state_.session);
    }
    self.state_.session = session;
}

void NetAttempt::on_tls_done() {
    if (!c_->ssl->handshaked) {
        next_address_or_fail(Broken::tls);
        return;
    }
    const Endpoint &endpoint = *outgoing_.endpoint;
    if (endpoint.provider->ssl_verify && !is_peer_trusted(c_, endpoint.host, endpoint.ssl_name)) {
        broken(Broken::tls);  // another address would have the same certificate
        return;
    }
    c_->read->handler = guard<on_event>;
    c_->write->handler = guard<on_event>;
    enter(Phase::waiting);
    send();
}

}  // namespace llm
