// The exchange with a provider once there is a connection (entries: on_event, on_timer). Bytes are
// received into the worker's buffer and handed to the sink before the next read; nothing is kept
// here. Calls to the sink may end this object: they stand last, or are followed by return.
#include "ngx_llm_module/upstream/net_attempt.hpp"

#include "ngx_llm_module/base/guard.hpp"
#include "ngx_llm_module/base/peer.hpp"

namespace llm {
namespace {

// The status of an error says what is needed: its body is waited for only so long.
constexpr ngx_msec_t kErrorBodyTimeout = 5000;

}  // namespace

NetAttempt::NetAttempt(const NetContext &context, OutgoingRequest outgoing, AnswerSink &sink)
    : r_(context.r),
      sink_(sink),
      may_reuse_(context.may_reuse),
      log_(context.log),
      resolver_(context.resolver),
      state_(worker().state(*outgoing.endpoint)),
      outgoing_(std::move(outgoing)),
      timeouts_(context.timeouts),
      earlier_states_(context.earlier_states) {
    timer_.handler = guard<on_timer>;
    timer_.data = this;
    timer_.log = log_;
}

NetAttempt::~NetAttempt() {
    state_.addresses.forget(*this);
    if (c_ != nullptr) {
        close_state();
    }
    if (timer_.timer_set) {
        ngx_del_timer(&timer_);
    }
    if (c_ != nullptr) {
        close_peer_connection(c_);
    }
}

// The entry in nginx's own list, so that $upstream_addr, $upstream_status and their kin work.
void NetAttempt::note_state(ngx_str_t peer) {
    ngx_http_request_t *r = r_;
    if (r == nullptr) {
        return;
    }
    if (r->upstream_states == nullptr) {
        r->upstream_states = ngx_array_create(r->pool, 1, sizeof(ngx_http_upstream_state_t));
    }
    auto push = [r] {
        auto *state =
            r->upstream_states != nullptr
                ? static_cast<ngx_http_upstream_state_t *>(ngx_array_push(r->upstream_states))
                : nullptr;
        if (state != nullptr) {
            ngx_memzero(state, sizeof(*state));
        }
        return state;
    };
    if (earlier_states_ > 0 && r->upstream_states->nelts == earlier_states_) {
        (void)push();  // without a peer it is what nginx shows as " : "
    }
    auto *name = static_cast<ngx_str_t *>(ngx_palloc(r->pool, sizeof(ngx_str_t)));
    ngx_http_upstream_state_t *state = name != nullptr ? push() : nullptr;
    if (state == nullptr) {
        return;
    }
    state->response_time = ngx_msec_t(-1);
    state->connect_time = ngx_msec_t(-1);
    state->header_time = ngx_msec_t(-1);
    state->peer = name;
    upstream_state_ = r->upstream_states->nelts - 1;
    name_state(peer);
}

void NetAttempt::name_state(ngx_str_t peer) {
    peer_name_ = peer;
    state_began_ = ngx_current_msec;
    if (ngx_http_upstream_state_t *state = upstream_state()) {
        *state->peer = peer;
    }
}

ngx_http_upstream_state_t *NetAttempt::upstream_state() {
    ngx_array_t *states = r_ != nullptr ? r_->upstream_states : nullptr;
    if (states == nullptr || states->nelts <= upstream_state_) {
        return nullptr;
    }
    return static_cast<ngx_http_upstream_state_t *>(states->elts) + upstream_state_;
}

void NetAttempt::close_state() {
    if (ngx_http_upstream_state_t *state = upstream_state()) {
        state->response_time = ngx_current_msec - state_began_;
        state->bytes_sent = c_ != nullptr ? c_->sent : state->bytes_sent;
        state->bytes_received = bytes_received_;
        state->response_length = body_bytes_;
    }
}

void NetAttempt::enter(Phase phase) {
    ngx_msec_t limit = phase == Phase::connecting ? timeouts_.connect
                       : phase == Phase::waiting  ? timeouts_.first_token
                                                  : timeouts_.idle;
    if (phase == Phase::refused) {
        // Never later than the first content would have been due.
        auto left = ngx_msec_int_t(phase_began_ + timeouts_.first_token - ngx_current_msec);
        limit = ngx_min(kErrorBodyTimeout, ngx_msec_t(ngx_max(left, 1)));
    }
    phase_ = phase;
    phase_began_ = ngx_current_msec;
    if (timer_.timer_set) {
        ngx_del_timer(&timer_);  // exact: nginx would leave a timer that moves only a little
    }
    ngx_add_timer(&timer_, limit);
}

void NetAttempt::on_first_content() {
    enter(Phase::streaming);
    outgoing_.made = ByteBuffer();
    std::string().swap(outgoing_.head);
    std::vector<ngx_buf_t>().swap(bufs_);
    std::vector<ngx_chain_t>().swap(links_);
    unsent_ = nullptr;  // an answer that comes before the request is out ends it
}

// The streaming phase does not move its timer at every read: it looks when the timer fires.
void NetAttempt::on_timer(ngx_event_t *ev) {
    auto &self = *static_cast<NetAttempt *>(ev->data);
    Turn turn(self.r_);
    if (self.phase_ == Phase::streaming) {
        ngx_msec_t silence = ngx_current_msec - self.phase_began_;
        if (!self.sink_.wants_more()) {
            ngx_add_timer(ev, self.timeouts_.idle);  // it is the client that is slow
            return;
        }
        if (silence < self.timeouts_.idle) {
            ngx_add_timer(ev, self.timeouts_.idle - silence);
            return;
        }
    }
    if (self.phase_ == Phase::refused) {
        self.may_keep_ = false;
        self.sink_.on_end();  // with what is there
        return;
    }
    self.broken(self.phase_ == Phase::connecting ? Broken::connect_timeout
                : self.phase_ == Phase::waiting  ? Broken::first_token_timeout
                                                 : Broken::idle_timeout);
}

void NetAttempt::on_event(ngx_event_t *ev) {
    auto *c = static_cast<ngx_connection_t *>(ev->data);
    auto &self = *static_cast<NetAttempt *>(c->data);
    Turn turn(self.r_);
    if (c->close) {
        self.broken(Broken::reset);  // the worker's shutdown time is over
    } else if (!self.is_connected_) {
        self.on_connected();
    } else if (ev->write) {
        if (self.unsent_ != nullptr) {
            self.send();
        }
    } else {
        self.read();
    }
}

void NetAttempt::send() {
    if (bufs_.empty()) {
        if (ngx_http_upstream_state_t *state = upstream_state()) {
            state->connect_time = ngx_current_msec - state_began_;  // with the handshake
        }
        bufs_.resize(1 + outgoing_.body.size());
        links_.resize(bufs_.size());
        auto fill = [](ngx_buf_t &buf, std::string_view bytes) {
            ngx_memzero(&buf, sizeof(buf));
            buf.start = buf.pos = reinterpret_cast<u_char *>(const_cast<char *>(bytes.data()));
            buf.end = buf.last = buf.pos + bytes.size();
            buf.memory = 1;
        };
        fill(bufs_[0], outgoing_.head);
        for (size_t i = 0; i < outgoing_.body.size(); i++) {
            fill(bufs_[i + 1], outgoing_.body[i]);
        }
        bufs_.back().flush = 1;
        bufs_.back().last_buf = 1;
        // Empty pieces are no buffers that nginx would like to see.
        ngx_chain_t **next = &unsent_;
        for (size_t i = 0; i < bufs_.size(); i++) {
            if (bufs_[i].pos == bufs_[i].last && i + 1 < bufs_.size()) {
                continue;
            }
            links_[i] = {&bufs_[i], nullptr};
            *next = &links_[i];
            next = &links_[i].next;
        }
    }

    ngx_connection_t *c = c_;
    c->log->action = const_cast<char *>("sending request to provider");
    ngx_chain_t *rest = c->send_chain(c, unsent_, 0);
    if (rest == NGX_CHAIN_ERROR) {
        // The provider may have said why before it hung up.
        unsent_ = nullptr;
        may_keep_ = false;
        read();
        return;
    }
    unsent_ = rest;
    if (ngx_handle_write_event(c->write, 0) != NGX_OK) {
        broken(Broken::reset);
        return;
    }
    if (c->read->ready || unsent_ == nullptr) {
        read();
    }
}

void NetAttempt::read() {
    ngx_connection_t *c = c_;
    c->log->action = const_cast<char *>("reading answer of provider");
    // `ready` says whether a read can bring anything: asking the kernel once more to hear "no"
    // would cost every event a system call.
    while (c->read->ready && sink_.wants_more()) {
        char *buffer = worker().read_buffer;
        ssize_t size = c->recv(c, reinterpret_cast<u_char *>(buffer), Worker::kReadSize);
        if (size == NGX_AGAIN) {
            break;
        }
        if (size == 0) {
            on_eof();
            return;
        }
        if (size < 0) {
            broken(has_answer_ || !is_reused_ ? Broken::reset : Broken::closed);
            return;
        }
        has_answer_ = true;
        if (phase_ == Phase::streaming) {
            phase_began_ = ngx_current_msec;
        }
        bytes_received_ += size;
        if (!consume({buffer, size_t(size)})) {
            return;
        }
    }
    if (c->write->error || ngx_handle_read_event(c->read, 0) != NGX_OK) {
        broken(Broken::reset);  // write error: it hung up before it had the whole request
    }
}

// False: this object may be gone.
bool NetAttempt::consume(std::string_view bytes) {
    while (!bytes.empty()) {
        if (!head_.complete()) {
            Result<size_t> taken = head_.feed(bytes);
            if (!taken) {
                broken(Broken::malformed);
                return false;
            }
            bytes.remove_prefix(*taken);
            if (!head_.complete()) {
                return true;
            }
            if (head_.status() == NGX_HTTP_SWITCHING_PROTOCOLS) {
                broken(Broken::malformed);  // nobody asked for another protocol
                return false;
            }
            if (head_.status() < 200) {  // 100-continue, early hints
                head_.reset();
                continue;
            }
            if (ngx_http_upstream_state_t *state = upstream_state()) {
                state->status = head_.status();
                state->header_time = ngx_current_msec - state_began_;
            }
            if (!body_.begin(head_)) {
                broken(Broken::malformed);
                return false;
            }
            std::string_view connection = head_.find("connection");
            may_keep_ = may_keep_ && !wire::same_name(connection, "close") &&
                        (!head_.is_http10() || wire::same_name(connection, "keep-alive"));
            if (outgoing_.is_head) {
                body_ = wire::HttpBody();
            }
            if (!sink_.on_head(head_)) {
                return false;
            }
            if (body_.complete()) {
                sink_.on_end();
                return false;
            }
            if (phase_ == Phase::waiting && (head_.status() < 200 || head_.status() > 299)) {
                enter(Phase::refused);
            }
            continue;
        }
        if (body_.complete()) {
            may_keep_ = false;  // bytes behind the answer
            return true;
        }
        Result<std::string_view> run = body_.next(bytes);
        if (!run) {
            broken(Broken::malformed);
            return false;
        }
        if (!bytes.empty() && body_.complete()) {
            may_keep_ = false;
        }
        rest_of_read_ = bytes;  // for finish(), should the sink have enough now
        if (!run->empty()) {
            body_bytes_ += off_t(run->size());
            if (!sink_.on_body(*run)) {
                return false;
            }
        }
        if (body_.complete()) {
            sink_.on_end();
            return false;
        }
    }
    return !head_.complete() || sink_.on_pause();
}

void NetAttempt::on_eof() {
    if (!has_answer_) {
        broken(Broken::closed);
    } else if (head_.complete() && body_.ends_with_connection()) {
        may_keep_ = false;
        sink_.on_end();
    } else {
        broken(head_.complete() ? Broken::cut : Broken::closed);
    }
}

void NetAttempt::broken(Broken why) {
    may_keep_ = false;
    if (timer_.timer_set) {
        ngx_del_timer(&timer_);
    }
    if (ngx_http_upstream_state_t *state = upstream_state();
        state != nullptr && state->status == 0) {
        state->status =
            class_of(why) == ErrorClass::timeout ? NGX_HTTP_GATEWAY_TIME_OUT : NGX_HTTP_BAD_GATEWAY;
    }
    close_state();
    std::string_view text = describe(why);
    bool is_stale = is_reused_ && !has_answer_ && (why == Broken::reset || why == Broken::closed);
    if (is_stale) {
        sink_.on_stale();
        return;
    }
    ngx_log_error(NGX_LOG_ERR, log_, 0, "llm: %*s, %V", text.size(), text.data(), &peer_name_);
    sink_.on_broken(why);
}

void NetAttempt::resume() {
    if (c_ == nullptr) {
        return;
    }
    phase_began_ = ngx_current_msec;  // the silence was ours
    read();
}

void NetAttempt::finish() {
    if (timer_.timer_set) {
        ngx_del_timer(&timer_);
    }
    close_state();
    if (c_ == nullptr) {
        return;
    }
    ngx_connection_t *c = c_;
    c_ = nullptr;
    // A stream says that it is over before its framing does: often the rest is at hand already.
    while (may_keep_ && !rest_of_read_.empty()) {
        if (body_.complete() || !body_.next(rest_of_read_)) {
            may_keep_ = false;
        }
    }
    if (may_keep_ && unsent_ == nullptr) {
        state_.idle.put(c, body_);
    } else {
        close_peer_connection(c);
    }
}

}  // namespace llm
