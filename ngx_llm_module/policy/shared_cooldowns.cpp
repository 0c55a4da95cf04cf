#include "ngx_llm_module/policy/shared_cooldowns.hpp"

#include <algorithm>
#include <string>
#include <unordered_map>
#include <utility>

#include "ngx_llm_module/base/guard.hpp"
#include "ngx_llm_module/policy/shared_records.hpp"
#include "ngx_llm_module/redis/client.hpp"
#include "ngx_llm_module/state/health.hpp"

namespace llm {
namespace {

constexpr ngx_msec_t kInterval = 500;
// What one machine does for all.
constexpr std::string_view kTrial = "trial", kProbe = "probe";

class Cooldowns final : public HealthPeers {
  public:
    Cooldowns(const Config &config, RedisClient &client);
    ~Cooldowns();

    // Told by this worker: the others learn it at once, or with nobody there never; it is a hint
    // that lives for seconds.
    void on_cooled(uint32_t slot, ngx_msec_t time, bool is_stated) override;
    void on_opened(uint32_t slot, bool is_early) override;
    bool ask_trial(uint32_t slot, ngx_msec_t time) override { return claim(slot, kTrial, time); }
    bool ask_probe(uint32_t slot, ngx_msec_t time) override { return claim(slot, kProbe, time); }
    void on_reply(const RedisReply &reply);
    void on_trier(uint32_t slot) { allow_trial(config_, slot); }

  private:
    static void on_timer(ngx_event_t *ev);
    void send(const std::string *id, std::string_view what, ngx_msec_t time);
    bool claim(uint32_t slot, std::string_view what, ngx_msec_t time);
    std::string key_of(std::string_view what, const std::string &id) const {
        return base_ + ":" + std::string(what) + ":" + id;
    }

    const Config &config_;
    RedisClient &client_;
    std::string base_;
    ngx_event_t timer_ = {};
    std::unordered_map<std::string_view, uint32_t> slots_;  // by the ids of deployments
    std::unordered_map<uint32_t, const std::string *> ids_;
};

Cooldowns *current = nullptr;

class CooldownCommand final : public RedisCommand {
  public:
    void on_reply(const RedisReply &reply) override {
        if (current != nullptr && reply.is_array()) {
            current->on_reply(reply);
        }
    }
    void on_lost(RedisLoss) override {}
};

// Who comes first tries the deployment, or probes it; the name goes by itself.
class ClaimCommand final : public RedisCommand {
  public:
    ClaimCommand(uint32_t deployment, bool is_probe)
        : deployment_(deployment), is_probe_(is_probe) {}
    void on_reply(const RedisReply &reply) override {
        if (current != nullptr && reply.text() == "OK") {
            is_probe_ ? allow_probe(deployment_) : current->on_trier(deployment_);
        }
    }
    void on_lost(RedisLoss) override {}

  private:
    uint32_t deployment_;
    bool is_probe_;
};

Cooldowns::Cooldowns(const Config &config, RedisClient &client)
    : config_(config), client_(client), base_(client.config().prefix + "{health}") {
    for (const auto *models : {&config.models, &config.direct}) {
        for (const auto &model : *models) {
            for (const Deployment &deployment : model->deployments) {
                slots_.emplace(deployment.id, deployment.slot);
                ids_.emplace(deployment.slot, &deployment.id);
            }
        }
    }
    timer_.handler = guard<on_timer>;
    timer_.data = this;
    timer_.log = ngx_cycle->log;
    timer_.cancelable = 1;
    ngx_add_timer(&timer_, kInterval);
    set_health_peers(this);
}

Cooldowns::~Cooldowns() {
    set_health_peers(nullptr);
    if (timer_.timer_set) {
        ngx_del_timer(&timer_);
    }
}

void Cooldowns::on_timer(ngx_event_t *ev) {
    auto &self = *static_cast<Cooldowns *>(ev->data);
    ngx_add_timer(ev, kInterval);
    if (is_sharer(self.config_)) {
        self.send(nullptr, {}, 0);
    }
}

void Cooldowns::on_cooled(uint32_t slot, ngx_msec_t time, bool is_stated) {
    if (auto found = ids_.find(slot); found != ids_.end()) {
        send(found->second, is_stated ? "stated" : "cooled", time);
    }
}

// With Redis away each machine sees for itself.
bool Cooldowns::claim(uint32_t slot, std::string_view what, ngx_msec_t time) {
    auto found = ids_.find(slot);
    if (found == ids_.end()) {
        return true;
    }
    auto command = std::make_unique<ClaimCommand>(slot, what == kProbe);
    command->args.add("SET").add(key_of(what, *found->second)).add("1");
    command->args.add("NX").add("PX").add(int64_t(std::max<ngx_msec_t>(time, 1)));
    return !client_.send(std::move(command), base_);
}

// It answers: the others may find out at once.
void Cooldowns::on_opened(uint32_t slot, bool is_early) {
    auto found = ids_.find(slot);
    if (found == ids_.end()) {
        return;
    }
    auto command = std::make_unique<CooldownCommand>();
    command->args.add("DEL").add(key_of(kTrial, *found->second));
    (void)client_.send(std::move(command), base_);
    if (is_early) {
        send(found->second, "opened", 0);
    }
}

void Cooldowns::send(const std::string *id, std::string_view what, ngx_msec_t time) {
    auto command = std::make_unique<CooldownCommand>();
    command->script = &redis_script("cooldowns");
    command->args.add(int64_t(1)).add(base_);
    if (id != nullptr) {
        command->args.add(*id).add(what).add(int64_t(time));
    }
    (void)client_.send(std::move(command), base_);
}

void Cooldowns::on_reply(const RedisReply &reply) {
    for (size_t i = 0; i + 2 < reply.size(); i += 3) {
        auto found = slots_.find(reply[i].text());
        std::string_view what = reply[i + 1].text();
        int64_t time = reply[i + 2].integer();
        if (found == slots_.end() || time < 0) {
            continue;
        }
        if (what == "opened") {
            open_from_elsewhere(config_, found->second, ngx_msec_t(time));
        } else {
            cool_from_elsewhere(config_, found->second, ngx_msec_t(time), what == "stated");
        }
    }
}

}  // namespace

void start_shared_cooldowns(const Config &config) {
    stop_shared_cooldowns();
    if (RedisClient *client = redis()) {
        current = new Cooldowns(config, *client);
    }
}

void stop_shared_cooldowns() {
    delete std::exchange(current, nullptr);
}

}  // namespace llm
