#include "ngx_llm_module/policy/shared_records.hpp"

#include <signal.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "ngx_llm_module/base/guard.hpp"
#include "ngx_llm_module/policy/record_asks.hpp"

namespace llm {
namespace {

constexpr ngx_msec_t kInterval = 1000;
// Until the first look has succeeded: a machine that begins knows no keys yet.
constexpr ngx_msec_t kFirstInterval = 50;
constexpr ngx_msec_t kAskInterval = 20;  // while there are asks
constexpr size_t kPage = 100;            // records in one command
constexpr size_t kMostAsks = 1000;       // at a time

class Sharing {
  public:
    Sharing(const Config &config, RedisClient &client);
    ~Sharing();

    void share(std::span<const RecordChange> changes, ShareWaiter &waiter);
    void forget(ShareWaiter &waiter);

    void on_page(const RedisReply &reply);
    void on_page_lost();

  private:
    static void on_timer(ngx_event_t *ev);
    static void on_ask_timer(ngx_event_t *ev);
    bool is_patience_over() const {
        return ngx_msec_int_t(ngx_current_msec - share_.patience_until) >= 0;
    }
    RecordAsk &add_ask(RecordUse use, std::vector<RecordChange> changes, ShareWaiter *waiter);
    void look();
    void push();
    void adopt();

