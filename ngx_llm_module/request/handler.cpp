// The content handler: makes the LlmRequest, finds out what is asked for, and either answers at
// once (models, health, refusals) or reads the body and lets the stages run.
#include "ngx_llm_module/request/handler.hpp"

#include "ngx_llm_module/base/guard.hpp"
#include "ngx_llm_module/base/pool.hpp"
#include "ngx_llm_module/request/access.hpp"
#include "ngx_llm_module/request/llm_request.hpp"
#include "ngx_llm_module/request/local_answers.hpp"
#include "ngx_llm_module/request/reply.hpp"

namespace llm {
namespace {

void on_request_over(void *data) {
    settle(*static_cast<LlmRequest *>(data));
}

bool loc_has_prefix(const ngx_http_llm_loc_conf_t &loc) {
    return loc.location.len > 0;
}

// An exact location, or one of a regular expression, does not say where the API begins.
ClientEndpoint find_at_end(std::string_view path, std::string_view query) {
    for (;;) {
        ClientEndpoint found = find_endpoint(path, query);
        if (found.operation != Operation::unknown) {
            return found;
        }
        size_t slash = path.find('/', 1);
        if (slash == std::string_view::npos) {
            return found;
        }
        path.remove_prefix(slash);
    }
}

ClientEndpoint endpoint_of(const ngx_http_request_t *r, const ngx_http_llm_loc_conf_t &loc) {
    std::string_view path = path_below(r, loc);
    return loc_has_prefix(loc) ? find_endpoint(path, view(r->args))
                               : find_at_end(path, view(r->args));
}

// llm_pass models, PROVIDER or a variable that holds one of them. False: no such provider.
bool find_target(LlmRequest &request) {
    const ngx_http_llm_loc_conf_t &loc = request.loc;
    if (loc.pass == PassKind::provider) {
        request.only_provider = loc.provider;
        return true;
    }
    if (loc.pass == PassKind::variable) {
        ngx_str_t value;
        if (ngx_http_complex_value(request.r, loc.pass_value, &value) != NGX_OK) {
            return false;
        }
        if (view(value) != "models") {
            request.only_provider = request.config.find_provider(view(value));
            return request.only_provider != nullptr;
        }
    }
    return true;
}

// Below llm_pass PROVIDER a provider that knows the client's way of counting does it itself, and
// so it is with what is not translated.
bool is_forwarded(const LlmRequest &request) {
    const Provider *provider = request.only_provider;
    if (provider == nullptr || provider->is_mock()) {
        return false;
    }
    return request.endpoint.operation == Operation::other ||
           (request.endpoint.operation == Operation::count_tokens &&
            provider->speech_for(*request.client).dialect == request.client);
}

// What is forwarded unread keeps the client's way of writing it ("%2F" is not "/"), unless nginx
// changed more than escapes: merged slashes, dots, a rewrite. `path` is the end of r->uri.
void forward_unread(LlmRequest &request, std::string_view path) {
    request.is_raw = true;
    request.raw_path = path;
    std::string_view plain = view(request.r->uri);
    std::string_view sent = view(request.r->unparsed_uri);
    sent = sent.substr(0, sent.find('?'));
    std::string decoded(sent.size(), '\0');
    auto *from = reinterpret_cast<u_char *>(const_cast<char *>(sent.data()));
    auto *to = reinterpret_cast<u_char *>(decoded.data());
    ngx_unescape_uri(&to, &from, sent.size(), 0);
    decoded.resize(size_t(to - reinterpret_cast<u_char *>(decoded.data())));
    std::string_view above = plain.substr(0, plain.size() - path.size());
    if (decoded == plain && sent.starts_with(above)) {
        request.raw_path = sent.substr(above.size());
        request.is_raw_path_escaped = true;
    }
}

bool is_read_only(const ngx_http_request_t *r) {
    return r->method == NGX_HTTP_GET || r->method == NGX_HTTP_HEAD;
}

void on_body_read(ngx_http_request_t *r) {
    run_stages(*find_llm_request(r));
}

// The body of a request that is refused is not asked for. A client that waits to be asked may send
// it or not: what comes next on its connection could be either.
void discard_body(ngx_http_request_t *r) {
    if (r->headers_in.expect != nullptr && !r->expect_tested) {
        r->expect_tested = 1;
        r->keepalive = 0;
    }
    (void)ngx_http_discard_request_body(r);
}

// The handler owns one reference of the request from here on; finish_request gives it back.
ngx_int_t read_body(LlmRequest &request) {
    ngx_http_request_t *r = request.r;
    if (!request.body.expect(r->headers_in.content_length_n, request.loc.max_body)) {
        discard_body(r);
        r->main->count++;
        reply_error(request, ErrorClass::too_large, "the request body is too large");
        return NGX_DONE;
    }
    if (r->request_body != nullptr && !request.body.take_over(r->request_body->bufs)) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }
    ngx_int_t rc = ngx_http_read_client_request_body(r, guard<on_body_read>);
    return rc >= NGX_HTTP_SPECIAL_RESPONSE ? rc : NGX_DONE;
}

ngx_int_t refuse(LlmRequest &request, ErrorClass error_class, ngx_uint_t status,
                 std::string_view what, std::string_view code = {}) {
    discard_body(request.r);
    request.r->main->count++;
    Arena arena;
    ApiError error;
    error.error_class = error_class;
    error.status = uint16_t(status);
    error.message.bytes = what;
    error.code.bytes = code;
    reply_error(request, error);
    return NGX_DONE;
}

ngx_int_t refuse_method(LlmRequest &request) {
    std::string_view first = request.endpoint.allow.substr(0, request.endpoint.allow.find(','));
    return refuse(request, ErrorClass::invalid_request, NGX_HTTP_NOT_ALLOWED,
                  first == "POST" ? "method not allowed, use POST" : "method not allowed, use GET");
}

}  // namespace

