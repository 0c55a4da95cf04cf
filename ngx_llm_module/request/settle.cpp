// The end of a request, once, whatever ended it: what it held is given back, the ledger closed.
#include "ngx_llm_module/request/booking.hpp"
#include "ngx_llm_module/request/llm_request.hpp"
#include "ngx_llm_module/request/pricing.hpp"

namespace llm {

void settle(LlmRequest &request) {
    if (request.is_settled) {
        return;
    }
    request.is_settled = true;
    Ledger &ledger = request.ledger;
    if (request.attempt != nullptr) {
        ledger.upstream_time += ngx_current_msec - ledger.attempt_began;
        request.attempt.reset();
    }
    request.lease.release();
    if (request.call_timer.timer_set) {
        ngx_del_timer(&request.call_timer);
    }
    request.downstream.stop();
    if (request.answer.is_committed()) {
        request.answer.record();
    }
    book_cost(request);
    if (ledger.outcome == Outcome::none) {
        ledger.outcome = Outcome::client_closed;
    }
    ledger.ended = ngx_current_msec;
    book_metrics(request);
    request.body.release();
    request.ir.reset();
}

void finish_request(LlmRequest &request, ngx_int_t rc) {
    settle(request);
    ngx_http_finalize_request(request.r, rc);
}

}  // namespace llm
