#include "ngx_llm_module/policy/record_asks.hpp"

#include <algorithm>
#include <utility>

namespace llm {
namespace {

constexpr ngx_msec_t kMostAsked = 3000;  // whoever wants a change waits so long
constexpr ngx_msec_t kAgain = 20;
constexpr ngx_msec_t kAfterRefusal = 1000;
constexpr ngx_msec_t kPatience = 15000;  // with a Redis that takes nothing

constexpr std::string_view kUses[] = {"hand_in", "change", "withdraw", "adopt"};

RecordShare *current = nullptr;

bool is_past(ngx_msec_t time) {
    return ngx_msec_int_t(ngx_current_msec - time) >= 0;
}

void note_all_shared(const Config &config, std::span<const RecordChange> changes) {
    for (const RecordChange &change : changes) {
        note_shared(config, change.kind, change.id, change.version);
    }
}

}  // namespace

// May outlive the ask that sent it, and the share.
class RecordCommand final : public RedisCommand {
  public:
    RecordCommand(const RecordShare &share, RecordUse use, std::string_view number) {
        script = &redis_script("put_records");
        args.add(int64_t(1)).add(share.base).add(new_name()).add(kUses[size_t(use)]).add(number);
        bool leaves_version = share.is_kept_here() && !number.empty();
        args.add(int64_t(leaves_version || use == RecordUse::adopt ? 1 : 0));
    }
    ~RecordCommand() override {
        if (ask != nullptr) {
            ask->sent_ = nullptr;
        }
    }

    void add(const RecordChange &record, std::string_view json) {
        std::string name(kRecordKinds[size_t(record.kind)]);
        args.add(name.append(":").append(record.id)).add(int64_t(record.version)).add(json);
        args.add(int64_t(record.base));
    }

    void on_reply(const RedisReply &reply) override;
    void on_lost(RedisLoss loss) override;

    RecordAsk *ask = nullptr;             // that waits for the answer
    std::vector<RecordChange> handed_in;  // without their JSON
};

void RecordCommand::on_reply(const RedisReply &reply) {
    if (current != nullptr && reply.is_error()) {
        current->on_refused(reply.text());
    }
    if (RecordAsk *asked = std::exchange(ask, nullptr)) {
        asked->sent_ = nullptr;
        asked->on_reply(reply);
    } else if (current != nullptr && !reply.is_error()) {
        note_all_shared(current->config, handed_in);
    }
}

void RecordCommand::on_lost(RedisLoss loss) {
    if (RecordAsk *asked = std::exchange(ask, nullptr)) {
        asked->sent_ = nullptr;
        asked->on_lost(loss);
    } else if (current != nullptr) {
        current->on_missed();
    }
}

RecordShare::RecordShare(const Config &own_config, RedisClient &own_client)
    : config(own_config), client(own_client), base(own_client.config().prefix + "{records}") {
    current = this;
}

RecordShare::~RecordShare() {
    current = nullptr;
}

bool RecordShare::is_away() const {
    return client.away_for(base) >= kMostAsked;
}

void RecordShare::on_refused(std::string_view why) {
    on_missed();
    patience_until = ngx_current_msec + kPatience;
    if (complained_ != ngx_time()) {
        complained_ = ngx_time();
        ngx_str_t shown = str(why);
        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0, "llm: redis refuses a record: %V", &shown);
    }
}

RecordAsk::RecordAsk(RecordShare &share, RecordUse use, std::vector<RecordChange> changes,
                     ShareWaiter *waiter)
    : share_(share),
      use_(use),
      changes_(std::move(changes)),
      waiter_(waiter),
      number_(new_name()),
      began_(ngx_current_msec) {}

RecordAsk::~RecordAsk() {
    if (sent_ != nullptr) {
        sent_->ask = nullptr;
    }
    if (!is_over_) {
        leave_records(share_.config, changes_);
    }
}

bool RecordAsk::send() {
    bool is_back = use_ == RecordUse::withdraw;
    bool may_come = !is_back || may_be_made_;
    auto command = std::make_unique<RecordCommand>(share_, use_, may_come ? number_ : "");
    for (const RecordChange &change : changes_) {
        command->add(change, is_back ? change.before : change.json);
    }
    if (sent_ != nullptr) {
        sent_->ask = nullptr;
    }
    command->ask = this;
    sent_ = command.get();
    bool is_sent = share_.client.send(std::move(command), share_.base);
    was_sent_ = was_sent_ || is_sent;
    return is_sent;
}

void RecordAsk::tick() {
    if (is_over_ || sent_ != nullptr) {
        return;
    }
    bool is_change = use_ == RecordUse::change;
    if (is_change && (share_.is_away() || is_past(began_ + kMostAsked))) {
        give_up();
    } else if (share_.is_up() && is_past(next_)) {
        send();
    } else if (!is_change && share_.is_away() && share_.is_kept_here()) {
        keep();  // no change of it shall wait until Redis is back
    }
}

