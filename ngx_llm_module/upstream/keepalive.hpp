// Idle connections of one endpoint in one worker. An endpoint is one base URL with one TLS name,
// so a connection is never used for another host that happens to share an address.
#pragma once

#include <list>
#include <string>

#include "ngx_llm_module/conf/config.hpp"
#include "translators/wire/http1.hpp"

namespace llm {

class IdleConnections {
  public:
    explicit IdleConnections(const Endpoint &endpoint) : endpoint_(endpoint) {}
    ~IdleConnections();
    IdleConnections(const IdleConnections &) = delete;
    IdleConnections &operator=(const IdleConnections &) = delete;

    // The connection used last, or nothing.
    ngx_connection_t *take();

    // Takes over a connection after an answer. `body` tells where the answer's framing stands:
    // when its end has not come yet (an event stream says it is over before its last chunk), the
    // rest is read away first. The connection is closed when it cannot be kept.
    void put(ngx_connection_t *c, const wire::HttpBody &body);

  private:
    struct Idle {
        IdleConnections *owner;
        ngx_connection_t *c;
        wire::HttpBody body;  // complete: idle; else the rest of the last answer
        std::list<Idle>::iterator self;
    };

    static void on_read(ngx_event_t *ev);
    void drop(Idle &idle);
    bool still_usable(Idle &idle);

    const Endpoint &endpoint_;
    std::list<Idle> idle_;  // the latest first
};

}  // namespace llm
