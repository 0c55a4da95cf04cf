// Coming back, and the circuit breaker (entries: send, on_open, on_closed).
#include "ngx_llm_module/redis/node.hpp"

#include <algorithm>
#include <utility>

#include "ngx_llm_module/base/guard.hpp"

namespace llm {
namespace {

constexpr ngx_msec_t kFirstPause = 100;
constexpr ngx_msec_t kLongestPause = 2000;
// Whoever worked so long begins with a short pause again.
constexpr ngx_msec_t kProven = 5000;
constexpr ngx_msec_t kAtOnce = 1;
constexpr size_t kMaxWaiting = 10000;

// Between half of it and all: machines that lost the same Redis do not come back as one.
ngx_msec_t jitter(ngx_msec_t pause) {
    return pause / 2 + ngx_msec_t(ngx_random()) % (pause / 2 + 1);
}

}  // namespace

RedisNode::RedisNode(const RedisConfig &config, ngx_resolver_t *resolver, RedisNodeOwner &owner)
    : config_(config), owner_(owner), connection_(config, resolver, *this) {
    retry_timer_.handler = guard<on_retry>;
    retry_timer_.data = this;
    retry_timer_.log = ngx_cycle->log;
    retry_timer_.cancelable = 1;
    wait_timer_.handler = guard<on_wait_timer>;
    wait_timer_.data = this;
    wait_timer_.log = ngx_cycle->log;
}

RedisNode::~RedisNode() {
    stop();
}

void RedisNode::start() {
    RedisTarget target = owner_.next_target(*this);
    connection_.open(target.host, target.is_sentinel);
}

void RedisNode::stop() {
    is_stopped_ = true;
    if (is_up()) {
        connection_.flush();
    }
    is_serving_ = false;
    connection_.close();
    lose_waiting();
    for (ngx_event_t *timer : {&retry_timer_, &wait_timer_}) {
        if (timer->timer_set) {
            ngx_del_timer(timer);
        }
    }
}

bool RedisNode::send(std::unique_ptr<RedisCommand> &command) {
    if (command->began == 0) {
        command->began = ngx_current_msec;
    }
    if (is_up()) {
        connection_.send(std::move(command));
        return true;
    }
    if (!accepts()) {
        return false;
    }
    waiting_.push_back(std::move(command));
    if (!wait_timer_.timer_set) {
        ngx_add_timer(&wait_timer_, config_.timeout);
    }
    return true;
}

bool RedisNode::accepts() const {
    return is_up() || (!is_away_ && !is_stopped_ && waiting_.size() < kMaxWaiting);
}

bool RedisNode::on_opening(RedisConnection &, RedisStep step, const RedisReply &reply) {
    return owner_.on_opening(*this, step, reply);
}

void RedisNode::on_open(RedisConnection &) {
    if (connection_.is_sentinel()) {
        connection_.close();  // it has told where the master is
        try_later(kAtOnce);
        return;
    }
    opened_ = ngx_current_msec;
    is_serving_ = true;
    is_away_ = false;
    if (was_logged_) {
        was_logged_ = false;
        ngx_log_error(NGX_LOG_NOTICE, ngx_cycle->log, 0, "llm: redis %s is back",
                      host().text().c_str());
    }
    if (wait_timer_.timer_set) {
        ngx_del_timer(&wait_timer_);
    }
    auto waiting = std::exchange(waiting_, {});
    for (auto &command : waiting) {
        connection_.send(std::move(command));
    }
    owner_.on_node_up(*this);
}

void RedisNode::on_closed(RedisConnection &, RedisClosing closing, const char *why) {
    bool was_serving = std::exchange(is_serving_, false);
    if (is_stopped_) {
        return;
    }
    ngx_msec_t age = ngx_current_msec - opened_;
    if (was_serving && age >= kProven) {
        pause_ = 0;
    }
    if (closing == RedisClosing::lost && pause_ == 0) {
        // An idle connection was closed, or Redis restarts: whoever comes now waits a moment.
        pause_ = kFirstPause;
        try_later(kAtOnce);
        return;
    }
    go_away(why);
    pause_ = pause_ == 0 ? kFirstPause : std::min(2 * pause_, kLongestPause);
    try_later(jitter(pause_));
}

void RedisNode::go_away(const char *why) {
    bool is_new = !is_away_;
    is_away_ = true;
    if (!was_logged_) {
        was_logged_ = true;
        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0, "llm: redis %s is away: %s",
                      host().text().c_str(), why);
    }
    lose_waiting();
    if (is_new) {
        away_since_ = ngx_current_msec;
        owner_.on_node_down(*this);
    }
}

void RedisNode::lose_waiting() {
    auto waiting = std::exchange(waiting_, {});
    for (auto &command : waiting) {
        command->on_lost(RedisLoss::unsent);
    }
}

void RedisNode::on_redirect(RedisConnection &, std::unique_ptr<RedisCommand> command,
                            std::string_view error) {
    owner_.on_redirect(std::move(command), error);
}

void RedisNode::try_later(ngx_msec_t after) {
    if (!is_stopped_ && !retry_timer_.timer_set) {
        ngx_add_timer(&retry_timer_, after);
    }
}

void RedisNode::on_retry(ngx_event_t *ev) {
    auto &self = *static_cast<RedisNode *>(ev->data);
    if (!self.is_stopped_) {
        self.start();
    }
}

// It takes longer to open than anybody wants to wait; the attempt goes on.
void RedisNode::on_wait_timer(ngx_event_t *ev) {
    static_cast<RedisNode *>(ev->data)->go_away("it does not open in time");
}

}  // namespace llm
