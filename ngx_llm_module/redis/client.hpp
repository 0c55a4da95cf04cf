// Redis as this worker sees it: one server, a master that sentinels know, or a cluster with a
// connection to each of its nodes. Made when the worker starts.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "ngx_llm_module/redis/node.hpp"
#include "ngx_llm_module/redis/slots.hpp"

namespace llm {

class RedisClient final : private RedisNodeOwner {
  public:
    RedisClient(const RedisConfig &config, ngx_resolver_t *resolver);
    ~RedisClient();
    RedisClient(const RedisClient &) = delete;
    RedisClient &operator=(const RedisClient &) = delete;

    // To the node that has the slot of `key`. False: Redis is away; the command was not touched.
    bool send(std::unique_ptr<RedisCommand> &&command, std::string_view key);
    // Whether it would be sent, or wait for a connection that opens.
    bool accepts(std::string_view key) const { return node_of(slot_of(key)).accepts(); }
    // All of it can be reached.
    bool is_up() const;
    // The node that has the slot of `key`.
    bool is_up(std::string_view key) const { return node_of(slot_of(key)).is_up(); }
    // How long that node has been away, in milliseconds; 0: it is there, or just began to open.
    ngx_msec_t away_for(std::string_view key) const { return node_of(slot_of(key)).away_for(); }
    // Asks what nobody else is asking now: one that has fallen silent is away soon.
    void prove();
    // Keys of one script must then lie in one slot.
    bool is_cluster() const { return is_cluster_; }
    const RedisConfig &config() const { return config_; }
    // Called whenever Redis was away and is back.
    void on_back(void (*callback)(void *data), void *data);

  private:
    RedisTarget next_target(RedisNode &node) override;
    bool on_opening(RedisNode &node, RedisStep step, const RedisReply &reply) override;
    void on_node_up(RedisNode &node) override;
    void on_node_down(RedisNode &node) override;
    void on_redirect(std::unique_ptr<RedisCommand> command, std::string_view error) override;

    struct Known {
        Host host;
        std::unique_ptr<RedisNode> node;
    };

    static constexpr uint16_t kNoNode = 0xffff;

    const RedisNode &node_of(uint16_t slot) const;
    uint16_t find_or_add(std::string_view host, uint16_t port);
    void read_map(const RedisReply &reply, const Host &asked);
    void refresh_later(ngx_msec_t after);
    static void on_refresh(ngx_event_t *ev);
    friend class SlotsCommand;

    const RedisConfig &config_;
    ngx_resolver_t *const resolver_;
    size_t next_address_ = 0;
    Host master_;  // as a sentinel said; used once
    bool has_master_ = false;
    bool is_cluster_ = false;
    bool is_refreshing_ = false;
    RedisNode main_;            // of a cluster: the one that was asked first
    std::vector<Known> nodes_;  // of a cluster
    std::vector<uint16_t> map_;
    ngx_event_t refresh_timer_ = {};
    void (*back_)(void *data) = nullptr;
    void *back_data_ = nullptr;
};

// Of this worker; none without llm_redis.
RedisClient *redis();

void start_redis(const Config &config);
void stop_redis();

}  // namespace llm
