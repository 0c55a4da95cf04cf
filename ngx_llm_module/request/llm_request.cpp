// The request object itself: what is derived from configuration and clocks.
#include "ngx_llm_module/request/llm_request.hpp"

#include "ngx_llm_module/request/hedge.hpp"
#include "ngx_llm_module/request/shutdown.hpp"
#include "ngx_llm_module/upstream/worker.hpp"

namespace llm {

namespace {

void write_hex(uint64_t number, int digits, char *to) {
    for (int i = digits; i-- > 0; number >>= 4) {
        to[i] = "0123456789abcdef"[number & 15];
    }
}

}  // namespace

std::string new_request_id() {
    std::string id = "req_000000000000000000000000";
    write_hex(worker().next_id(), 16, id.data() + 4);
    write_hex(worker().next_id(), 8, id.data() + 20);
    return id;
}

LlmRequest::LlmRequest(ngx_http_request_t *request)
    : r(request),
      earlier_states(request->upstream_states != nullptr ? request->upstream_states->nelts : 0),
      config(llm::config(request)),
      loc(loc_conf(request)),
      limits(*this),
      answer(*this),
      downstream(*this) {
    ngx_memzero(&call_timer, sizeof(call_timer));
    ledger.began = ngx_current_msec - request_age(request);
    note_request(*this);
    id = new_request_id();
}

LlmRequest::~LlmRequest() {
    settle(*this);
    forget_request(*this);
}

Timeouts LlmRequest::timeouts() const {
    Timeouts level;
    level.connect = loc.connect_timeout;
    level.first_token = loc.first_token_timeout;
    level.idle = loc.idle_timeout;
    level.total = loc.timeout;
    const Candidate &now = candidate();
    return now.deployment->timeouts.over(now.model->timeouts)
        .over(now.deployment->provider->timeouts)
        .over(level);
}

bool LlmRequest::drop_params() const {
    ngx_flag_t own = candidate().model->drop_params;
    return own == NGX_CONF_UNSET ? loc.drop_params : own;
}

ngx_uint_t LlmRequest::recover_mode() const {
    ngx_uint_t own = candidate().model->routing.recover;
    return own == NGX_CONF_UNSET_UINT ? loc.recover : own;
}

// nginx notes the begin of a request with its first bytes.
ngx_msec_t request_age(const ngx_http_request_t *r) {
    ngx_time_t *now = ngx_timeofday();
    auto age = ngx_msec_int_t((now->sec - r->start_sec) * 1000 +
                              ngx_msec_int_t(now->msec - r->start_msec));
    return age > 0 ? ngx_msec_t(age) : 0;
}

void end_attempt(LlmRequest &request) {
    if (request.attempt != nullptr) {
        request.ledger.upstream_time += ngx_current_msec - request.ledger.attempt_began;
        request.attempt.reset();
    }
}

uint64_t overhead_ms(const LlmRequest &request) {
    const Ledger &ledger = request.ledger;
    ngx_msec_t end = ledger.ended != 0 ? ledger.ended : ngx_current_msec;
    ngx_msec_t upstream = ledger.upstream_time;
    if (request.attempt != nullptr) {
        upstream += ngx_current_msec - ledger.attempt_began;
    }
    ngx_msec_t all = end - ledger.began;
    return all > upstream ? all - upstream : 0;
}

std::string_view name(Outcome outcome) {
    switch (outcome) {
        case Outcome::none:
            return "";
        case Outcome::ok:
            return "ok";
        case Outcome::client_closed:
            return "client_closed";
        case Outcome::refused:
            return "refused";
        case Outcome::upstream_error:
            return "upstream_error";
        case Outcome::cut:
            return "cut";
        case Outcome::timeout:
            return "timeout";
    }
    return "";
}

}  // namespace llm
