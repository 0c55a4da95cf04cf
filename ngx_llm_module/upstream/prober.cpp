// See prober.hpp (entries: on_timer, on_probe_allowed, on_probed).
#include "ngx_llm_module/upstream/prober.hpp"

#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "ngx_llm_module/base/guard.hpp"
#include "ngx_llm_module/route/cooling.hpp"
#include "ngx_llm_module/state/health.hpp"
#include "ngx_llm_module/state/metrics.hpp"
#include "ngx_llm_module/upstream/probe.hpp"

namespace llm {
namespace {

constexpr ngx_msec_t kFirstLook = 50;
constexpr ngx_msec_t kShortestLook = 20;
// So late at most it is seen that the worker is to end.
constexpr ngx_msec_t kLongestLook = 500;
constexpr size_t kMostAtOnce = 32;

class Prober final : private ProbeStarter, private ProbeSink {
  public:
    explicit Prober(const Config &config);
    ~Prober();

  private:
    // A deployment that is probed.
    struct Row {
        const Model *model;
        const Deployment *deployment;
        std::unique_ptr<Probe> probe = {};  // while it is out
        uint64_t cooled_until = 0;          // when it was sent
    };

    static void on_timer(ngx_event_t *ev);
    void look();
    void send(Row &row);
    bool has_elsewhere(const Model &model) const;
    void note_failed(const Row &row, const ProbeResult &result);
    Row *find(uint32_t slot);
    void on_probe_allowed(uint32_t slot) override;
    void on_probed(const Deployment &deployment, const ProbeResult &result) override;

    const Config &config_;
    ngx_log_t log_;  // what every attempt would say of a provider that is down is said once, here
    std::vector<Row> rows_;
    size_t running_ = 0;
    size_t next_ = 0;  // whose turn it is, where not all have room at once
    ngx_event_t timer_ = {};
};

Prober *current = nullptr;

Prober::Prober(const Config &config) : config_(config), log_(*ngx_cycle->log) {
    log_.log_level = std::min<ngx_uint_t>(log_.log_level, NGX_LOG_CRIT);
    for (const auto &model : config.models) {
        for (const Deployment &deployment : model->deployments) {
            if (model->probe.interval != 0) {
                rows_.push_back({model.get(), &deployment});
            }
        }
    }
    timer_.handler = guard<on_timer>;
    timer_.data = this;
    timer_.log = ngx_cycle->log;
    timer_.cancelable = 1;
    if (!rows_.empty()) {
        ngx_add_timer(&timer_, kFirstLook);
        set_probe_starter(this);
    }
}

Prober::~Prober() {
    set_probe_starter(nullptr);
    if (timer_.timer_set) {
        ngx_del_timer(&timer_);
    }
}

void Prober::on_timer(ngx_event_t *ev) {
    static_cast<Prober *>(ev->data)->look();
}

// A worker that is to end leaves the others what is due, and does not wait for what is out.
void Prober::look() {
    if (ngx_exiting || ngx_terminate) {
        for (Row &row : rows_) {
            if (row.probe != nullptr) {
                row.probe.reset();
                abandon_probe(config_, row.deployment->slot, row.cooled_until);
            }
        }
        return;
    }
    ngx_msec_t soonest = kLongestLook;
    for (size_t i = 0; i < rows_.size() && running_ < kMostAtOnce; i++) {
        Row &row = rows_[next_++ % rows_.size()];
        if (row.probe != nullptr) {
            continue;
        }
        const ProbeRule &rule = row.model->probe;
        ngx_msec_t wait = 0;
        if (take_probe(config_, row.deployment->slot, rule.interval, wait)) {
            HealthPeers *peers = health_peers();
            // A machine that comes a little late has its turn all the same.
            if (peers == nullptr ||
                peers->ask_probe(row.deployment->slot, rule.interval - rule.interval / 10)) {
                send(row);
            }
        }
        soonest = std::min(soonest, wait);
    }
    ngx_add_timer(&timer_, std::max(soonest, kShortestLook));
}

void Prober::on_probe_allowed(uint32_t slot) {
    Row *row = find(slot);
    if (row != nullptr && row->probe == nullptr && !ngx_exiting && !ngx_terminate) {
        send(*row);
    }
}

Prober::Row *Prober::find(uint32_t slot) {
    auto found = std::find_if(rows_.begin(), rows_.end(),
                              [&](const Row &row) { return row.deployment->slot == slot; });
    return found != rows_.end() ? &*found : nullptr;
}

void Prober::send(Row &row) {
    // With all ways that it may try one behind the other.
    ngx_msec_t most = row.model->probe.timeout * 2;
    if (!begin_probe(config_, row.deployment->slot, most, row.cooled_until)) {
        return;
    }
    ProbeSink &sink = *this;
    row.probe = std::make_unique<Probe>(config_, *row.model, *row.deployment, &log_, sink);
    running_++;
    row.probe->start();
}

// As for a request without a key of its own.
bool Prober::has_elsewhere(const Model &model) const {
    return model.deployments.size() > 1 || !model.routing.fallbacks.empty() ||
           !config_.default_fallbacks.empty();
}

void Prober::on_probed(const Deployment &deployment, const ProbeResult &result) {
    Row &row = *find(deployment.slot);
    std::unique_ptr<Probe> probe = std::move(row.probe);  // it goes when it was read
    running_--;
    const std::string &id = deployment.id;
    count(Metric::probes, {id, result.error});
    if (result.tokens > 0) {
        count(Metric::probe_tokens, {id}, result.tokens);
    }
    if (result.kind != ProbeResult::Kind::well) {
        note_failed(row, result);
        return;
    }
    note_success(config_, deployment.slot);
    if (end_probe_well(config_, deployment.slot, row.cooled_until) > 0) {
        ngx_log_error(NGX_LOG_INFO, ngx_cycle->log, 0, "llm: deployment %s answers its probe again",
                      id.c_str());
    }
}

void Prober::note_failed(const Row &row, const ProbeResult &result) {
    const Deployment &deployment = *row.deployment;
    const ProbeRule &rule = row.model->probe;
    uint32_t failed = end_probe_badly(config_, deployment.slot, row.cooled_until);
    if (failed == 1) {
        ngx_log_error(NGX_LOG_WARN, ngx_cycle->log, 0,
                      "llm: deployment %s failed its probe, %*s (status %ui)%s%*s",
                      deployment.id.c_str(), result.error.size(), result.error.data(),
                      ngx_uint_t(result.status), result.why.empty() ? "" : ": ", result.why.size(),
                      result.why.data());
    }
    if (result.kind != ProbeResult::Kind::failed) {
        return;
    }
    FailedAttempt attempt{*row.model,
                          deployment,
                          result.failure,
                          result.error,
                          result.retry_after,
                          has_elsewhere(*row.model),
                          row.cooled_until != 0,
                          config_.http_cooldown_time,
                          config_.http_allowed_fails};
    // Until the next probe has spoken no request needs to find out. Two in a row are enough where
    // the table asks for a rate: there may be no requests to have one.
    attempt.least = rule.interval + rule.timeout;
    attempt.is_one_enough = failed > 1;
    ngx_msec_t time = cool_after(config_, attempt);
    if (time != 0 && row.cooled_until == 0) {
        ngx_log_error(NGX_LOG_WARN, ngx_cycle->log, 0, "llm: deployment %s cools down for %M ms",
                      deployment.id.c_str(), time);
    }
}

}  // namespace

void start_probes(const Config &config) {
    stop_probes();
    current = new Prober(config);
}

void stop_probes() {
    delete std::exchange(current, nullptr);
}

}  // namespace llm
