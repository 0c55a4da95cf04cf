// Replies that no provider made.
#include "ngx_llm_module/request/reply.hpp"

#include "ngx_llm_module/request/headers.hpp"
#include "ngx_llm_module/request/llm_request.hpp"
#include "ngx_llm_module/upstream/worker.hpp"

namespace llm {
namespace {

struct WorkerIds final : IdSource {
    uint64_t next() override { return worker().next_id(); }
};

// Stateless: it draws from the worker.
WorkerIds worker_ids;

std::string_view reason_of(ngx_uint_t status) {
    switch (status) {
        case 400:
            return "bad request";
        case 401:
            return "authentication is required";
        case 403:
            return "access is denied";
        case 404:
            return "not found";
        case 405:
            return "method not allowed";
        case 408:
            return "the request was too slow";
        case 413:
            return "the request is too large";
        case 414:
            return "the address is too long";
        case 429:
            return "too many requests";
        case 502:
            return "the provider could not be reached";
        case 503:
            return "the service is not available";
        case 504:
            return "the provider was too slow";
        default:
            return status < 500 ? "the request was refused" : "internal error of the gateway";
    }
}

}  // namespace

ClientView client_view(LlmRequest &request) {
    ClientView view;
    view.usage_wanted = request.envelope.usage_wanted || request.loc.stream_usage;
    view.now = int64_t(ngx_time());
    view.ids = &worker_ids;
    view.model = request.model;
    view.request_bytes = request.ledger.request_bytes;
    view.renamed = &request.notes.renamed;
    view.custom_tools = &request.notes.custom_tools;
    view.json_tool = request.notes.json_tool;
    view.json_array = request.endpoint.is_json_array;
    if (request.ir) {
        view.request = &*request.ir;
        view.legacy_functions = request.ir->legacy_functions;
        view.show_reasoning = request.client->shows_reasoning(*request.ir);
    }
    return view;
}

void reply_error(LlmRequest &request, const ApiError &error) {
    Ledger &ledger = request.ledger;
    ledger.error = spelling(error.error_class).name;
    end_attempt(request);

    Arena arena;
    ApiError shown = error;
    if (shown.message.empty()) {
        shown.message = json::escape(reason_of(shown.status), arena);
    }
    ByteBuffer out;
    json::Writer writer(out);
    uint16_t status = request.client->render_error(shown, request.id, writer);
    if (request.endpoint.is_json_array) {
        out = ByteBuffer(std::string("[").append(out.view()).append("]"));
    }
    if (shown.status == NGX_HTTP_NOT_ALLOWED && ledger.attempts == 0) {
        status = shown.status;  // a finer status of our own than the class has
    }
    if (ledger.outcome == Outcome::none) {
        ledger.outcome = ledger.attempts == 0                       ? Outcome::refused
                         : error.error_class == ErrorClass::timeout ? Outcome::timeout
                                                                    : Outcome::upstream_error;
    }
    ngx_http_request_t *r = request.r;
    // The message may quote the prompt: the class is all that is logged.
    ngx_log_error(NGX_LOG_INFO, r->connection->log, 0, "llm: replied %ui, %*s", ngx_uint_t(status),
                  ledger.error.size(), ledger.error.data());

    if (!ledger.retry_after.empty()) {
        add_header(r, "retry-after", ledger.retry_after);
    }
    auto *core = static_cast<ngx_http_core_loc_conf_t *>(
        ngx_http_get_module_loc_conf(r, ngx_http_core_module));
    if (core->error_pages != nullptr && !request.is_shut_down) {
        request.limits.end();
        request.limits.add_headers();
        request.downstream.keep_error_body(std::move(out), status);
        finish_request(request, status);
        return;
    }
    if (status == NGX_HTTP_NOT_ALLOWED) {
        add_header(r, "allow", request.endpoint.allow);
    }
    request.downstream.send_whole(status, "application/json", std::move(out));
}

void reply_error(LlmRequest &request, ErrorClass error_class, std::string_view what,
                 std::string_view code, std::string_view param) {
    Arena arena;
    ApiError error;
    error.error_class = error_class;
    std::string text;
    if (!param.empty() && request.client->id == DialectId::anthropic) {
        text.append(param).append(": ");  // this dialect has no member for it
    }
    error.message = json::escape(text.append(what), arena);
    error.code = json::escape(code, arena);
    error.param = json::escape(param, arena);
    reply_error(request, error);
}

void render_status(const Dialect &dialect, ngx_uint_t status, std::string_view request_id,
                   ByteBuffer &out) {
    ApiError error;
    error.error_class = class_of_status(uint16_t(status));
    error.status = uint16_t(status);
    error.message.bytes = reason_of(status);
    json::Writer writer(out);
    (void)dialect.render_error(error, request_id, writer);
}

const Dialect &dialect_by_headers(ngx_http_request_t *r) {
    if (!client_header(r, "x-goog-api-key").empty()) {
        return dialect(DialectId::gemini);
    }
    return client_header(r, "anthropic-version").empty() && client_header(r, "x-api-key").empty()
               ? kOpenAi
               : kAnthropic;
}

}  // namespace llm
