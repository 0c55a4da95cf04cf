// The stages of a request, in order. A stage returns: next (go on), wait (something else goes on
// later), done (the request was answered and may be gone). Resuming is run_stages() again.
#include "ngx_llm_module/base/guard.hpp"
#include "ngx_llm_module/request/authorize.hpp"
#include "ngx_llm_module/request/headers.hpp"
#include "ngx_llm_module/request/kept_answers.hpp"
#include "ngx_llm_module/request/llm_request.hpp"
#include "ngx_llm_module/request/local_answers.hpp"
#include "ngx_llm_module/request/other_endpoint.hpp"
#include "ngx_llm_module/request/pricing.hpp"
#include "ngx_llm_module/request/reply.hpp"
#include "ngx_llm_module/upstream/credentials.hpp"
#include "ngx_llm_module/upstream/worker.hpp"

namespace llm {
namespace {

enum class Next : uint8_t { stage, wait, done };

// It stands in headers and logs.
constexpr size_t kMaxModelName = 512;

// nginx keeps the buffer that the body came through until the request ends, hours for a stream.
void free_receive_buffer(ngx_http_request_t *r) {
    ngx_http_request_body_t *rb = r->request_body;
    if (rb != nullptr && rb->buf != nullptr && rb->buf->start != nullptr && r->stream == nullptr &&
        ngx_pfree(r->pool, rb->buf->start) == NGX_OK) {
        rb->buf = nullptr;
    }
}

// From here on a client that leaves is noticed at once.
void watch_client(LlmRequest &request) {
    ngx_http_request_t *r = request.r;
    r->read_event_handler = ngx_http_test_reading;
    ngx_event_t *rev = r->connection->read;
    if (r->stream == nullptr && rev->pending_eof) {
        // It has left already, together with the last of its request: no further event will tell.
        ngx_post_event(rev, &ngx_posted_events);
    }
}

// The body is here: whole, small enough, not compressed any more.
Next receive(LlmRequest &request) {
    free_receive_buffer(request.r);
    if (request.body.is_too_large()) {
        reply_error(request, ErrorClass::too_large, "the request body is too large");
        return Next::done;
    }
    std::string_view coding = client_header(request.r, "content-encoding");
    if (!coding.empty() && !wire::same_name(coding, "identity") && !request.is_raw) {
        if (!wire::same_name(coding, "gzip") && !wire::same_name(coding, "deflate")) {
            reply_error(request, ErrorClass::invalid_request,
                        "unknown content-encoding of the request");
            return Next::done;
        }
        if (const char *wrong = request.body.decompress()) {
            reply_error(request, ErrorClass::invalid_request, wrong);
            return Next::done;
        }
        if (request.body.is_too_large()) {
            reply_error(request, ErrorClass::too_large,
                        "the decompressed request body is too large");
            return Next::done;
        }
    }
    request.ledger.request_bytes = request.body.view().size();
    return Next::stage;
}

Next check_model(LlmRequest &request) {
    if (request.model.size() > kMaxModelName) {
        request.model.clear();
        reply_error(request, ErrorClass::not_found, "the model does not exist", "model_not_found",
                    "model");
        return Next::done;
    }
    if (request.model.empty()) {
        reply_error(request, ErrorClass::invalid_request, "must not be empty", {}, "model");
        return Next::done;
    }
    return Next::stage;
}

// What is asked for: nothing is translated yet.
Next understand(LlmRequest &request) {
    if (request.is_raw) {
        std::string_view body = request.body.view();
        Result<json::Value> root = body.starts_with('{') ? worker().parse_body(request, true)
                                                         : Result<json::Value>(json::Value());
        request.model = unread_model(request.raw_path, body, root ? *root : json::Value());
        return Next::stage;
    }
    if (request.is_kept()) {
        request.envelope.stream = request.endpoint.is_stream;
        return find_kept(request) ? Next::stage : Next::done;
    }
    if (request.is_other()) {
        return understand_other(request) ? check_model(request) : Next::done;
    }
    Result<json::Value> root = worker().parse_body(request, true);
    if (!root) {
        reply_error(request, ErrorClass::invalid_request, root.error().what, "invalid_json");
        return Next::done;
    }
    Result<Envelope> envelope = request.client->read_envelope(*root);
    if (!envelope) {
        reply_error(request, ErrorClass::invalid_request, envelope.error().what, {},
                    envelope.error().param);
        return Next::done;
    }
    request.envelope = *envelope;
    if (request.endpoint.has_path_model) {
        request.model = request.endpoint.model;
        request.envelope.stream = request.endpoint.is_stream;
    } else {
        request.model = json::unescape(envelope->model, request.arena);
    }
    if (request.is_count()) {
        request.envelope.stream = false;
    }
    return check_model(request);
}

Next check_rights(LlmRequest &request) {
    return authorize(request) ? Next::stage : Next::done;
}

// All limits in one step, those of the deployments included. The store may take its time.
Next admit(LlmRequest &request) {
    watch_client(request);
    switch (request.limits.admit()) {
        case Admission::granted:
            return Next::stage;
        case Admission::waiting:
            return Next::wait;
        case Admission::refused:
        case Admission::failed:
            break;
    }
    request.limits.reply();
    return Next::done;
}

Next route(LlmRequest &request) {
    if (request.is_kept()) {
        return Next::stage;  // found already
    }
    if (request.only_provider != nullptr) {
        request.candidates.push_back(
            direct_candidate(request.config, *request.only_provider, request.target_model));
        return drop_unpriced(request) ? Next::stage : Next::done;
    }
    std::string_view suffix;
    const Model *model = find_model(request.config, request.target_model, suffix);
    if (model == nullptr) {
        reply_error(request, ErrorClass::not_found, "the model does not exist", "model_not_found",
                    "model");
        return Next::done;
    }
    request.candidates = rank(*model, suffix);
    if (!keep_to_origin(request)) {
        return Next::done;
    }
    return drop_unpriced(request) ? Next::stage : Next::done;
}

void on_deadline(ngx_event_t *ev) {
    LlmRequest &request = *static_cast<LlmRequest *>(ev->data);
    ngx_connection_t *c = request.r->connection;
    ngx_http_set_log_request(c->log, request.r);
    request.answer.on_deadline();
    ngx_http_run_posted_requests(c);
}

Next attempt(LlmRequest &request) {
    ngx_http_request_t *r = request.r;
    if (request.is_count() && !can_count(request)) {
        answer_estimated_count(request);
        return Next::done;
    }
    request.call_timer.handler = guard<on_deadline>;
    request.call_timer.data = &request;
    request.call_timer.log = r->connection->log;
    request.next_candidate = request.limits.candidate() + 1;
    ngx_msec_t total = request.timeouts().total;
    request.deadline = ngx_current_msec + total;
    ngx_add_timer(&request.call_timer, total);
    start_attempt(request);
    return Next::done;
}

// A provider that cannot count says so in many ways; an estimate is better than that.
bool is_no_counter(ErrorClass error_class) {
    return error_class == ErrorClass::not_found || error_class == ErrorClass::unsupported ||
           error_class == ErrorClass::invalid_request;
}

struct Stage {
    const char *name;
    Next (*run)(LlmRequest &request);
};

constexpr Stage kStages[] = {
    {"receive", receive}, {"understand", understand}, {"authorize", check_rights},
    {"route", route},     {"admit", admit},           {"attempt", attempt},
};

// An error that the request brought with it: it would fail everywhere.
ErrorClass class_of(Errc code) {
    switch (code) {
        case Errc::unsupported:
            return ErrorClass::unsupported;
        case Errc::too_large:
            return ErrorClass::too_large;
        case Errc::internal:
            return ErrorClass::upstream;  // no credentials for the provider: not the caller's fault
        default:
            return ErrorClass::invalid_request;
    }
}

}  // namespace

void run_stages(LlmRequest &request) {
    while (request.next_stage < std::size(kStages)) {
        const Stage &stage = kStages[request.next_stage++];
        ngx_log_debug1(NGX_LOG_DEBUG_HTTP, request.r->connection->log, 0, "llm: stage %s",
                       stage.name);
        if (stage.run(request) != Next::stage) {
            return;
        }
    }
}

void start_attempt(LlmRequest &request) {
    switch (request.limits.move_to(request.next_candidate - 1)) {
        case Admission::granted:
            request.next_candidate = request.limits.candidate() + 1;
            break;
        case Admission::waiting:
            return;
        case Admission::refused:
        case Admission::failed:
            request.limits.reply();
            return;
    }
    request.answer.reset();
    request.ledger.attempts++;
    request.ledger.attempt_began = ngx_current_msec;
    const Candidate &candidate = request.candidate();
    request.notes = Notes();
    if (CredentialSource *source = worker().credentials(*candidate.deployment->provider)) {
        auto wait = std::make_unique<CredentialWait>(request, *source);
        if (wait->is_needed()) {
            request.attempt = std::move(wait);
            return;
        }
    }
    continue_attempt(request);
}

void continue_attempt(LlmRequest &request) {
    const Candidate &candidate = request.candidate();
    OutgoingRequest outgoing;
    if (Status built = build_request(request, candidate, outgoing); !built) {
        const Error &error = built.error();
        Arena arena;
        ApiError shown;
        shown.error_class = class_of(error.code);
        shown.message = json::escape(error.what, arena);
        shown.param = json::escape(error.param, arena);
        // Another deployment may be able to say it.
        try_next(request, shown);
        return;
    }
    request.attempt = make_attempt(request, candidate, std::move(outgoing), request.answer);
    request.attempt->start();
}

void retry_on_new_connection(LlmRequest &request) {
    request.ledger.attempts--;
    request.wants_new_connection = true;
    start_attempt(request);
}

void try_next(LlmRequest &request, const ApiError &error) {
    request.attempt.reset();
    request.limits.leave();
    CredentialSource *source = worker().credentials(*request.candidate().deployment->provider);
    if (source != nullptr && error.error_class == ErrorClass::authentication) {
        source->reject();
    }
    Ledger &ledger = request.ledger;
    ledger.upstream_time += ngx_current_msec - ledger.attempt_began;
    const ErrorSpelling &known = spelling(error.error_class);
    if (is_about_reasoning(error) && !request.is_without_reasoning && ledger.status == 400) {
        request.is_without_reasoning = true;  // once: what was thought before is left out
        start_attempt(request);
        return;
    }
    bool may_help = known.elsewhere || error.error_class == ErrorClass::unsupported;
    bool has_time = ngx_msec_int_t(request.deadline - ngx_current_msec) > 0;
    ngx_log_error(NGX_LOG_WARN, request.r->connection->log, 0,
                  "llm: deployment %s failed, %*s (status %ui)",
                  request.candidate().deployment->id.c_str(), known.name.size(), known.name.data(),
                  ledger.status);
    if (may_help && has_time && request.next_candidate < request.candidates.size()) {
        request.next_candidate++;
        start_attempt(request);
        return;
    }
    if (request.is_count() && is_no_counter(error.error_class)) {
        answer_estimated_count(request);
        return;
    }
    reply_error(request, error);
}

}  // namespace llm
