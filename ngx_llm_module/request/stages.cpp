// The stages of a request, in order. A stage returns: next (go on), wait (something else goes on
// later), done (the request was answered and may be gone). Resuming is run_stages() again.
#include <algorithm>

#include "ngx_llm_module/base/guard.hpp"
#include "ngx_llm_module/request/authorize.hpp"
#include "ngx_llm_module/request/headers.hpp"
#include "ngx_llm_module/request/kept_answers.hpp"
#include "ngx_llm_module/request/llm_request.hpp"
#include "ngx_llm_module/request/local_answers.hpp"
#include "ngx_llm_module/request/other_endpoint.hpp"
#include "ngx_llm_module/request/planning.hpp"
#include "ngx_llm_module/request/reply.hpp"
#include "ngx_llm_module/request/wishes.hpp"
#include "ngx_llm_module/upstream/worker.hpp"
#include "translators/wire/multipart.hpp"

namespace llm {
namespace {

enum class Next : uint8_t { stage, wait, done };

// It stands in headers and logs.
constexpr size_t kMaxModelName = 512;

// nginx keeps the buffer that the body came through until the request ends, hours for a stream.
void free_receive_buffer(const LlmRequest &request) {
    ngx_http_request_t *r = request.r;
    ngx_http_request_body_t *rb = r->request_body;
    if (rb != nullptr && !request.body.is_taken_over() && rb->buf != nullptr &&
        rb->buf->start != nullptr && r->stream == nullptr &&
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
    free_receive_buffer(request);
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
    if (request.loc.content_log != nullptr) {
        request.content_log = std::make_unique<ContentLog>(request.loc.content_log_max);
        request.content_log->take_request(request.body.view());
    }
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
        request.ledger.units =
            count_units(request.raw_path, body, root ? *root : json::Value(),
                        wire::form_boundary(client_header(request.r, "content-type")));
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
    if (request.only_provider == nullptr) {
        bool is_changed = false;
        if (Status read = read_wishes(request, *root, is_changed); !read) {
            reply_error(request, ErrorClass::invalid_request, read.error().what, {},
                        read.error().param);
            return Next::done;
        }
        if (is_changed) {
            root = worker().parse_body(request, true);
        }
    }
    Result<Envelope> envelope = request.client->read_envelope(*root);
    if (!envelope) {
        reply_error(request, ErrorClass::invalid_request, envelope.error().what, {},
                    envelope.error().param);
        return Next::done;
    }
    request.envelope = *envelope;
    request.names_others = (*root)["models"].size() > 0;
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

// A model whose deployments are all full is like one that failed: its fallbacks are next.
Next take_admission(LlmRequest &request, Admission admission) {
    while (admission != Admission::granted) {
        if (admission == Admission::waiting) {
            return Next::wait;
        }
        if (!request.limits.is_model_full() || !move_to_fallback(request)) {
            request.limits.reply();
            return Next::done;
        }
        admission = request.limits.admit();
    }
    // Those before it had no room.
    for (size_t i = 0; i < request.limits.candidate(); i++) {
        request.plan.tried[i].is_out = true;
    }
    return Next::stage;
}

// All limits in one step, those of the deployments included. The store may take its time.
Next admit(LlmRequest &request) {
    watch_client(request);
    return take_admission(request, request.limits.admit());
}

Next route(LlmRequest &request) {
    bool is_planned = request.is_kept()                  ? plan_kept(request)
                      : request.only_provider != nullptr ? plan_direct(request)
                                                         : plan_request(request);
    return is_planned ? Next::stage : Next::done;
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
    if (ngx_msec_t wish = request.plan.wishes.timeout; wish != 0 && wish < total) {
        total = wish;
    }
    request.deadline = ngx_current_msec + total;
    start_attempt(request);
    return Next::done;
}

struct Stage {
    const char *name;
    Next (*run)(LlmRequest &request);
};

constexpr Stage kStages[] = {
    {"receive", receive}, {"understand", understand}, {"authorize", check_rights},
    {"route", route},     {"admit", admit},           {"attempt", attempt},
};

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

void keep_deadline(LlmRequest &request) {
    if (!request.call_timer.timer_set && request.deadline != 0) {
        auto left = ngx_msec_int_t(request.deadline - ngx_current_msec);
        ngx_add_timer(&request.call_timer, ngx_msec_t(std::max<ngx_msec_int_t>(left, 1)));
    }
}

bool run_until_routed(LlmRequest &request) {
    for (auto *stage : {receive, understand, check_rights, route}) {
        if (stage(request) != Next::stage) {
            return false;
        }
    }
    return true;
}

void resume_admission(LlmRequest &request, Admission admission) {
    if (take_admission(request, admission) == Next::stage) {
        run_stages(request);
    }
}

}  // namespace llm
