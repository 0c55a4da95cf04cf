#include "ngx_llm_module/policy/shared_records.hpp"

#include <signal.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "ngx_llm_module/base/guard.hpp"
#include "ngx_llm_module/redis/client.hpp"

namespace llm {
namespace {

constexpr ngx_msec_t kInterval = 1000;
// Until the first look has succeeded: a machine that begins knows no keys yet.
constexpr ngx_msec_t kFirstInterval = 50;
// A Redis that takes nothing (full, read-only) is not given all records every second.
constexpr ngx_msec_t kPatience = 15000;
constexpr size_t kPage = 100;   // records in one command
constexpr int64_t kClash = -1;  // answer of put_records.lua

class PutCommand;

class Sharing {
  public:
    Sharing(const Config &config, RedisClient &client);
    ~Sharing();

    void share(std::span<const RecordChange> changes, ShareWaiter &waiter);
    void hand_in(std::span<const RecordChange> changes);
    void forget(ShareWaiter &waiter);
    void strike(PutCommand &command) { std::erase(waiting_, &command); }
    void on_missed() {
        has_missed_ = true;
        owes_ = true;
    }
    void on_put_failed(bool is_refused) {
        on_missed();
        if (is_refused) {
            patience_until_ = ngx_current_msec + kPatience;
        }
    }
    const Config &config() const { return config_; }
    bool is_kept_here() const { return !config_.state_path.empty(); }
    void complain(std::string_view text);

    void on_page(const RedisReply &reply);
    // Names and what they stand for, from this place of a list on; how many.
    size_t merge(const RedisReply &list, size_t from);
    void on_page_lost();

  private:
    static void on_timer(ngx_event_t *ev);
    bool is_patience_over() const {
        return ngx_msec_int_t(ngx_current_msec - patience_until_) >= 0;
    }
    void look();
    void push();
    void look_after_skipped();
    // `is_change`: it is refused for an alias that another key has, or when another machine was
    // faster; else it is what holds here.
    std::unique_ptr<PutCommand> make_put(bool is_change);

    const Config &config_;
    RedisClient &client_;
    std::string base_;
    ngx_event_t timer_ = {};
    std::string epoch_;       // name of the records in Redis; another one: it was flushed
    std::string last_ = "0";  // number of the last change that was seen
    bool is_looking_ = false;
    bool has_looked_ = false;
    bool has_missed_ = true;         // Redis may lack records of ours
    bool owes_ = false;              // it lacks one that this worker took
    ngx_msec_t patience_until_ = 0;  // before that nothing is handed in again
    // Workers that were on their way with something when all the rest was handed in.
    std::vector<uint32_t> skipped_;
    time_t complained_ = 0;
    std::vector<PutCommand *> waiting_;
};

Sharing *current = nullptr;

class PutCommand final : public RedisCommand {
  public:
    ~PutCommand() override {
        if (current != nullptr && waiter != nullptr) {
            current->strike(*this);
        }
    }
    void on_reply(const RedisReply &reply) override {
        if (current != nullptr && reply.is_error()) {
            current->complain(reply.text());
        }
        if (current != nullptr && reply.is_array()) {
            current->merge(reply, 0);
        }
        bool is_clash = !reply.is_error() && !reply.is_array() && reply.integer() == kClash;
        if (current != nullptr && !reply.is_error() && !reply.is_array() && !is_clash) {
            note_deletions();
        }
        end(reply.is_error()   ? End::refused
            : reply.is_array() ? End::stale
            : is_clash         ? End::clash
                               : End::taken);
    }
    void on_lost(RedisLoss) override { end(End::lost); }

    void add(const RecordChange &record);

    ShareWaiter *waiter = nullptr;

  private:
    void note_deletions() const;

    enum class End : uint8_t { taken, clash, stale, refused, lost };

    void end(End how) {
        if (current == nullptr) {
            return;
        }
        if (how == End::refused || how == End::lost) {
            current->on_put_failed(how == End::refused);
        }
        if (ShareWaiter *told = std::exchange(waiter, nullptr)) {
            current->strike(*this);
            if (how == End::clash || how == End::stale) {
                how == End::clash ? told->on_clash() : told->on_stale();
                return;
            }
            told->on_stored(how == End::taken || (how == End::lost && current->is_kept_here()));
        }
    }