    RecordShare share_;
    std::vector<std::unique_ptr<RecordAsk>> asks_;
    ngx_event_t timer_ = {};
    ngx_event_t ask_timer_ = {};
    std::string epoch_;       // name of the records in Redis; another one: it was flushed
    std::string last_ = "0";  // number of the last change that was seen
    bool is_looking_ = false;
    bool has_looked_ = false;
    uint32_t left_seen_ = 0;  // of RecordsPart
};

Sharing *current = nullptr;

class GetCommand final : public RedisCommand {
  public:
    void on_reply(const RedisReply &reply) override {
        if (current != nullptr) {
            reply.is_array() ? current->on_page(reply) : current->on_page_lost();
        }
    }
    void on_lost(RedisLoss) override {
        if (current != nullptr) {
            current->on_page_lost();
        }
    }
};

Sharing::Sharing(const Config &config, RedisClient &client) : share_(config, client) {
    for (ngx_event_t *timer : {&timer_, &ask_timer_}) {
        timer->data = this;
        timer->log = ngx_cycle->log;
        timer->cancelable = 1;
    }
    timer_.handler = guard<on_timer>;
    ask_timer_.handler = guard<on_ask_timer>;
    ngx_add_timer(&timer_, kFirstInterval);
    // One that is no more may have been in the middle of something.
    if (auto *part = zone_part<RecordsPart>(config, ZonePart::records)) {
        part->left.fetch_add(1);
    }
}

Sharing::~Sharing() {
    for (ngx_event_t *timer : {&timer_, &ask_timer_}) {
        if (timer->timer_set) {
            ngx_del_timer(timer);
        }
    }
    if (auto *part = zone_part<RecordsPart>(share_.config, ZonePart::records)) {
        auto own = uint32_t(ngx_pid);
        part->sharer.compare_exchange_strong(own, 0);
    }
}

void Sharing::on_timer(ngx_event_t *ev) {
    auto &self = *static_cast<Sharing *>(ev->data);
    bool is_elected = is_sharer(self.share_.config);
    ngx_add_timer(ev, is_elected && !self.has_looked_ ? kFirstInterval : kInterval);
    if (is_elected && !self.is_looking_) {
        self.look();
    } else if (!is_elected && self.share_.owes && self.is_patience_over() && self.share_.is_up()) {
        self.push();  // the one that follows Redis does not know of it
    }
}

void Sharing::on_ask_timer(ngx_event_t *ev) {
    auto &self = *static_cast<Sharing *>(ev->data);
    for (size_t i = 0; i < self.asks_.size(); i++) {
        self.asks_[i]->tick();  // who is told may ask for more
    }
    std::erase_if(self.asks_, [](const auto &ask) { return ask->is_over(); });
    if (!self.asks_.empty() && !ev->timer_set) {
        ngx_add_timer(ev, kAskInterval);
    }
}

void Sharing::look() {
    auto command = std::make_unique<GetCommand>();
    command->script = &redis_script("get_records");
    command->args.add(int64_t(1)).add(share_.base).add(epoch_).add(last_);
    command->args.add(int64_t(kPage)).add(new_name());
    is_looking_ = share_.client.send(std::move(command), share_.base);
    share_.has_missed = share_.has_missed || !is_looking_;
}

void Sharing::on_page_lost() {
    is_looking_ = false;
    share_.has_missed = true;
}

void Sharing::on_page(const RedisReply &reply) {
    is_looking_ = false;
    if (reply[0].text() != epoch_) {
        epoch_ = reply[0].text();
        last_ = "0";
        share_.has_missed = true;
    }
    MergedList merged = merge_list(share_.config, reply, 2);
    if (merged.is_whole) {
        last_ = reply[1].text();
    }
    share_.has_missed = share_.has_missed || merged.has_apart;
    if (merged.is_whole && merged.count == kPage) {
        look();
        return;
    }
    has_looked_ = true;
    adopt();
    if (share_.has_missed && is_patience_over()) {
        push();
    }
}

// What workers that are no more have left on its way.
void Sharing::adopt() {
    auto *part = zone_part<RecordsPart>(share_.config, ZonePart::records);
    if (part == nullptr || std::exchange(left_seen_, part->left.load()) == part->left.load()) {
        return;
    }
    for (RecordChange &orphan : adopt_records(share_.config)) {
        add_ask(RecordUse::adopt, {std::move(orphan)}, nullptr).send();
    }
}

// All that is here: Redis takes what is newer than its own. Not what is on its way there: nobody
// knows yet whether it holds, and Redis would take it without asking whose the alias is and what
// others have changed meanwhile.
void Sharing::push() {
    share_.has_missed = false;
    share_.owes = false;
    std::vector<RecordChange> batch;
    auto send = [&] {
        if (!batch.empty() && !share_.has_missed && !hand_in(share_, batch)) {
            share_.on_missed();  // it is away again
        }
        batch.clear();
    };
    for_each_settled(share_.config, [&](const RecordChange &record) {
        batch.push_back(record);
        if (batch.size() == kPage) {
            send();
        }
    });
    send();
}

RecordAsk &Sharing::add_ask(RecordUse use, std::vector<RecordChange> changes, ShareWaiter *waiter) {
    asks_.push_back(std::make_unique<RecordAsk>(share_, use, std::move(changes), waiter));
    if (!ask_timer_.timer_set) {
        ngx_add_timer(&ask_timer_, kAskInterval);
    }
    return *asks_.back();
}

void Sharing::share(std::span<const RecordChange> changes, ShareWaiter &waiter) {
    RecordAsk &ask = add_ask(RecordUse::change,
                             std::vector<RecordChange>(changes.begin(), changes.end()), &waiter);
    if (asks_.size() > kMostAsks || (!ask.send() && share_.is_away())) {
        ask.give_up();
    }
}

void Sharing::forget(ShareWaiter &waiter) {
    for (const std::unique_ptr<RecordAsk> &ask : asks_) {
        if (ask->is_awaited_by(waiter)) {
            ask->forget_waiter();
        }
    }
}

}  // namespace

// The first that finds no living one.
bool is_sharer(const Config &config) {
    auto *part = zone_part<RecordsPart>(config, ZonePart::records);
    if (part == nullptr) {
        return false;
    }
    auto own = uint32_t(ngx_pid);
    uint32_t now = part->sharer.load();
    if (now == own) {
        return true;
    }
    bool is_gone = now == 0 || (kill(pid_t(now), 0) != 0 && ngx_errno == NGX_ESRCH);
    return is_gone && part->sharer.compare_exchange_strong(now, own);
}

void start_sharing(const Config &config) {
    stop_sharing();
    if (RedisClient *client = redis()) {
        current = new Sharing(config, *client);
    }
}

void stop_sharing() {
    delete std::exchange(current, nullptr);
}

void share_changes(std::span<const RecordChange> changes, ShareWaiter &waiter) {
    if (current == nullptr) {
        waiter.on_shared(Shared::taken);
        return;
    }
    current->share(changes, waiter);
}

void forget_share(ShareWaiter &waiter) {
    if (current != nullptr) {
        current->forget(waiter);
    }
}

}  // namespace llm
