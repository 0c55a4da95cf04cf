// The cache of idle provider connections (entries: take, put). A connection leaves it when the
// provider closes it, when it says anything unasked, after kIdleTimeout, or for a request.
#include "ngx_llm_module/upstream/keepalive.hpp"

#include "ngx_llm_module/base/guard.hpp"
#include "ngx_llm_module/base/peer.hpp"

namespace llm {
namespace {

constexpr ngx_msec_t kIdleTimeout = 60000;
// What may come after the terminal event of a stream: the last chunk and its trailers.
constexpr ngx_msec_t kDrainTimeout = 2000;
constexpr size_t kDrainSize = 4096;

void ignore_event(ngx_event_t *) {}

}  // namespace

IdleConnections::~IdleConnections() {
    while (!idle_.empty()) {
        drop(idle_.front());
    }
}

ngx_connection_t *IdleConnections::take() {
    for (auto next = idle_.begin(); next != idle_.end();) {
        Idle &idle = *next++;
        // The rest of its last answer may be at hand, its event is only not due yet.
        if (!idle.body.complete() && !still_usable(idle)) {
            drop(idle);
            continue;
        }
        if (!idle.body.complete()) {
            continue;
        }
        ngx_connection_t *c = idle.c;
        idle_.erase(idle.self);
        c->idle = 0;
        c->sent = 0;
        c->data = nullptr;
        if (c->read->timer_set) {
            ngx_del_timer(c->read);
        }
        return c;
    }
    return nullptr;
}

void IdleConnections::put(ngx_connection_t *c, const wire::HttpBody &body) {
    if (endpoint_.provider->keepalive == 0 || c->error || c->read->error || c->read->eof ||
        c->write->error || ngx_terminate || ngx_exiting || body.ends_with_connection() ||
        ngx_handle_read_event(c->read, 0) != NGX_OK) {
        close_peer_connection(c);
        return;
    }
    if (idle_.size() >= endpoint_.provider->keepalive) {
        drop(idle_.back());
    }
    Idle &idle = idle_.emplace_front(Idle{this, c, body, {}});
    idle.self = idle_.begin();

    c->data = &idle;
    c->idle = 1;
    c->log_error = NGX_ERROR_INFO;  // a provider may hang up: nothing to report
    c->log = ngx_cycle->log;
    c->read->log = ngx_cycle->log;
    c->write->log = ngx_cycle->log;
    c->pool->log = ngx_cycle->log;
    c->read->handler = guard<on_read>;
    c->write->handler = guard<ignore_event>;
    if (c->write->timer_set) {
        ngx_del_timer(c->write);
    }
    ngx_add_timer(c->read, body.complete() ? kIdleTimeout : kDrainTimeout);
    if (c->read->ready && !still_usable(idle)) {
        drop(idle);
    }
}

void IdleConnections::drop(Idle &idle) {
    ngx_connection_t *c = idle.c;
    idle_.erase(idle.self);
    close_peer_connection(c);
}

// Reads away the rest of the last answer. After that a provider has nothing to say: data that is
// no TLS record of its own (a session ticket) or an end of file makes the connection useless.
bool IdleConnections::still_usable(Idle &idle) {
    ngx_connection_t *c = idle.c;
    u_char buffer[kDrainSize];
    for (;;) {
        ssize_t size = c->recv(c, buffer, sizeof(buffer));
        if (size == NGX_AGAIN) {
            return ngx_handle_read_event(c->read, 0) == NGX_OK;
        }
        if (size <= 0 || idle.body.complete()) {
            return false;
        }
        std::string_view input(reinterpret_cast<char *>(buffer), size_t(size));
        while (!input.empty() && !idle.body.complete()) {
            if (!idle.body.next(input)) {
                return false;
            }
        }
        if (!input.empty()) {
            return false;
        }
        if (idle.body.complete()) {
            ngx_add_timer(c->read, kIdleTimeout);
        }
    }
}

void IdleConnections::on_read(ngx_event_t *ev) {
    auto *c = static_cast<ngx_connection_t *>(ev->data);
    Idle &idle = *static_cast<Idle *>(c->data);
    if (c->close || ev->timedout || !idle.owner->still_usable(idle)) {
        idle.owner->drop(idle);
    }
}

}  // namespace llm
