// Answers the metrics page, and sees to it that requests which never became ours are on it, too.
#include "ngx_llm_module/observe/metrics_handler.hpp"

#include "ngx_llm_module/base/guard.hpp"
#include "ngx_llm_module/base/pool.hpp"
#include "ngx_llm_module/observe/metrics_page.hpp"
#include "ngx_llm_module/request/booking.hpp"
#include "ngx_llm_module/request/headers.hpp"
#include "ngx_llm_module/request/llm_request.hpp"

namespace llm {
namespace {

ngx_int_t log_request(ngx_http_request_t *r) {
    if (r == r->main && loc_conf(r).pass != PassKind::unset && find_llm_request(r) == nullptr) {
        book_refused();
    }
    return NGX_OK;
}

}  // namespace

ngx_int_t handle_metrics(ngx_http_request_t *r) {
    if (r->method != NGX_HTTP_GET && r->method != NGX_HTTP_HEAD) {
        return NGX_HTTP_NOT_ALLOWED;
    }
    ngx_int_t rc = ngx_http_discard_request_body(r);
    if (rc != NGX_OK) {
        return rc;
    }
    MetricsPage page;
    collect(config(r), page);
    auto *text = pool_new<std::string>(r->pool, page.render());
    auto *buf = static_cast<ngx_buf_t *>(ngx_calloc_buf(r->pool));
    if (text == nullptr || buf == nullptr) {
        return NGX_ERROR;
    }
    r->headers_out.status = NGX_HTTP_OK;
    r->headers_out.content_length_n = off_t(text->size());
    ngx_str_set(&r->headers_out.content_type, "text/plain; version=0.0.4; charset=utf-8");
    r->headers_out.content_type_len = r->headers_out.content_type.len;
    forbid_caching(r);
    rc = ngx_http_send_header(r);
    if (rc == NGX_ERROR || rc > NGX_OK || r->header_only) {
        return rc;
    }
    buf->pos = buf->start = reinterpret_cast<u_char *>(text->data());
    buf->last = buf->end = buf->pos + text->size();
    buf->memory = !text->empty();
    buf->last_buf = 1;
    buf->last_in_chain = 1;
    ngx_chain_t link = {buf, nullptr};
    return ngx_http_output_filter(r, &link);
}

bool install_log_handler(ngx_conf_t *cf) {
    auto *main = static_cast<ngx_http_core_main_conf_t *>(
        ngx_http_conf_get_module_main_conf(cf, ngx_http_core_module));
    auto *handler = static_cast<ngx_http_handler_pt *>(
        ngx_array_push(&main->phases[NGX_HTTP_LOG_PHASE].handlers));
    if (handler == nullptr) {
        return false;
    }
    *handler = guard<log_request, NGX_OK>;
    return true;
}

}  // namespace llm
