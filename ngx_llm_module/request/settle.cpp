// The end of a request, once, whatever ended it: what it held is given back, the ledger closed.
#include "ngx_llm_module/request/booking.hpp"
#include "ngx_llm_module/request/hedge.hpp"
#include "ngx_llm_module/request/llm_request.hpp"
#include "ngx_llm_module/request/pricing.hpp"
#include "ngx_llm_module/request/reply.hpp"

namespace llm {

namespace {

LlmRequest *first_live = nullptr;

void forget_live(LlmRequest &request) {
    (request.previous_live != nullptr ? request.previous_live->next_live : first_live) =
        request.next_live;
    if (request.next_live != nullptr) {
        request.next_live->previous_live = request.previous_live;
    }
}

// False: there is nothing that could be said, and no provider is waited for any more, lest it be
// blamed for a connection that we close.
bool tell_the_end(LlmRequest &request) {
    ngx_connection_t *c = request.r->connection;
    ngx_http_set_log_request(c->log, request.r);
    if (request.answer.can_be_told()) {
        request.answer.end_at_shutdown();
    } else if (request.ledger.attempts > 0 && !request.has_replied) {
        request.ledger.outcome = Outcome::refused;
        reply_error(request, ErrorClass::overloaded, "the gateway is shutting down");
    } else {
        if (request.answer.is_committed() && !request.answer.is_complete()) {
            request.ledger.outcome = Outcome::cut;
        }
        end_attempt(request);
        return false;
    }
    ngx_http_run_posted_requests(c);
    return true;
}

}  // namespace

void note_live(LlmRequest &request) {
    request.next_live = first_live;
    if (first_live != nullptr) {
        first_live->previous_live = &request;
    }
    first_live = &request;
}

void end_live_requests() {
    LlmRequest *request = first_live;
    while (request != nullptr) {
        // It ends, and takes itself and maybe others of its connection from the list.
        request = tell_the_end(*request) ? first_live : request->next_live;
    }
}

void settle_live_requests() {
    while (first_live != nullptr) {
        LlmRequest &request = *first_live;
        if (request.ledger.outcome == Outcome::none && !request.answer.is_complete()) {
            request.ledger.outcome = Outcome::cut;
        }
        settle(request);
    }
}

void settle(LlmRequest &request) {
    if (request.is_settled) {
        return;
    }
    request.is_settled = true;
    forget_live(request);
    Ledger &ledger = request.ledger;
    if (request.hedge != nullptr) {
        request.hedge->settle();
    }
    end_attempt(request);
    if (request.call_timer.timer_set) {
        ngx_del_timer(&request.call_timer);
    }
    if (request.plan.pause.timer_set) {
        ngx_del_timer(&request.plan.pause);
    }
    request.downstream.stop();
    if (request.answer.is_committed()) {
        request.answer.record();
    }
    book_cost(request);
    request.limits.end();
    if (ledger.outcome == Outcome::none) {
        ledger.outcome = Outcome::client_closed;
    }
    ledger.ended = ngx_current_msec;
    book_metrics(request);
    book_spent(request);
    if (request.content_log != nullptr) {
        request.content_log->write(request);
        request.content_log.reset();
    }
    request.body.release();
    request.ir.reset();
}

void finish_request(LlmRequest &request, ngx_int_t rc) {
    if (rc >= NGX_HTTP_SPECIAL_RESPONSE) {
        request.body.hand_over(request.r);
    }
    settle(request);
    ngx_http_finalize_request(request.r, rc);
}

}  // namespace llm
