// One connection of this worker to one Redis. Commands are pipelined: all of one turn of the event
// loop leave in one write, answers come in the order of the commands. It opens with what makes it
// usable (password, database, role, scripts, the map of a cluster) and proves that it answers
// scripts within the time-out, before anything waits for it; when anything goes wrong it closes,
// tells every command that waits, and tells its owner.
#pragma once

#include <deque>
#include <memory>

#include "ngx_llm_module/base/resolve.hpp"
#include "ngx_llm_module/conf/redis_conf.hpp"
#include "ngx_llm_module/redis/command.hpp"
#include "ngx_llm_module/redis/resp.hpp"

namespace llm {

class RedisConnection;

enum class RedisClosing : uint8_t {
    refused,  // it never came to be open
    lost,     // it was open
    silent,   // a command was not answered in time
};

// The answers of the opening that somebody has to judge.
enum class RedisStep : uint8_t {
    login,
    database,
    role,
    script,
    slots,
    master,
    proof,
    asking,
    command
};

class RedisOwner {
  public:
    // Of role, slots and master. False: this is not the node that was wanted, it is closed.
    virtual bool on_opening(RedisConnection &connection, RedisStep step,
                            const RedisReply &reply) = 0;
    virtual void on_open(RedisConnection &connection) = 0;
    // Commands that waited were told already. It must not be opened again from here.
    virtual void on_closed(RedisConnection &connection, RedisClosing closing, const char *why) = 0;
    // Redis names another node. The command is taken over.
    virtual void on_redirect(RedisConnection &connection, std::unique_ptr<RedisCommand> command,
                             std::string_view error) = 0;

  protected:
    ~RedisOwner() = default;
};

class RedisConnection final : private AddressWaiter {
  public:
    enum class State : uint8_t { closed, opening, open };

    RedisConnection(const RedisConfig &config, ngx_resolver_t *resolver, RedisOwner &owner);
    ~RedisConnection();
    RedisConnection(const RedisConnection &) = delete;
    RedisConnection &operator=(const RedisConnection &) = delete;

    // Of a sentinel only the master's address is asked for.
    void open(const Host &host, bool is_sentinel);
    State state() const { return state_; }
    const Host &host() const { return host_; }
    // Only while it is open.
    void send(std::unique_ptr<RedisCommand> command);
    // One that is silent is closed, as if a command had waited for it.
    void prove();
    // Closes without telling the owner; commands are told.
    void close();
    // Writes what can be written at once.
    void flush();
    bool is_sentinel() const { return is_sentinel_; }

  private:
    struct Entry {
        std::unique_ptr<RedisCommand> command;  // none: of the opening, or ASKING
        RedisStep step = RedisStep::command;
        ngx_msec_t began = 0;
    };

    void on_addresses() override;
    void connect();
    void on_connected();
    void start_tls();
    void on_tls_done();
    void start_opening();
    void ask_for_proof();
    void add_step(RedisStep step, std::initializer_list<std::string_view> words);
    void write_command(const RedisCommand &command);
    void post_flush();
    void read();
    void on_answer(const RedisReply &reply);
    bool on_step(RedisStep step, const RedisReply &reply);
    void on_command_reply(std::unique_ptr<RedisCommand> command, const RedisReply &reply);
    void complain(std::string_view text);
    void fail(const char *why, int error = 0);
    void drop();
    void arm(ngx_msec_t after);
    static void on_event(ngx_event_t *ev);
    static void on_timer(ngx_event_t *ev);
    static void on_flush(ngx_event_t *ev);
    static void on_tls_handshake(ngx_connection_t *c);

    const RedisConfig &config_;
    ngx_resolver_t *const resolver_;
    RedisOwner &owner_;
    Host host_;
    std::unique_ptr<Addresses> addresses_;
    std::string address_;  // sockaddr bytes of the current peer
    size_t addresses_left_ = 0;
    ngx_connection_t *c_ = nullptr;
    State state_ = State::closed;
    bool is_sentinel_ = false;
    bool is_connected_ = false;  // TCP and TLS stand
    bool is_silent_ = false;
    bool is_proving_ = false;  // that it answers in time
    size_t steps_left_ = 0;
    std::unique_ptr<RespReader> reader_;
    std::deque<Entry> pending_;
    std::string out_;
    size_t sent_ = 0;        // of out_
    std::string complaint_;  // of Redis, the last one that was logged
    ngx_event_t timer_ = {};
    ngx_event_t flush_ = {};
};

}  // namespace llm