void RecordAsk::give_up() {
    if (share_.is_kept_here()) {
        keep();
    } else {
        withdraw();
        tell(may_be_made_ ? Shared::unknown : Shared::refused);
    }
}

void RecordAsk::on_reply(const RedisReply &reply) {
    if (reply.is_array()) {
        if (use_ == RecordUse::change) {
            take_back();
        }
        bool is_clash = reply[0].text() == "clash";
        end();
        if (merge_list(share_.config, reply, 1).has_apart) {
            share_.on_missed();
        }
        tell(is_clash ? Shared::clash : Shared::stale);
    } else if (!reply.is_error()) {
        note_all_shared(share_.config, changes_);
        end();
        tell(Shared::taken);
    } else if (use_ == RecordUse::change) {
        withdraw();
        tell(may_be_made_ ? Shared::unknown : Shared::refused);
    } else {
        next_ = ngx_current_msec + kAfterRefusal;
    }
}

void RecordAsk::on_lost(RedisLoss loss) {
    may_be_made_ = may_be_made_ || loss == RedisLoss::unknown;
    next_ = ngx_current_msec + kAgain;
}

void RecordAsk::forget_waiter() {
    waiter_ = nullptr;
    if (use_ == RecordUse::change) {
        withdraw();
    }
}

void RecordAsk::take_back() {
    if (!take_back_records(share_.config, changes_)) {
        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                      "llm: llm_zone is full, a change could not be taken back");
    }
}

void RecordAsk::withdraw() {
    take_back();
    if (!was_sent_) {
        end();
        return;
    }
    use_ = RecordUse::withdraw;
    may_be_made_ = may_be_made_ || sent_ != nullptr;
    if (share_.is_up()) {
        send();
    }
}

// What is here holds, and Redis gets it when it can. What was taken back is newer than the change
// then, which Redis may have: so it stands in the state file.
void RecordAsk::keep() {
    end();
    for (const RecordChange &change : changes_) {
        StoredRecord now = find_record(share_.config, change.kind, change.id);
        if (use_ == RecordUse::withdraw && now.version == change.expected) {
            merge_record(share_.config, change.kind, change.id, change.before, change.version + 1,
                         change.base);
        }
    }
    share_.on_missed();
    tell(Shared::taken);
}

void RecordAsk::end() {
    settle_records(share_.config, changes_);
    is_over_ = true;
}

void RecordAsk::tell(Shared how) {
    if (ShareWaiter *told = std::exchange(waiter_, nullptr)) {
        told->on_shared(how);
    }
}

bool hand_in(RecordShare &share, const std::vector<RecordChange> &records) {
    auto command = std::make_unique<RecordCommand>(share, RecordUse::hand_in, "");
    for (const RecordChange &record : records) {
        command->add(record, record.json);
        command->handed_in.push_back({record.kind, record.id, {}, 0, record.version, 0, {}});
    }
    return share.client.send(std::move(command), share.base);
}

MergedList merge_list(const Config &config, const RedisReply &list, size_t from) {
    MergedList merged;
    for (size_t i = from; i + 1 < list.size(); i += 2, merged.count++) {
        std::string_view name = list[i].text(), value = list[i + 1].text();
        size_t colon = name.find(':'), end = value.find(':');
        auto kind =
            std::find(std::begin(kRecordKinds), std::end(kRecordKinds), name.substr(0, colon));
        if (colon == std::string_view::npos || end == std::string_view::npos ||
            kind == std::end(kRecordKinds)) {
            continue;  // of a later version of this module
        }
        ngx_int_t number = ngx_atoi(str(value).data, end);
        if (number <= 0) {
            continue;  // it is not there
        }
        auto version = uint64_t(number);
        auto which = RecordKind(kind - std::begin(kRecordKinds));
        std::string_view id = name.substr(colon + 1), json = value.substr(end + 1);
        switch (merge_record(config, which, id, json, version, version)) {
            case Merged::full:
                ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                              "llm: llm_zone is full, a record of another machine has no room");
                break;
            case Merged::later:
                merged.is_whole = false;
                break;
            case Merged::apart:
                merged.is_whole = false;
                merged.has_apart = true;
                break;
            case Merged::done:
                break;
        }
        note_shared(config, which, id, version);
    }
    return merged;
}

std::string new_name() {
    static uint32_t count = 0;
    return std::to_string(ngx_time()) + "-" + std::to_string(ngx_random()) + "-" +
           std::to_string(ngx_pid) + "-" + std::to_string(++count);
}

}  // namespace llm
