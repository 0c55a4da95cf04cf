// The end of a request, once, whatever ended it: what it held is given back, the ledger closed.
#include "ngx_llm_module/request/booking.hpp"
#include "ngx_llm_module/request/hedge.hpp"
#include "ngx_llm_module/request/llm_request.hpp"
#include "ngx_llm_module/request/pricing.hpp"
#include "ngx_llm_module/request/shutdown.hpp"

namespace llm {

void settle(LlmRequest &request) {
    if (request.is_settled) {
        return;
    }
    forget_request(request);
    request.is_settled = true;
    note_request(request);
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
