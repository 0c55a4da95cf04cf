// The life of a connection to Redis (entries: open, send, on_event, on_timer). Whatever goes wrong
// ends in fail(): the connection closes, every waiting command hears of it, the owner decides what
// comes next. Calls to commands and to the owner may close this connection again, so they stand
// last or are followed by a look at the state.
#include "ngx_llm_module/redis/connection.hpp"

#include <utility>

#include "ngx_llm_module/base/guard.hpp"
#include "ngx_llm_module/base/peer.hpp"
#include "ngx_llm_module/state/metrics.hpp"

namespace llm {
namespace {

constexpr size_t kReadSize = 16 * 1024;
// Nobody waits while a connection opens in the background.
constexpr ngx_msec_t kOpenTimeout = 1000;
constexpr size_t kKeptBuffer = 64 * 1024;

// Errors that say that this node cannot serve now, whatever is asked of it.
bool is_useless(const RedisReply &reply) {
    for (std::string_view kind : {"READONLY", "LOADING", "MASTERDOWN", "NOAUTH", "MISCONF"}) {
        if (reply.is_error_of(kind)) {
            return true;
        }
    }
    return false;
}

bool is_redirection(const RedisReply &reply) {
    for (std::string_view kind : {"MOVED", "ASK", "TRYAGAIN", "CLUSTERDOWN"}) {
        if (reply.is_error_of(kind)) {
            return true;
        }
    }
    return false;
}

bool is_unix(const std::string &address) {
    return reinterpret_cast<const struct sockaddr *>(address.data())->sa_family == AF_UNIX;
}

// A Redis that starts again takes its socket away meanwhile: nginx would call that critical.
const char *why_no_socket(const std::string &address) {
    if (!is_unix(address) ||
        access(reinterpret_cast<const struct sockaddr_un *>(address.data())->sun_path, W_OK) == 0) {
        return nullptr;
    }
    return ngx_errno == EACCES ? "no permission for its socket" : "its socket is not there";
}

}  // namespace

RedisConnection::RedisConnection(const RedisConfig &config, ngx_resolver_t *resolver,
                                 RedisOwner &owner)
    : config_(config), resolver_(resolver), owner_(owner) {
    timer_.handler = guard<on_timer>;
    timer_.data = this;
    timer_.log = ngx_cycle->log;
    flush_.handler = guard<on_flush>;
    flush_.data = this;
    flush_.log = ngx_cycle->log;
}

RedisConnection::~RedisConnection() {
    close();
}

void RedisConnection::open(const Host &host, bool is_sentinel) {
    if (host_.host != host.host || host_.port != host.port || addresses_ == nullptr) {
        addresses_.reset();
        host_ = host;
        addresses_ = std::make_unique<Addresses>(host_);
    }
    state_ = State::opening;
    is_sentinel_ = is_sentinel;
    is_connected_ = false;
    is_silent_ = false;
    is_proving_ = false;
    reader_ = std::make_unique<RespReader>();
    arm(kOpenTimeout);
    if (addresses_->ready(resolver_, *this)) {
        on_addresses();
    }
}

void RedisConnection::on_addresses() {
    addresses_left_ = addresses_->count();
    if (addresses_left_ == 0) {
        fail(addresses_->why_none());
        return;
    }
    connect();
}

void RedisConnection::connect() {
    addresses_left_--;
    address_ = addresses_->take();
    if (const char *why = why_no_socket(address_)) {
        fail(why, ngx_errno);
        return;
    }
    ngx_str_t name = str(host_.host);
    ngx_peer_connection_t peer = {};
    peer.sockaddr = reinterpret_cast<struct sockaddr *>(address_.data());
    peer.socklen = socklen_t(address_.size());
    peer.name = &name;
    peer.log = ngx_cycle->log;
    peer.log_error = NGX_ERROR_INFO;  // the owner says it, once
    bool is_connected = false;
    bool is_local = false;
    c_ = connect_peer(peer, is_connected, is_local);
    if (c_ == nullptr) {
        addresses_left_ > 0 ? connect() : fail("connect() failed", ngx_socket_errno);
        return;
    }
    c_->data = this;
    c_->idle = 1;
    c_->log_error = NGX_ERROR_INFO;
    c_->read->handler = guard<on_event>;
    c_->write->handler = guard<on_event>;
    if (is_connected) {
        on_connected();
    }
}

void RedisConnection::on_connected() {
    if (int error = connect_error(c_)) {
        close_peer_connection(std::exchange(c_, nullptr));
        addresses_left_ > 0 ? connect() : fail("connect() failed", error);
        return;
    }
    is_connected_ = true;
    if (!is_unix(address_)) {
        (void)ngx_tcp_nodelay(c_);
    }
    if (config_.tls) {
        start_tls();
    } else {
        start_opening();
    }
}

void RedisConnection::start_tls() {
    const std::string &name = config_.ssl_name.empty() ? host_.host : config_.ssl_name;
    if (ngx_ssl_create_connection(config_.ssl, c_, NGX_SSL_BUFFER | NGX_SSL_CLIENT) != NGX_OK ||
        !set_server_name(c_, name)) {
        fail("no TLS");
        return;
    }
    if (ngx_ssl_handshake(c_) == NGX_AGAIN) {
        c_->ssl->handler = guard<on_tls_handshake>;
        return;
    }
    on_tls_done();
}

void RedisConnection::on_tls_handshake(ngx_connection_t *c) {
    static_cast<RedisConnection *>(c->data)->on_tls_done();
}

void RedisConnection::on_tls_done() {
    const std::string &name = config_.ssl_name.empty() ? host_.host : config_.ssl_name;
    if (!c_->ssl->handshaked) {
        fail("the TLS handshake failed");
        return;
    }
    if (config_.ssl_verify && !is_peer_trusted(c_, host_.host, name)) {
        fail("its certificate is not trusted");
        return;
    }
    c_->read->handler = guard<on_event>;
    c_->write->handler = guard<on_event>;
    start_opening();
}

// All of it in one write. What a node does not allow (ROLE and CLUSTER may be forbidden to a user)
// is its owner's to judge.
void RedisConnection::start_opening() {
    steps_left_ = 0;
    if (is_sentinel_) {
        add_step(RedisStep::master, {"SENTINEL", "get-master-addr-by-name", config_.sentinel});
        flush();
        return;
    }
    if (!config_.password.empty()) {
        config_.user.empty() ? add_step(RedisStep::login, {"AUTH", config_.password})
                             : add_step(RedisStep::login, {"AUTH", config_.user, config_.password});
    }
    if (config_.database != 0) {
        add_step(RedisStep::database, {"SELECT", std::to_string(config_.database)});
    }
    add_step(RedisStep::role, {"ROLE"});
    for (const RedisScript &script : redis_scripts()) {
        add_step(RedisStep::script, {"SCRIPT", "LOAD", script.text});
    }
    add_step(RedisStep::slots, {"CLUSTER", "SLOTS"});
    flush();
}

// A request that meets a Redis that is too slow would wait for nothing. A script may be held up
// where other commands are answered.
void RedisConnection::ask_for_proof() {
    add_step(RedisStep::proof, {"EVAL", "return 1", "0"});
    arm(config_.timeout);
    post_flush();
}

void RedisConnection::prove() {
    if (state_ == State::open && pending_.empty()) {
        ask_for_proof();
    }
}

void RedisConnection::add_step(RedisStep step, std::initializer_list<std::string_view> words) {
    RespArgs args;
    for (std::string_view word : words) {
        args.add(word);
    }
    write_command_head(out_, args.count());
    out_.append(args.bytes());
    pending_.push_back({nullptr, step, ngx_current_msec});
    steps_left_ += step != RedisStep::asking;
}

void RedisConnection::write_command(const RedisCommand &command) {
    const RedisScript *script = command.script;
    RespArgs call;
    if (script != nullptr) {
        command.has_text_ ? call.add("EVAL").add(script->text)
                          : call.add("EVALSHA").add(script->sha);
    }
    write_command_head(out_, call.count() + command.args.count());
    out_.append(call.bytes()).append(command.args.bytes());
}

void RedisConnection::send(std::unique_ptr<RedisCommand> command) {
    if (command->is_asking_) {
        command->is_asking_ = false;
        add_step(RedisStep::asking, {"ASKING"});
    }
    write_command(*command);
    ngx_msec_t began = command->began;
    pending_.push_back({std::move(command), RedisStep::command, began});
    if (!timer_.timer_set) {
        arm(config_.timeout);
    }
    post_flush();
}

void RedisConnection::post_flush() {
    if (!flush_.posted) {
        ngx_post_event(&flush_, &ngx_posted_events);
    }
}

void RedisConnection::on_flush(ngx_event_t *ev) {
    static_cast<RedisConnection *>(ev->data)->flush();
}

void RedisConnection::flush() {
    while (c_ != nullptr && sent_ < out_.size()) {
        ssize_t size =
            c_->send(c_, reinterpret_cast<u_char *>(out_.data()) + sent_, out_.size() - sent_);
        if (size == NGX_AGAIN) {
            if (ngx_handle_write_event(c_->write, 0) != NGX_OK) {
                fail("no event for writing");
            }
            return;
        }
        if (size <= 0) {
            fail("the connection broke");
            return;
        }
        sent_ += size_t(size);
    }
    out_.clear();
    sent_ = 0;
    if (out_.capacity() > kKeptBuffer) {
        std::string().swap(out_);
    }
}

// A worker that shuts down closes idle connections; this one serves its last streams.
void RedisConnection::on_event(ngx_event_t *ev) {
    auto *c = static_cast<ngx_connection_t *>(ev->data);
    auto &self = *static_cast<RedisConnection *>(c->data);
    c->close = 0;
    c->error = 0;
    if (!self.is_connected_) {
        self.on_connected();
    } else if (ev->write) {
        self.flush();
    } else {
        self.read();
    }
}

void RedisConnection::read() {
    char buffer[kReadSize];
    while (c_ != nullptr) {
        ssize_t size = c_->recv(c_, reinterpret_cast<u_char *>(buffer), sizeof(buffer));
        if (size == NGX_AGAIN) {
            if (ngx_handle_read_event(c_->read, 0) != NGX_OK) {
                fail("no event for reading");
            }
            return;
        }
        if (size <= 0) {
            fail(size == 0 ? "it closed the connection" : "the connection broke");
            return;
        }
        if (!reader_->feed({buffer, size_t(size)})) {
            fail("it does not speak the protocol of Redis");
            return;
        }
        ngx_connection_t *before = c_;
        while (c_ == before && reader_->next()) {
            on_answer(reader_->reply());
        }
        if (c_ != before) {
            return;
        }
        if (reader_->is_bad()) {
            fail("it does not speak the protocol of Redis");
            return;
        }
    }
}

void RedisConnection::on_answer(const RedisReply &reply) {
    if (pending_.empty()) {
        fail("it answers what nobody asked");
        return;
    }
    Entry entry = std::move(pending_.front());
    pending_.pop_front();
    if (pending_.empty() && state_ == State::open && timer_.timer_set) {
        ngx_del_timer(&timer_);  // it would keep a worker that shuts down
    }
    if (entry.command != nullptr) {
        on_command_reply(std::move(entry.command), reply);
        return;
    }
    if (entry.step == RedisStep::asking) {
        return;
    }
    if (!on_step(entry.step, reply)) {
        return;
    }
    if (--steps_left_ == 0 && state_ == State::opening) {
        if (!is_sentinel_ && !is_proving_) {
            is_proving_ = true;
            ask_for_proof();
            return;
        }
        state_ = State::open;
        if (timer_.timer_set) {
            ngx_del_timer(&timer_);
        }
        owner_.on_open(*this);
    }
}

// Once, however often it is tried again. The text may name a user, never a password.
void RedisConnection::complain(std::string_view text) {
    if (complaint_ != text) {
        complaint_ = text;
        ngx_str_t shown = str(text);
        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0, "llm: redis %s says: %V",
                      host_.text().c_str(), &shown);
    }
}