LlmRequest *make_llm_request(ngx_http_request_t *r) {
    auto *request = pool_new_recycled<LlmRequest>(r->pool, r);
    // The pool's cleanup may come seconds late (lingering close); this one is prompt.
    ngx_http_cleanup_t *cleanup = request != nullptr ? ngx_http_cleanup_add(r, 0) : nullptr;
    if (cleanup == nullptr) {
        return nullptr;
    }
    cleanup->handler = guard<on_request_over>;
    cleanup->data = request;
    ngx_http_set_ctx(r, request, ngx_http_llm_module);
    // An answer of a provider was not "modified" at a time: If-Match would throw it away.
    r->disable_not_modified = 1;
    // With `satisfy any` nobody may have asked for the key.
    if (Access *access = find_access(r); access != nullptr && access->is_checked) {
        request->identity = access->identity;
    }
    return request;
}

std::string_view path_below(const ngx_http_request_t *r, const ngx_http_llm_loc_conf_t &loc) {
    std::string_view path = view(r->uri);
    std::string_view prefix = view(loc.location);
    while (!prefix.empty() && prefix.back() == '/') {
        prefix.remove_suffix(1);
    }
    if (path.starts_with(prefix) && (path.size() == prefix.size() || path[prefix.size()] == '/')) {
        path.remove_prefix(prefix.size());
    }
    return path;
}

ngx_int_t handle_request(ngx_http_request_t *r) {
    if (r != r->main) {
        ngx_log_error(NGX_LOG_ERR, r->connection->log, 0, "llm: llm_pass in a subrequest");
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }
    LlmRequest *made = make_llm_request(r);
    if (made == nullptr) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }
    LlmRequest &request = *made;
    std::string_view path = path_below(r, request.loc);
    request.endpoint = endpoint_of(r, request.loc);
    request.client =
        request.endpoint.dialect ? &dialect(*request.endpoint.dialect) : &dialect_by_headers(r);
    if (!find_target(request)) {
        return refuse(request, ErrorClass::not_found, NGX_HTTP_NOT_FOUND, "unknown provider");
    }

    if (is_forwarded(request)) {
        forward_unread(request, path);
        return read_body(request);
    }
    if (request.endpoint.takes_body()) {
        if (r->method != NGX_HTTP_POST) {
            return refuse_method(request);
        }
        return read_body(request);
    }
    if (request.only_provider != nullptr && !request.only_provider->is_mock()) {
        forward_unread(request, path);
        return read_body(request);
    }
    if (request.endpoint.operation == Operation::unknown) {
        return refuse(request, ErrorClass::not_found, NGX_HTTP_NOT_FOUND, "unknown path",
                      "unknown_url");
    }
    if (!request.endpoint.allows(view(r->method_name))) {
        return refuse_method(request);
    }
    if (request.endpoint.operation == Operation::kept) {
        return read_body(request);
    }
    ngx_int_t rc = ngx_http_discard_request_body(r);
    if (rc != NGX_OK) {
        return rc;
    }
    r->main->count++;
    answer_locally(request);
    return NGX_DONE;
}

bool is_open(ngx_http_request_t *r) {
    const ngx_http_llm_loc_conf_t &loc = loc_conf(r);
    if (loc.pass == PassKind::variable) {
        ngx_str_t value;
        if (ngx_http_complex_value(r, loc.pass_value, &value) != NGX_OK ||
            view(value) != "models") {
            return false;
        }
    } else if (loc.pass != PassKind::models) {
        return false;
    }
    Operation operation = endpoint_of(r, loc).operation;
    return operation == Operation::liveness || operation == Operation::readiness ||
           operation == Operation::root;
}

ngx_int_t handle_health_location(ngx_http_request_t *r) {
    LlmRequest *made = make_llm_request(r);
    if (made == nullptr) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }
    made->client = &kOpenAi;
    if (!is_read_only(r)) {
        return refuse(*made, ErrorClass::invalid_request, NGX_HTTP_NOT_ALLOWED,
                      "method not allowed, use GET");
    }
    std::string_view path = view(r->uri);
    bool is_liveness = path.ends_with("/liveness") || path.ends_with("/liveliness");
    made->endpoint.operation = is_liveness ? Operation::liveness : Operation::readiness;
    ngx_int_t rc = ngx_http_discard_request_body(r);
    if (rc != NGX_OK) {
        return rc;
    }
    r->main->count++;
    answer_locally(*made);
    return NGX_DONE;
}

LlmRequest *find_llm_request(ngx_http_request_t *r) {
    return static_cast<LlmRequest *>(ngx_http_get_module_ctx(r, ngx_http_llm_module));
}

LlmRequest *find_latest_request(ngx_http_request_t *r) {
    LlmRequest *request = find_llm_request(r);
    return request != nullptr ? request : pool_find<LlmRequest>(r->pool);
}

}  // namespace llm
