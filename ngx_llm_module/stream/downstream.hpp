// The client's side of an answer: headers, bytes, back-pressure, keep-alives. Everything leaves
// with a flush; buffering filters are told to stay away.
#pragma once

#include <string>
#include <utility>

#include "ngx_llm_module/base/ngx_cxx.hpp"
#include "translators/json/writer.hpp"

namespace llm {

class LlmRequest;

class Downstream {
  public:
    explicit Downstream(LlmRequest &request) : request_(request) {}
    ~Downstream();

    // Status 200 and the headers of an event stream. False: the client is gone, and the request
    // with it.
    bool begin_stream();

    // Takes the bytes of `out` and sends them; with `is_last` the answer ends behind them. What
    // the client does not take stays here. False: the client is gone, and the request with it.
    bool write(ByteBuffer &out, bool is_last);

    // Once more what the client has not taken yet, nothing behind it. False as above.
    bool push();
    // The end of an answer that is not whole, and looks so; and the end of the request.
    void cut();

    // The client has not taken everything yet: nothing more may be read for it.
    bool is_blocked() const { return is_blocked_; }
    bool has_begun() const { return has_begun_; }

    // One body with its length, and the end of the request.
    void send_whole(ngx_uint_t status, std::string_view content_type, ByteBuffer body);

    // A body as it comes, of any type (requests that are forwarded unread).
    bool begin_raw(ngx_uint_t status, std::string_view content_type, off_t length);

    // An error whose body waits for nginx's error machinery (filter/error_pages.cpp takes it,
    // unless an error_page of the operator wins).
    void keep_error_body(ByteBuffer body, ngx_uint_t status) {
        sending_ = std::move(body);
        error_status_ = status;
    }
    bool has_error_body(ngx_uint_t status) const { return error_status_ == status; }
    ByteBuffer take_error_body() { return std::move(sending_); }

    void stop();

  private:
    bool send_header();
    bool flush();
    void note_held(size_t bytes);
    void arm_ping();
    static void on_writable(ngx_http_request_t *r);
    static void on_ping(ngx_event_t *ev);

    LlmRequest &request_;
    ByteBuffer sending_;
    ngx_buf_t buf_;
    ngx_chain_t link_;
    ngx_event_t ping_timer_ = {};
    ngx_msec_t last_write_ = 0;
    size_t held_ = 0;  // that the client has not taken, as the metrics know it
    ngx_uint_t error_status_ = 0;
    bool is_blocked_ = false;
    bool has_begun_ = false;
    bool ends_after_ = false;  // last_buf is in sending_
};

}  // namespace llm
