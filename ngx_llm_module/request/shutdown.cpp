// nginx has no hook for the moment at which worker_shutdown_timeout closes all connections, and
// marks each as failed before it calls its handler: a client's connection takes no byte any more.
// But it goes through the table of connections from its begin. So a connection of our own is taken
// when the worker starts, before any client can have one: it stands in front of all of theirs.
#include "ngx_llm_module/request/shutdown.hpp"

#include <fcntl.h>

#include "ngx_llm_module/base/guard.hpp"
#include "ngx_llm_module/request/llm_request.hpp"

namespace llm {
namespace {

ngx_connection_t *first_closed = nullptr;

void forget_connection() {
    if (first_closed != nullptr) {
        ngx_close_connection(first_closed);
        first_closed = nullptr;
    }
}

void on_close(ngx_event_t *) {
    forget_connection();
    end_live_requests();
}

}  // namespace

void watch_shutdown(ngx_cycle_t *cycle) {
    int file = open("/dev/null", O_RDONLY | O_CLOEXEC);  // a connection without a file is free
    if (file == -1) {
        return;
    }
    first_closed = ngx_get_connection(file, cycle->log);
    if (first_closed == nullptr) {
        close(file);
        return;
    }
    first_closed->read->handler = guard<on_close>;
    first_closed->read->log = cycle->log;
    first_closed->write->log = cycle->log;
}

// With `nginx -s stop` the connections are still open here.
void end_at_shutdown() {
    forget_connection();
    end_live_requests();
    settle_live_requests();
}

}  // namespace llm
