// A connection that comes back by itself: opened again with growing pauses, so that a Redis that is
// down costs nothing and one that restarts is not run over. While it is away commands are refused
// at once; only while it opens for the first time, or again after it had worked, they wait, no
// longer than the time-out.
#pragma once

#include <memory>
#include <vector>

#include "ngx_llm_module/redis/connection.hpp"

namespace llm {

class RedisNode;

struct RedisTarget {
    Host host;
    bool is_sentinel = false;
};

// What the node asks and tells the client that it belongs to.
class RedisNodeOwner {
  public:
    virtual RedisTarget next_target(RedisNode &node) = 0;
    virtual bool on_opening(RedisNode &node, RedisStep step, const RedisReply &reply) = 0;
    virtual void on_node_up(RedisNode &node) = 0;
    virtual void on_node_down(RedisNode &node) = 0;
    virtual void on_redirect(std::unique_ptr<RedisCommand> command, std::string_view error) = 0;

  protected:
    ~RedisNodeOwner() = default;
};

class RedisNode final : private RedisOwner {
  public:
    RedisNode(const RedisConfig &config, ngx_resolver_t *resolver, RedisNodeOwner &owner);
    ~RedisNode();

    void start();
    // No more attempts; the last bytes are written if that does not wait.
    void stop();
    // False: it is away, and the command was not touched.
    bool send(std::unique_ptr<RedisCommand> &command);
    bool accepts() const;
    bool is_up() const {
        return connection_.state() == RedisConnection::State::open && is_serving_;
    }
    ngx_msec_t away_for() const { return is_away_ ? ngx_current_msec - away_since_ : 0; }
    // Finds out whether it still answers in time; nobody waits for that.
    void prove() { connection_.prove(); }
    const Host &host() const { return connection_.host(); }

  private:
    bool on_opening(RedisConnection &connection, RedisStep step, const RedisReply &reply) override;
    void on_open(RedisConnection &connection) override;
    void on_closed(RedisConnection &connection, RedisClosing closing, const char *why) override;
    void on_redirect(RedisConnection &connection, std::unique_ptr<RedisCommand> command,
                     std::string_view error) override;
    void try_later(ngx_msec_t after);
    void go_away(const char *why);
    void lose_waiting();
    static void on_retry(ngx_event_t *ev);
    static void on_wait_timer(ngx_event_t *ev);

    const RedisConfig &config_;
    RedisNodeOwner &owner_;
    RedisConnection connection_;
    std::vector<std::unique_ptr<RedisCommand>> waiting_;  // until it is open
    bool is_away_ = false;
    ngx_msec_t away_since_ = 0;
    bool is_serving_ = false;  // open, and not a sentinel
    bool is_stopped_ = false;
    bool was_logged_ = false;  // that it is away
    ngx_msec_t opened_ = 0;
    ngx_msec_t pause_ = 0;
    ngx_event_t retry_timer_ = {};
    ngx_event_t wait_timer_ = {};
};

}  // namespace llm
