// A header filter that notices a response of nginx itself below llm_pass or llm_admin, or of a
// server that has no other locations while it reads a request, and a body filter that puts JSON in
// place of its HTML. Responses of the gateway pass untouched, and so does what the operator wrote:
// the text of a `return`, a page that error_page takes from another location.
#include "ngx_llm_module/filter/error_pages.hpp"

#include "ngx_llm_module/base/guard.hpp"
#include "ngx_llm_module/base/pool.hpp"
#include "ngx_llm_module/request/access.hpp"
#include "ngx_llm_module/request/headers.hpp"
#include "ngx_llm_module/request/llm_request.hpp"
#include "ngx_llm_module/request/reply.hpp"

namespace llm {
namespace {

ngx_http_output_header_filter_pt next_header_filter;
ngx_http_output_body_filter_pt next_body_filter;

// The context of the filter module: the body that takes the place of nginx's own.
struct Replacement {
    ByteBuffer body;
    std::string id;
    bool is_sent = false;
};

Replacement *find_replacement(ngx_http_request_t *r) {
    return static_cast<Replacement *>(ngx_http_get_module_ctx(r, ngx_http_llm_filter_module));
}

const Dialect &caller_dialect(ngx_http_request_t *r) {
    if (LlmRequest *request = find_llm_request(r)) {
        return *request->client;
    }
    if (loc_conf(r).is_admin) {
        return kOpenAi;
    }
    // Rejected before the content phase: the path tells, or the headers.
    std::string_view path = view(r->uri);
    while (!path.empty()) {
        if (std::optional<DialectId> known = find_endpoint(path, {}).dialect) {
            return dialect(*known);
        }
        size_t slash = path.find('/', 1);
        path.remove_prefix(slash == std::string_view::npos ? path.size() : slash);
    }
    return dialect_by_headers(r);
}

// Why a key was refused; false: this is some other refusal.
bool render_refused_key(ngx_http_request_t *r, std::string_view request_id, ByteBuffer &out) {
    Access *access = find_access(r);
    if (access == nullptr || !access->is_refused ||
        r->headers_out.status != NGX_HTTP_UNAUTHORIZED) {
        return false;
    }
    ApiError error;
    error.error_class = ErrorClass::authentication;
    error.message.bytes = access->message;
    error.own = access->word;
    json::Writer writer(out);
    (void)caller_dialect(r).render_error(error, request_id, writer);
    return true;
}

// Of what is refused while it is read nobody knows for which location it is. Later such a request
// is one for nginx's own files.
bool is_ours(ngx_http_request_t *r) {
    const ngx_http_llm_loc_conf_t &loc = loc_conf(r);
    bool is_early = r->phase_handler == 0 && is_without_location(r);
    return loc.pass != PassKind::unset || loc.is_admin ||
           (loc.has_own && !loc.has_other && is_early);
}

ngx_int_t filter_header(ngx_http_request_t *r) {
    // nginx notes the status of its own pages (r->err_status), not that of a `return` with a text.
    if (r != r->main || r->err_status == 0 || !is_ours(r) ||
        r->headers_out.status < NGX_HTTP_BAD_REQUEST) {
        return next_header_filter(r);
    }
    LlmRequest *request = find_llm_request(r);
    if (request != nullptr && request->has_replied) {
        return next_header_filter(r);
    }
    auto *replacement = pool_new<Replacement>(r->pool);
    if (replacement == nullptr) {
        return NGX_ERROR;
    }
    ngx_http_set_ctx(r, replacement, ngx_http_llm_filter_module);
    // Also what never came to be a request of the gateway can be asked about.
    replacement->id = request != nullptr ? request->id : new_request_id();
    if (request != nullptr && request->downstream.has_error_body(r->headers_out.status)) {
        replacement->body = request->downstream.take_error_body();
    } else if (!render_refused_key(r, replacement->id, replacement->body)) {
        render_status(caller_dialect(r), r->headers_out.status, replacement->id, replacement->body);
    }
    if (request != nullptr) {
        add_answer_headers(*request);
    } else {
        forbid_caching(r);
        add_header(r, "x-llm-request-id", replacement->id);
    }
    ngx_str_set(&r->headers_out.content_type, "application/json");
    r->headers_out.content_type_len = r->headers_out.content_type.len;
    r->headers_out.content_type_lowcase = nullptr;
    r->headers_out.charset.len = 0;
    ngx_http_clear_content_length(r);
    r->headers_out.content_length_n = off_t(replacement->body.size());
    return next_header_filter(r);
}

ngx_int_t filter_body(ngx_http_request_t *r, ngx_chain_t *in) {
    Replacement *replacement = find_replacement(r);
    if (replacement == nullptr || in == nullptr) {
        return next_body_filter(r, in);
    }
    for (ngx_chain_t *link = in; link != nullptr; link = link->next) {
        link->buf->pos = link->buf->last;
        link->buf->file_pos = link->buf->file_last;
    }
    if (replacement->is_sent) {
        return NGX_OK;
    }
    replacement->is_sent = true;
    auto *buf = static_cast<ngx_buf_t *>(ngx_calloc_buf(r->pool));
    ngx_chain_t *link = ngx_alloc_chain_link(r->pool);
    if (buf == nullptr || link == nullptr) {
        return NGX_ERROR;
    }
    std::string_view body = replacement->body.view();
    buf->start = buf->pos = reinterpret_cast<u_char *>(const_cast<char *>(body.data()));
    buf->end = buf->last = buf->pos + body.size();
    buf->memory = 1;
    buf->last_buf = 1;
    buf->last_in_chain = 1;
    *link = {buf, nullptr};
    return next_body_filter(r, link);
}

}  // namespace

std::string_view refused_id(ngx_http_request_t *r) {
    Replacement *replacement = find_replacement(r);
    return replacement != nullptr ? std::string_view(replacement->id) : std::string_view();
}

void install_error_pages() {
    next_header_filter = ngx_http_top_header_filter;
    ngx_http_top_header_filter = guard<filter_header, NGX_ERROR>;
    next_body_filter = ngx_http_top_body_filter;
    ngx_http_top_body_filter = guard<filter_body, NGX_ERROR>;
}

}  // namespace llm