// False: the connection was closed.
bool RedisConnection::on_step(RedisStep step, const RedisReply &reply) {
    if (is_useless(reply)) {
        fail("it is loading, read-only or wants a password");
        return false;
    }
    switch (step) {
        case RedisStep::login:
        case RedisStep::database:
        case RedisStep::script:
            if (reply.is_error()) {
                complain(reply.text());
                fail(step == RedisStep::login ? "the login failed" : "it refuses what is needed");
                return false;
            }
            return true;
        case RedisStep::role:
        case RedisStep::slots:
        case RedisStep::master:
            if (!owner_.on_opening(*this, step, reply)) {
                if (state_ != State::closed) {
                    fail(step == RedisStep::role ? "it is a replica"
                                                 : "it does not know the master");
                }
                return false;
            }
            return state_ != State::closed;
        case RedisStep::proof:
        case RedisStep::asking:
        case RedisStep::command:
            return true;
    }
    return true;
}

void RedisConnection::on_command_reply(std::unique_ptr<RedisCommand> command,
                                       const RedisReply &reply) {
    count(Metric::redis_trips);
    count(Metric::redis_time, {}, int64_t(ngx_current_msec - command->began) * 1000);
    if (!reply.is_error()) {
        command->on_reply(reply);
    } else if (reply.is_error_of("NOSCRIPT") && command->script != nullptr && !command->has_text_) {
        command->has_text_ = true;
        send(std::move(command));
    } else if (is_redirection(reply)) {
        owner_.on_redirect(*this, std::move(command), reply.text());
    } else if (is_useless(reply)) {
        // Not answered, and everything behind it will not be either.
        pending_.push_front({std::move(command), RedisStep::command, ngx_current_msec});
        fail("it is loading, read-only or wants a password");
    } else {
        command->on_reply(reply);
    }
}

