// An attempt that talks HTTP/1.1 to a provider: address, connection (idle or new), TLS, request,
// answer. One timer covers the phase it is in.
#pragma once

#include "ngx_llm_module/upstream/attempt.hpp"
#include "ngx_llm_module/upstream/outgoing.hpp"
#include "ngx_llm_module/upstream/worker.hpp"

namespace llm {

// On whose behalf an exchange takes place.
struct NetContext {
    ngx_http_request_t *r = nullptr;  // none: the worker's own, see CredentialSource
    ngx_log_t *log = nullptr;
    ngx_resolver_t *resolver = nullptr;
    Timeouts timeouts;
    bool may_reuse = true;  // an idle connection
    // Entries of r->upstream_states that another location has made, before it led here.
    size_t earlier_states = 0;
};

// A call of nginx's event loop on behalf of a request: its log lines name the request, and what it
// posted runs at the end. The exchange may be gone by then.
class Turn {
  public:
    explicit Turn(ngx_http_request_t *r) : client_(r != nullptr ? r->connection : nullptr) {
        if (client_ != nullptr) {
            ngx_http_set_log_request(client_->log, r);
        }
    }
    ~Turn() {
        if (client_ != nullptr) {
            ngx_http_run_posted_requests(client_);
        }
    }
    Turn(const Turn &) = delete;
    Turn &operator=(const Turn &) = delete;

  private:
    ngx_connection_t *client_;
};

class NetAttempt final : public Attempt, private AddressWaiter {
  public:
    NetAttempt(const NetContext &context, OutgoingRequest outgoing, AnswerSink &sink);
    ~NetAttempt() override;

    void start() override;
    void resume() override;
    void on_first_content() override;
    bool was_asked() const override { return is_connected_ && !bufs_.empty() && !unsent_; }
    void finish() override;

  private:
    enum class Phase : uint8_t { connecting, waiting, refused, streaming };

    // --- connect (net_connect.cpp) ---
    void on_addresses() override;
    void connect();
    void note_address();
    void use_connection(ngx_connection_t *c);
    void on_connected();
    void start_tls();
    void on_tls_done();
    bool next_address_or_fail(Broken why);
    static void on_tls_handshake(ngx_connection_t *c);
    static void on_tls_session(ngx_connection_t *c);

    // --- exchange (net_attempt.cpp) ---
    void send();
    void read();
    bool consume(std::string_view bytes);
    void on_eof();
    void broken(Broken why);
    void enter(Phase phase);
    void note_state(ngx_str_t peer);
    void name_state(ngx_str_t peer);
    void close_state();
    ngx_http_upstream_state_t *upstream_state();
    static void on_event(ngx_event_t *ev);
    static void on_timer(ngx_event_t *ev);

    // What every event of a stream touches stands together, in as few cache lines as can be.
    ngx_http_request_t *const r_;
    AnswerSink &sink_;
    ngx_connection_t *c_ = nullptr;
    ngx_msec_t phase_began_ = 0;  // for `streaming`: the last bytes of the provider
    off_t bytes_received_ = 0;
    off_t body_bytes_ = 0;
    std::string_view rest_of_read_;  // valid during a call to the sink only
    ngx_chain_t *unsent_ = nullptr;
    wire::HttpBody body_;
    Phase phase_ = Phase::connecting;
    bool may_reuse_;
    bool is_reused_ = false;
    bool is_connected_ = false;
    bool is_unaddressed_ = false;  // $upstream_addr has the name of the host
    bool has_answer_ = false;      // a byte of the answer came
    bool may_keep_ = true;
    wire::HttpHead head_;

    ngx_log_t *const log_;
    ngx_resolver_t *const resolver_;
    EndpointState &state_;
    OutgoingRequest outgoing_;
    Timeouts timeouts_;
    ngx_event_t timer_ = {};

    ngx_peer_connection_t peer_ = {};
    std::string address_;       // sockaddr bytes of the current peer
    ngx_str_t peer_name_ = {};  // for $upstream_addr
    size_t addresses_left_ = 0;
    size_t upstream_state_ = SIZE_MAX;  // index in r->upstream_states, once there is one
    const size_t earlier_states_;
    ngx_msec_t state_began_ = 0;  // connecting to this address
    std::vector<ngx_buf_t> bufs_;
    std::vector<ngx_chain_t> links_;
};

}  // namespace llm