    std::vector<RecordChange> deletions_;
};

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

std::string new_epoch() {
    return std::to_string(ngx_time()) + "-" + std::to_string(ngx_random()) + "-" +
           std::to_string(ngx_pid);
}

void PutCommand::add(const RecordChange &record) {
    std::string name(kRecordKinds[size_t(record.kind)]);
    args.add(name.append(":").append(record.id)).add(int64_t(record.version)).add(record.json);
    args.add(int64_t(record.expected));
    if (record.json.empty()) {
        deletions_.push_back(record);
    }
}

void PutCommand::note_deletions() const {
    for (const RecordChange &deletion : deletions_) {
        note_shared(current->config(), deletion.kind, deletion.id, deletion.version);
    }
}

Sharing::Sharing(const Config &config, RedisClient &client)
    : config_(config), client_(client), base_(client.config().prefix + "{records}") {
    timer_.handler = guard<on_timer>;
    timer_.data = this;
    timer_.log = ngx_cycle->log;
    timer_.cancelable = 1;
    ngx_add_timer(&timer_, kFirstInterval);
}

Sharing::~Sharing() {
    if (timer_.timer_set) {
        ngx_del_timer(&timer_);
    }
    if (auto *part = zone_part<RecordsPart>(config_, ZonePart::records)) {
        auto own = uint32_t(ngx_pid);
        part->sharer.compare_exchange_strong(own, 0);
    }
}

// One that is full says so to every change.
void Sharing::complain(std::string_view text) {
    if (complained_ != ngx_time()) {
        complained_ = ngx_time();
        ngx_str_t shown = str(text);
        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0, "llm: redis refuses a record: %V", &shown);
    }
}

void Sharing::on_timer(ngx_event_t *ev) {
    auto &self = *static_cast<Sharing *>(ev->data);
    bool is_elected = is_sharer(self.config_);
    ngx_add_timer(ev, is_elected && !self.has_looked_ ? kFirstInterval : kInterval);
    if (is_elected && !self.is_looking_) {
        self.look();
    } else if (!is_elected && self.owes_ && self.is_patience_over() &&
               self.client_.is_up(self.base_)) {
        self.push();  // the one that follows Redis does not know of it
    }
}

void Sharing::look() {
    auto command = std::make_unique<GetCommand>();
    command->script = &redis_script("get_records");
    command->args.add(int64_t(1)).add(base_).add(epoch_).add(last_);
    command->args.add(int64_t(kPage)).add(new_epoch());
    is_looking_ = client_.send(std::move(command), base_);
    has_missed_ = has_missed_ || !is_looking_;
}

void Sharing::on_page_lost() {
    is_looking_ = false;
    has_missed_ = true;
}

void Sharing::on_page(const RedisReply &reply) {
    is_looking_ = false;
    if (reply[0].text() != epoch_) {
        epoch_ = reply[0].text();
        has_missed_ = true;
    }
    last_ = reply[1].text();
    if (merge(reply, 2) == kPage) {
        look();
        return;
    }
    has_looked_ = true;
    look_after_skipped();
    if (has_missed_ && is_patience_over()) {
        push();
    }
}

size_t Sharing::merge(const RedisReply &list, size_t from) {
    size_t count = 0;
    for (size_t i = from; i + 1 < list.size(); i += 2, count++) {
        std::string_view name = list[i].text(), value = list[i + 1].text();
        size_t colon = name.find(':'), end = value.find(':');
        auto kind =
            std::find(std::begin(kRecordKinds), std::end(kRecordKinds), name.substr(0, colon));
        if (colon == std::string_view::npos || end == std::string_view::npos ||
            kind == std::end(kRecordKinds)) {
            continue;  // of a later version of this module
        }
        ngx_int_t version = ngx_atoi(str(value).data, end);
        auto which = RecordKind(kind - std::begin(kRecordKinds));
        std::string_view id = name.substr(colon + 1), json = value.substr(end + 1);
        if (version > 0 && !merge_record(config_, which, id, json, uint64_t(version))) {
            ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                          "llm: llm_zone is full, a record of another machine has no room");
        }
        if (json.empty()) {
            note_shared(config_, which, id, uint64_t(version));
        }
    }
    return count;
}

std::unique_ptr<PutCommand> Sharing::make_put(bool is_change) {
    auto command = std::make_unique<PutCommand>();
    command->script = &redis_script("put_records");
    command->args.add(int64_t(1)).add(base_).add(new_epoch());
    command->args.add(int64_t(is_change ? 1 : 0));
    return command;
}

// A worker that ended may not have brought its change to Redis.
void Sharing::look_after_skipped() {
    auto is_gone = [](uint32_t pid) { return kill(pid_t(pid), 0) != 0 && ngx_errno == NGX_ESRCH; };
    if (std::erase_if(skipped_, is_gone) > 0) {
        has_missed_ = true;
    }
}

// All that is here: Redis takes what is newer than its own. Not what is on its way there: nobody
// knows yet whether it holds, and Redis would take it without asking whose the alias is and what
// others have changed meanwhile.
void Sharing::push() {
    has_missed_ = false;
    owes_ = false;
    std::unique_ptr<PutCommand> command;
    size_t count = 0;
    auto send = [&] {
        if (command != nullptr && !client_.send(std::move(command), base_)) {
            has_missed_ = true;
            owes_ = true;
        }
        command = nullptr;
    };
    auto add = [&](const RecordChange &record) {
        if (has_missed_) {
            return;  // away again
        }
        if (command == nullptr) {
            command = make_put(false);
        }
        command->add(record);
        if (++count % kPage == 0) {
            send();
        }
    };
    for_each_to_share(config_, add, [this](uint32_t worker) {
        if (std::find(skipped_.begin(), skipped_.end(), worker) == skipped_.end()) {
            skipped_.push_back(worker);
        }
    });
    send();
}

void Sharing::share(std::span<const RecordChange> changes, ShareWaiter &waiter) {
    auto command = make_put(true);
    for (const RecordChange &change : changes) {
        command->add(change);
    }
    PutCommand &sent = *command;
    if (!client_.send(std::move(command), base_)) {
        on_missed();
        waiter.on_stored(is_kept_here());
        return;
    }
    sent.waiter = &waiter;
    waiting_.push_back(&sent);
}

void Sharing::hand_in(std::span<const RecordChange> changes) {
    auto command = make_put(false);
    for (const RecordChange &change : changes) {
        command->add(change);
    }
    if (!client_.send(std::move(command), base_)) {
        on_missed();
    }
}

void Sharing::forget(ShareWaiter &waiter) {
    std::erase_if(waiting_, [&](PutCommand *command) {
        bool is_its = command->waiter == &waiter;
        if (is_its) {
            command->waiter = nullptr;
        }
        return is_its;
    });
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
        waiter.on_stored(true);
        return;
    }
    current->share(changes, waiter);
}

void hand_in_taken_back(std::span<const RecordChange> changes) {
    if (current != nullptr) {
        current->hand_in(changes);
    }
}

void forget_share(ShareWaiter &waiter) {
    if (current != nullptr) {
        current->forget(waiter);
    }
}

}  // namespace llm