void RedisConnection::arm(ngx_msec_t after) {
    if (timer_.timer_set) {
        ngx_del_timer(&timer_);
    }
    // While nobody waits for an answer, the timer does not keep a worker alive that shuts down.
    timer_.cancelable = state_ != State::open;
    ngx_add_timer(&timer_, after);
}

// The timer is not moved with every command: it looks at the oldest one when it fires.
void RedisConnection::on_timer(ngx_event_t *ev) {
    auto &self = *static_cast<RedisConnection *>(ev->data);
    if (self.state_ != State::open) {
        self.is_silent_ = self.is_proving_;
        self.fail("it does not answer in time");
        return;
    }
    if (self.pending_.empty()) {
        return;
    }
    ngx_msec_t age = ngx_current_msec - self.pending_.front().began;
    if (age >= self.config_.timeout) {
        self.is_silent_ = true;
        self.fail("it does not answer in time");
        return;
    }
    self.arm(self.config_.timeout - age);
}

void RedisConnection::close() {
    drop();
}

void RedisConnection::drop() {
    bool was_open = state_ == State::open;
    state_ = State::closed;
    if (addresses_ != nullptr) {
        addresses_->forget(*this);
    }
    if (timer_.timer_set) {
        ngx_del_timer(&timer_);
    }
    if (flush_.posted) {
        ngx_delete_posted_event(&flush_);
    }
    if (c_ != nullptr) {
        close_peer_connection(std::exchange(c_, nullptr));
    }
    out_.clear();
    sent_ = 0;
    std::deque<Entry> lost;
    lost.swap(pending_);
    for (Entry &entry : lost) {
        if (entry.command != nullptr) {
            entry.command->on_lost(was_open ? RedisLoss::unknown : RedisLoss::unsent);
        }
    }
}

void RedisConnection::fail(const char *why, int error) {
    if (error != 0) {
        ngx_log_error(NGX_LOG_INFO, ngx_cycle->log, error, "llm: redis %s: %s",
                      host_.text().c_str(), why);
    }
    RedisClosing closing = is_silent_              ? RedisClosing::silent
                           : state_ != State::open ? RedisClosing::refused
                                                   : RedisClosing::lost;
    count(Metric::redis_errors, {closing == RedisClosing::refused  ? "refused"
                                 : closing == RedisClosing::silent ? "timeout"
                                                                   : "lost"});
    drop();
    owner_.on_closed(*this, closing, why);
}

}  // namespace llm
