// Writing to the client (entries: begin_stream, write, send_whole). One buffer is under way at a
// time; while the client has not taken it the provider is not read, so a slow client slows the
// provider down and costs no memory here.
#include "ngx_llm_module/stream/downstream.hpp"

#include "ngx_llm_module/base/guard.hpp"
#include "ngx_llm_module/request/headers.hpp"
#include "ngx_llm_module/request/llm_request.hpp"
#include "ngx_llm_module/state/metrics.hpp"

namespace llm {
namespace {

// A burst may have made the buffer large: idle streams are to be small. What one read brings is
// kept, or a busy stream would ask for memory at each.
constexpr size_t kKeepBuffer = 32 * 1024;

ngx_http_core_loc_conf_t *core_conf(ngx_http_request_t *r) {
    return static_cast<ngx_http_core_loc_conf_t *>(
        ngx_http_get_module_loc_conf(r, ngx_http_core_module));
}

void reset_at_close(ngx_connection_t *c) {
    linger at_once = {1, 0};
    if (setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once)) == -1) {
        ngx_log_error(NGX_LOG_ERR, c->log, ngx_socket_errno, "setsockopt(SO_LINGER) failed");
    }
#if (NGX_HTTP_SSL)
    if (c->ssl != nullptr) {
        c->ssl->no_send_shutdown = 1;
        c->ssl->no_wait_shutdown = 1;
    }
#endif
}

}  // namespace

Downstream::~Downstream() {
    stop();
}

void Downstream::note_held(size_t bytes) {
    if (bytes != held_) {
        add_held(int64_t(bytes) - int64_t(held_));
        held_ = bytes;
    }
}

void Downstream::stop() {
    note_held(0);
    if (ping_timer_.timer_set) {
        ngx_del_timer(&ping_timer_);
    }
}

bool Downstream::send_header() {
    ngx_http_request_t *r = request_.r;
    // Compression would hold events back, and a range of an answer makes no sense.
    r->gzip_tested = 1;
    r->gzip_ok = 0;
    r->allow_ranges = 0;
    r->limit_rate = 0;
    r->limit_rate_set = 1;
    add_answer_headers(request_);
    has_begun_ = true;
    request_.has_replied = true;

    // What the operator thinks of tcp_nodelay is meant for files.
    ngx_connection_t *c = r->stream != nullptr ? r->stream->connection->connection : r->connection;
    if (c->type == SOCK_STREAM) {
        (void)ngx_tcp_nodelay(c);
    }
    ngx_int_t rc = ngx_http_send_header(r);
    if (rc == NGX_ERROR || rc > NGX_OK || r->header_only) {
        finish_request(request_, rc);
        return false;
    }
    r->write_event_handler = guard<on_writable>;
    return true;
}

bool Downstream::begin_stream() {
    ngx_http_request_t *r = request_.r;
    r->headers_out.status = NGX_HTTP_OK;
    r->headers_out.content_length_n = -1;
    if (request_.endpoint.is_json_array) {
        ngx_str_set(&r->headers_out.content_type, "application/json");
    } else {
        ngx_str_set(&r->headers_out.content_type, "text/event-stream");
    }
    r->headers_out.content_type_len = r->headers_out.content_type.len;
    ngx_str_set(&r->headers_out.charset, "utf-8");
    r->headers_out.content_type_lowcase = nullptr;
    if (!add_header(r, "Cache-Control", "no-cache") || !add_header(r, "X-Accel-Buffering", "no")) {
        finish_request(request_, NGX_ERROR);
        return false;
    }
    if (!send_header()) {
        return false;
    }
    arm_ping();
    return true;
}

bool Downstream::begin_raw(ngx_uint_t status, std::string_view content_type, off_t length) {
    ngx_http_request_t *r = request_.r;
    r->headers_out.status = status;
    r->headers_out.content_length_n = length;
    r->headers_out.content_type = copy_str(r->pool, content_type);
    r->headers_out.content_type_len = content_type.size();
    return send_header();
}

bool Downstream::write(ByteBuffer &out, bool is_last) {
    if (is_blocked_) {
        ends_after_ = ends_after_ || is_last;
        return true;  // taken when the buffer under way has left
    }
    if (out.size() == 0 && !is_last) {
        return true;
    }
    std::swap(sending_, out);
    out.clear();
    if (request_.content_log != nullptr) {
        request_.content_log->take_answer(sending_.view());
    }
    ngx_memzero(&buf_, sizeof(buf_));
    std::string_view bytes = sending_.view();
    buf_.start = reinterpret_cast<u_char *>(const_cast<char *>(bytes.data()));
    buf_.pos = buf_.start;
    buf_.last = buf_.end = buf_.start + bytes.size();
    buf_.memory = !bytes.empty();
    buf_.flush = 1;
    buf_.last_buf = is_last;
    buf_.last_in_chain = 1;
    link_ = {&buf_, nullptr};
    last_write_ = ngx_current_msec;

    if (is_last) {
        // Whoever has read the whole answer finds nothing in flight any more.
        request_.limits.end();
    }
    ngx_http_request_t *r = request_.r;
    ngx_int_t rc = ngx_http_output_filter(r, &link_);
    if (is_last || rc == NGX_ERROR) {
        // nginx itself sends what is still buffered.
        finish_request(request_, rc);
        return false;
    }
    if (!flush()) {
        return false;
    }
    if (is_blocked_) {
        out = ByteBuffer();  // what a client that stops reading costs is the one under way
    } else {
        std::swap(sending_, out);  // one of the two grows, not both in turns
        out.clear();
    }
    return true;
}

