// nginx has no hook for the moment at which worker_shutdown_timeout closes all connections, and
// marks each as failed before it calls its handler: a client's connection takes no byte any more.
// But it goes through the table of connections from its begin. So a connection of our own is taken
// when the worker starts, before any client can have one: it stands in front of all of theirs.
#include "ngx_llm_module/request/shutdown.hpp"

#include <fcntl.h>

#include "ngx_llm_module/base/guard.hpp"
#include "ngx_llm_module/request/llm_request.hpp"
#include "ngx_llm_module/request/reply.hpp"

namespace llm {
namespace {

class RequestList {
  public:
    LlmRequest *first() const { return first_; }
    void add(LlmRequest &request);
    void remove(LlmRequest &request);

  private:
    LlmRequest *first_ = nullptr;
};

RequestList live;
RequestList settled;  // nginx still has their last bytes, or reads on before it closes
ngx_connection_t *first_closed = nullptr;

void RequestList::add(LlmRequest &request) {
    request.next = first_;
    if (first_ != nullptr) {
        first_->previous = &request;
    }
    first_ = &request;
}

// It may stand in no list.
void RequestList::remove(LlmRequest &request) {
    if (request.previous != nullptr) {
        request.previous->next = request.next;
    } else if (first_ == &request) {
        first_ = request.next;
    }
    if (request.next != nullptr) {
        request.next->previous = request.previous;
    }
    request.next = request.previous = nullptr;
}

// The connection that a stream of HTTP/2 shares with others; else the request's own.
ngx_connection_t *real_connection(const ngx_http_request_t *r) {
    return r->stream != nullptr ? r->stream->connection->connection : r->connection;
}

// Before its answer has begun a request gets a status, and no provider is waited for any more, lest
// it be blamed for a connection that we close.
void refuse(LlmRequest &request) {
    ngx_http_request_t *r = request.r;
    if (r->header_sent) {
        settle(request);  // an error page of nginx is under way
        return;
    }
    if (r->reading_body && r->stream == nullptr) {
        // nginx reads what the client sent of its body: unread, it would reset the connection, and
        // the answer be lost.
        r->connection->read->ready = 1;
    }
    request.ledger.outcome = Outcome::refused;
    request.is_shut_down = true;
    reply_error(request, ErrorClass::overloaded, "the gateway is shutting down");
}

// As far as sockets take it at once. Nobody reads what a client says meanwhile.
void end_live_requests() {
    while (LlmRequest *request = live.first()) {
        ngx_http_request_t *r = request->r;
        ngx_connection_t *c = r->connection;
        ngx_connection_t *shared = r->stream != nullptr ? real_connection(r) : nullptr;
        ngx_http_set_log_request(c->log, r);
        if (!request->has_replied) {
            refuse(*request);
        } else if (request->downstream.push()) {
            request->answer.end_at_shutdown();
        }
        if (live.first() == request) {
            settle(*request);  // whatever holds it up, the worker is to end
        }
        ngx_http_run_posted_requests(c);
        if (shared != nullptr) {
            shared->write->handler(shared->write);  // a reset of the stream waits to be sent
        }
    }
}

// Closed as worker_shutdown_timeout does it, so that they are logged.
void close_settled_requests() {
    while (LlmRequest *request = settled.first()) {
        ngx_connection_t *c = real_connection(request->r);
        c->close = 1;
        c->error = 1;
        c->read->handler(c->read);
        if (settled.first() == request) {
            settled.remove(*request);  // a thread still works for it
        }
    }
}

// nginx did it before it called the modules that came later.
void flush_logs(ngx_cycle_t *cycle) {
    for (ngx_list_part_t *part = &cycle->open_files.part; part != nullptr; part = part->next) {
        auto *file = static_cast<ngx_open_file_t *>(part->elts);
        for (ngx_uint_t i = 0; i < part->nelts; i++) {
            if (file[i].flush != nullptr) {
                file[i].flush(&file[i], cycle->log);
            }
        }
    }
}

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

void note_request(LlmRequest &request) {
    (request.is_settled ? settled : live).add(request);
}

void forget_request(LlmRequest &request) {
    (request.is_settled ? settled : live).remove(request);
}

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

// With `nginx -s stop` the connections are still open here, and nginx runs no cleanup.
void end_at_shutdown(ngx_cycle_t *cycle) {
    forget_connection();
    end_live_requests();
    close_settled_requests();
    flush_logs(cycle);
}

}  // namespace llm
