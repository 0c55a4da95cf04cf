// Where a command goes: sentinels, replicas, slots and redirections (entry: send).
#include "ngx_llm_module/redis/client.hpp"

#include <utility>

#include "ngx_llm_module/base/guard.hpp"

namespace llm {
namespace {

RedisClient *current = nullptr;

constexpr uint8_t kMaxRedirects = 3;
constexpr size_t kMaxNodes = 1000;
constexpr ngx_msec_t kRefreshAfterMove = 100;
constexpr ngx_msec_t kRefreshWhileDown = 1000;

}  // namespace

// Asks for the map of the cluster again.
class SlotsCommand final : public RedisCommand {
  public:
    SlotsCommand(RedisClient &client, const Host &asked) : client_(client), asked_(asked) {
        args.add("CLUSTER").add("SLOTS");
    }

    void on_reply(const RedisReply &reply) override {
        client_.is_refreshing_ = false;
        if (reply.is_array()) {
            client_.read_map(reply, asked_);
        }
    }
    void on_lost(RedisLoss) override {
        client_.is_refreshing_ = false;
        client_.refresh_later(kRefreshWhileDown);
    }

  private:
    RedisClient &client_;
    Host asked_;
};

RedisClient::RedisClient(const RedisConfig &config, ngx_resolver_t *resolver)
    : config_(config), resolver_(resolver), main_(config, resolver, *this) {
    refresh_timer_.handler = guard<on_refresh>;
    refresh_timer_.data = this;
    refresh_timer_.log = ngx_cycle->log;
    refresh_timer_.cancelable = 1;
    main_.start();
}

RedisClient::~RedisClient() {
    main_.stop();
    for (Known &known : nodes_) {
        known.node->stop();
    }
    if (refresh_timer_.timer_set) {
        ngx_del_timer(&refresh_timer_);
    }
}

bool RedisClient::send(std::unique_ptr<RedisCommand> &&command, std::string_view key) {
    command->slot = slot_of(key);
    uint16_t slot = command->slot;
    RedisNode &node = is_cluster_ && map_[slot] != kNoNode ? *nodes_[map_[slot]].node : main_;
    return node.send(command);
}

bool RedisClient::is_up() const {
    if (!is_cluster_) {
        return main_.is_up();
    }
    bool is_asked[kMaxNodes] = {};
    for (uint16_t node : map_) {
        if (node == kNoNode || (!is_asked[node] && !nodes_[node].node->is_up())) {
            return false;
        }
        is_asked[node] = true;
    }
    return true;
}

void RedisClient::prove() {
    main_.prove();
    for (Known &known : nodes_) {
        known.node->prove();
    }
}

void RedisClient::on_back(void (*callback)(void *data), void *data) {
    back_ = callback;
    back_data_ = data;
}

const RedisNode &RedisClient::node_of(uint16_t slot) const {
    if (!is_cluster_ || map_[slot] == kNoNode) {
        return main_;
    }
    return *nodes_[map_[slot]].node;
}

RedisTarget RedisClient::next_target(RedisNode &node) {
    for (const Known &known : nodes_) {
        if (known.node.get() == &node) {
            return {known.host, false};
        }
    }
    if (has_master_) {
        has_master_ = false;
        return {master_, false};
    }
    size_t index = next_address_++;
    if (is_cluster_ && index % 2 == 1) {
        return {nodes_[index / 2 % nodes_.size()].host, false};  // seeds may be gone for good
    }
    index = is_cluster_ ? index / 2 : index;
    return {config_.addresses[index % config_.addresses.size()], !config_.sentinel.empty()};
}

bool RedisClient::on_opening(RedisNode &node, RedisStep step, const RedisReply &reply) {
    if (step == RedisStep::role) {
        return is_cluster_ || reply[0].text() != "slave";
    }
    if (step == RedisStep::slots) {
        if (reply.is_array() && reply.size() > 0) {
            read_map(reply, node.host());
        }
        return true;  // an error: it is no cluster, or this user may not ask
    }
    // A sentinel: host and port of the master.
    unsigned port = 0;
    for (char c : reply[1].text()) {
        port = c >= '0' && c <= '9' && port < 65536 ? port * 10 + unsigned(c - '0') : 65536;
    }
    if (reply.size() != 2 || reply[0].text().empty() || port == 0 || port > 65535) {
        return false;
    }
    master_ = {std::string(reply[0].text()), in_port_t(port), {}};
    (void)read_ip_literal(master_);
    has_master_ = true;
    return true;
}

void RedisClient::on_node_up(RedisNode &) {
    if (back_ != nullptr) {
        back_(back_data_);
    }
}

// In a cluster a replica may have taken over.
void RedisClient::on_node_down(RedisNode &) {
    if (is_cluster_) {
        refresh_later(kRefreshAfterMove);
    }
}

void RedisClient::on_redirect(std::unique_ptr<RedisCommand> command, std::string_view error) {
    Redirect redirect = parse_redirect(error);
    if (redirect.kind != Redirection::ask) {
        refresh_later(kRefreshAfterMove);
    }
    if (redirect.kind != Redirection::none && !redirect.host.empty() &&
        ++command->redirects_ <= kMaxRedirects) {
        uint16_t index = find_or_add(redirect.host, redirect.port);
        if (index != kNoNode) {
            command->is_asking_ = redirect.kind == Redirection::ask;
            if (redirect.kind == Redirection::moved && is_cluster_) {
                map_[redirect.slot] = index;
            }
            if (nodes_[index].node->send(command)) {
                return;
            }
        }
    }
    command->on_lost(RedisLoss::unsent);
}

uint16_t RedisClient::find_or_add(std::string_view host, uint16_t port) {
    for (size_t i = 0; i < nodes_.size(); i++) {
        if (nodes_[i].host.host == host && nodes_[i].host.port == port) {
            return uint16_t(i);
        }
    }
    if (nodes_.size() >= kMaxNodes) {
        return kNoNode;
    }
    Known &known = nodes_.emplace_back();
    known.host.host = host;
    known.host.port = port;
    (void)read_ip_literal(known.host);
    RedisNodeOwner &owner = *this;
    known.node = std::make_unique<RedisNode>(config_, resolver_, owner);
    known.node->start();
    return uint16_t(nodes_.size() - 1);
}

// Ranges: [first slot, last slot, [host, port, ...] of the master, replicas...]. An empty host is
// the one that was asked.
void RedisClient::read_map(const RedisReply &reply, const Host &asked) {
    std::vector<uint16_t> map(kSlots, kNoNode);
    for (size_t i = 0; i < reply.size(); i++) {
        RedisReply range = reply[i];
        int64_t first = range[0].integer();
        int64_t last = range[1].integer();
        std::string_view host = range[2][0].text();
        int64_t port = range[2][1].integer();
        if (first < 0 || last >= kSlots || first > last || port < 1 || port > 65535) {
            continue;
        }
        uint16_t index = find_or_add(host.empty() ? asked.host : host, uint16_t(port));
        for (int64_t slot = first; slot <= last; slot++) {
            map[size_t(slot)] = index;
        }
    }
    map_ = std::move(map);
    is_cluster_ = true;
    if (!is_up()) {
        refresh_later(kRefreshWhileDown);
    }
}

void RedisClient::refresh_later(ngx_msec_t after) {
    if (!refresh_timer_.timer_set && !is_refreshing_) {
        ngx_add_timer(&refresh_timer_, after);
    }
}

void RedisClient::on_refresh(ngx_event_t *ev) {
    auto &self = *static_cast<RedisClient *>(ev->data);
    auto ask = [&self](RedisNode &node) {
        std::unique_ptr<RedisCommand> command = std::make_unique<SlotsCommand>(self, node.host());
        self.is_refreshing_ = node.is_up() && node.send(command);
        return self.is_refreshing_;
    };
    if (ask(self.main_)) {
        return;
    }
    for (Known &known : self.nodes_) {
        if (ask(*known.node)) {
            return;
        }
    }
    self.refresh_later(kRefreshWhileDown);
}

RedisClient *redis() {
    return current;
}

void start_redis(const Config &config) {
    if (config.redis != nullptr) {
        current = new RedisClient(*config.redis, config.resolver);
    }
}

void stop_redis() {
    delete current;
    current = nullptr;
}

}  // namespace llm