// Looks whether the buffer under way has left, and arms what tells us when it does.
bool Downstream::flush() {
    ngx_connection_t *c = request_.r->connection;
    is_blocked_ = ngx_buf_size(&buf_) > 0 || (c->buffered & NGX_LOWLEVEL_BUFFERED) ||
                  request_.r->out != nullptr;
    note_held(is_blocked_ ? sending_.size() : 0);
    if (is_blocked_) {
        ngx_http_core_loc_conf_t *core = core_conf(request_.r);
        if (!c->write->timer_set) {
            ngx_add_timer(c->write, core->send_timeout);
        }
        if (ngx_handle_write_event(c->write, core->send_lowat) != NGX_OK) {
            finish_request(request_, NGX_ERROR);
            return false;
        }
        return true;
    }
    if (c->write->timer_set) {
        ngx_del_timer(c->write);
    }
    if (sending_.size() > kKeepBuffer) {
        sending_ = ByteBuffer();
    }
    return true;
}

void Downstream::on_writable(ngx_http_request_t *r) {
    LlmRequest *request = find_llm_request(r);
    if (request == nullptr) {
        return;
    }
    Downstream &self = request->downstream;
    ngx_connection_t *c = r->connection;
    if (c->write->timedout) {
        c->timedout = 1;
        ngx_log_error(NGX_LOG_INFO, c->log, NGX_ETIMEDOUT, "llm: client timed out");
        finish_request(*request, NGX_HTTP_REQUEST_TIME_OUT);
        return;
    }
    if (!self.is_blocked_) {
        return;
    }
    size_t before = size_t(ngx_buf_size(&self.buf_));
    if (ngx_http_output_filter(r, nullptr) == NGX_ERROR) {
        finish_request(*request, NGX_ERROR);
        return;
    }
    if (size_t(ngx_buf_size(&self.buf_)) < before && c->write->timer_set) {
        ngx_del_timer(c->write);  // progress: the client has its time anew
    }
    if (!self.flush() || self.is_blocked_) {
        return;
    }
    request->answer.on_drained(self.ends_after_);
}

bool Downstream::push() {
    if (!is_blocked_ || request_.r->stream != nullptr) {
        return true;
    }
    request_.r->connection->write->ready = 1;
    if (ngx_http_output_filter(request_.r, nullptr) == NGX_ERROR) {
        finish_request(request_, NGX_ERROR);
        return false;
    }
    if (!flush()) {
        return false;
    }
    if (!is_blocked_ && ends_after_) {
        request_.answer.on_drained(true);
        return false;
    }
    return true;
}

void Downstream::cut() {
    ngx_http_request_t *r = request_.r;
    ngx_connection_t *c = r->connection;
    if (r->stream == nullptr && !r->chunked && r->headers_out.content_length_n < 0) {
        // Such a body ends with the connection: that must not end well.
        reset_at_close(c);
    }
    finish_request(request_, NGX_ERROR);
}

void Downstream::arm_ping() {
    ngx_msec_t ping = request_.loc.ping;
    if (ping == 0) {
        return;
    }
    last_write_ = ngx_current_msec;
    ping_timer_.handler = guard<on_ping>;
    ping_timer_.data = &request_;
    ping_timer_.log = request_.r->connection->log;
    ngx_add_timer(&ping_timer_, ping);
}

// The timer is not moved at every event: it looks when it fires how long the silence is.
void Downstream::on_ping(ngx_event_t *ev) {
    LlmRequest &request = *static_cast<LlmRequest *>(ev->data);
    Downstream &self = request.downstream;
    ngx_msec_t ping = request.loc.ping;
    ngx_msec_t silence = ngx_current_msec - self.last_write_;
    if (silence < ping) {
        ngx_add_timer(ev, ping - silence);
        return;
    }
    ngx_add_timer(ev, ping);
    if (!self.is_blocked_) {
        ngx_connection_t *c = request.r->connection;
        request.answer.send_ping();
        ngx_http_run_posted_requests(c);
    }
}

void Downstream::send_whole(ngx_uint_t status, std::string_view content_type, ByteBuffer body) {
    ngx_http_request_t *r = request_.r;
    r->headers_out.status = status;
    r->headers_out.content_length_n = off_t(body.size());
    r->headers_out.content_type = copy_str(r->pool, content_type);
    r->headers_out.content_type_len = content_type.size();
    r->headers_out.content_type_lowcase = nullptr;
    ngx_http_clear_accept_ranges(r);
    ngx_http_clear_last_modified(r);
    // What is left of the limits is told without what it had reserved.
    request_.limits.end();
    add_answer_headers(request_);
    has_begun_ = true;
    request_.has_replied = true;
    ngx_int_t rc = ngx_http_send_header(r);
    if (rc == NGX_ERROR || rc > NGX_OK || r->header_only) {
        finish_request(request_, rc);
        return;
    }
    (void)write(body, true);
}

}  // namespace llm
