// Floors on their way to Redis (entries: raise_in_redis, raise_after_outage, on_timer).
#include "ngx_llm_module/policy/redis_floors.hpp"

#include <algorithm>
#include <deque>
#include <utility>

#include "ngx_llm_module/base/guard.hpp"
#include "ngx_llm_module/policy/redis_counter.hpp"
#include "ngx_llm_module/policy/redis_debts.hpp"
#include "ngx_llm_module/policy/shared_spend.hpp"
#include "ngx_llm_module/redis/client.hpp"
#include "ngx_llm_module/redis/pack.hpp"

namespace llm {
namespace {

// Between reading what was spent and sending it, at least.
constexpr ngx_msec_t kSettled = 100;
// What was spent elsewhere is told within a second or two.
constexpr ngx_msec_t kLookAgain = 5000;
constexpr ngx_msec_t kLater = 1000;
constexpr ngx_msec_t kBreath = 10;
// A Redis that takes nothing (full, read-only) is not asked every second.
constexpr ngx_msec_t kPatience = 15000;
// At a time: neither this worker nor Redis is kept from others for long.
constexpr size_t kMostFloors = 100;
constexpr size_t kMostOwners = 200;
constexpr int kMostPieces = 64;
constexpr size_t kMostWaiting = 10000;
constexpr int kSweeps = 2;
// No record with a budget is without it.
constexpr std::string_view kHasBudget = "budget";

class RaiseCommand;

class Raiser final : public SpendWaiter {
  public:
    Raiser(const Config &config, RedisClient &client);
    ~Raiser();

    void raise(std::vector<BudgetFloor> floors, StoreWaiter *waiter);
    void look_again(std::vector<BudgetOwner> owners);
    void on_spend() override;
    void on_back();
    void on_end(RaiseCommand &command, ngx_msec_t again_after);
    void forget(StoreWaiter &waiter);

  private:
    // At what somebody has spent.
    struct Look {
        BudgetOwner owner;
        ngx_msec_t due;
    };

    // At all who have budgets: those of the configuration, then the records, in pieces.
    struct Sweep {
        size_t configured = 0;
        uint32_t bucket = 0;
        int left = 0;  // times that it is made
        ngx_msec_t due = 0;
    };

    static void on_timer(ngx_event_t *ev);
    void go_on();
    void wait(ngx_msec_t time);
    void watch_epoch();
    void begin_sweeps();
    void sweep();
    void ask();
    bool has_room() const { return waiting_.size() < kMostFloors; }
    static bool is_past(ngx_msec_t due) { return ngx_msec_int_t(ngx_current_msec - due) >= 0; }
    void add(const BudgetFloor &floor, PackWriter &work) const;
    void keep(std::vector<BudgetFloor> floors);
    void note_read();

    const Config &config_;
    RedisClient &client_;
    std::string base_;
    ngx_event_t timer_ = {};
    std::vector<BudgetOwner> configured_;
    Sweep sweep_;
    std::string epoch_;    // of the sums in Redis; another one: it has lost them
    ngx_msec_t read_ = 0;  // when the latest of waiting_ was
    bool has_been_up_ = false;
    bool has_waited_ = false;  // for a Redis that was away
    bool is_asking_ = false;
    std::deque<Look> looks_;            // by the time at which they are due
    std::vector<BudgetFloor> waiting_;  // to be sent with the next beat
    std::vector<RaiseCommand *> sent_;
};

Raiser *current = nullptr;

class RaiseCommand final : public RedisCommand {
  public:
    void on_reply(const RedisReply &reply) override { end(reply.is_error() ? kPatience : 0); }
    void on_lost(RedisLoss) override { end(kLater); }

    std::vector<BudgetFloor> floors;
    StoreWaiter *waiter = nullptr;

  private:
    void end(ngx_msec_t again_after) {
        if (current != nullptr) {
            current->on_end(*this, again_after);
        }
    }
};

Raiser::Raiser(const Config &config, RedisClient &client)
    : config_(config), client_(client), base_(limits_base(client.config())) {
    timer_.handler = guard<on_timer>;
    timer_.data = this;
    timer_.log = ngx_cycle->log;
    timer_.cancelable = 1;
    if (ngx_worker == 0) {
        configured_ = configured_owners(config);
        watch_epoch();
        begin_sweeps();
        go_on();
    }
}

Raiser::~Raiser() {
    forget_refresh(*this);
    if (timer_.timer_set) {
        ngx_del_timer(&timer_);
    }
}

void Raiser::wait(ngx_msec_t time) {
    if (!timer_.timer_set || ngx_msec_int_t(timer_.timer.key - ngx_current_msec - time) > 0) {
        ngx_add_timer(&timer_, time);
    }
}

void Raiser::on_timer(ngx_event_t *ev) {
    static_cast<Raiser *>(ev->data)->go_on();
}

// Whichever worker tells Redis what was spent, in whichever process: it notes there whose part it
// is.
void Raiser::watch_epoch() {
    SpendPart *part = spend_part(config_);
    if (part != nullptr && text_of(part->share.epoch) != epoch_) {
        epoch_ = text_of(part->share.epoch);
        begin_sweeps();
    }
}

void Raiser::begin_sweeps() {
    sweep_ = {0, 0, kSweeps, ngx_current_msec};
}

// The first connection is no return, unless it was long in coming.
void Raiser::on_back() {
    bool is_return = std::exchange(has_been_up_, true) || has_waited_;
    has_waited_ = false;
    if (is_return && ngx_worker == 0) {
        begin_sweeps();
    }
}

// One step, and the next one after it.
void Raiser::go_on() {
    if (ngx_worker == 0) {
        watch_epoch();
        wait(kLater);
    }
    if (!waiting_.empty() && !is_handed_in(config_, read_)) {
        wait(kSettled);
    } else if (!waiting_.empty()) {
        auto first = waiting_.end() - ptrdiff_t(std::min(waiting_.size(), kMostFloors));
        std::vector<BudgetFloor> floors(std::make_move_iterator(first),
                                        std::make_move_iterator(waiting_.end()));
        waiting_.erase(first, waiting_.end());
        raise(std::move(floors), nullptr);
    } else if (!is_asking_) {
        ask();
    }
}

void Raiser::ask() {
    bool is_due = (!looks_.empty() && is_past(looks_.front().due)) ||
                  (sweep_.left > 0 && is_past(sweep_.due));
    if (is_due) {
        is_asking_ = refresh_spend(*this);
        has_waited_ = has_waited_ || !is_asking_;
        if (!is_asking_) {
            wait(kLater);
        }
    } else if (!looks_.empty()) {
        wait(looks_.front().due - ngx_current_msec);
    }
}

void Raiser::on_spend() {
    is_asking_ = false;
    if (spend_view() != SpendView::all) {
        has_waited_ = true;
        wait(kLater);
        return;
    }
    for (size_t i = 0;
         i < kMostOwners && has_room() && !looks_.empty() && is_past(looks_.front().due); i++) {
        add_floors(config_, looks_.front().owner, waiting_);
        looks_.pop_front();
    }
    if (sweep_.left > 0 && is_past(sweep_.due)) {
        sweep();
    }
    if (!waiting_.empty()) {
        note_read();
        wait(kSettled);
    } else if (!looks_.empty() || sweep_.left > 0) {
        wait(kBreath);
    }
}

// What was booked until now may be in it: not before the clock that the others go by.
void Raiser::note_read() {
    ngx_time_update();
    read_ = ngx_current_msec;
}

// A part of it.
void Raiser::sweep() {
    size_t owners = 0;
    auto goes_on = [&] { return owners < kMostOwners && has_room(); };
    for (; goes_on() && sweep_.configured < configured_.size(); owners++) {
        add_floors(config_, configured_[sweep_.configured++], waiting_);
    }
    bool is_end = false;
    for (int i = 0; i < kMostPieces && goes_on() && !is_end; i++) {
        auto visit = [&](RecordKind kind, const std::string &id, const std::string &json,
                         uint64_t) {
            RecordChange record{kind, id, json, 0, 0, 0, {}};
            for (const BudgetOwner &owner : owners_of({&record, 1})) {
                add_floors(config_, owner, waiting_);
            }
            owners++;
        };
        sweep_.bucket = for_some_records(config_, sweep_.bucket, kHasBudget, visit);
        is_end = sweep_.bucket == 0;
    }
    if (is_end) {
        sweep_ = {0, 0, sweep_.left - 1, ngx_current_msec + kLookAgain};
    }
}

// They are only looked at once more: of too many at once the rest may go without.
void Raiser::look_again(std::vector<BudgetOwner> owners) {
    for (BudgetOwner &owner : owners) {
        if (looks_.size() < kMostWaiting) {
            looks_.push_back({std::move(owner), ngx_current_msec + kLookAgain});
        }
    }
    wait(kLookAgain);
}

// Of a calendar period that ended while they waited nothing is left.
void Raiser::add(const BudgetFloor &floor, PackWriter &work) const {
    RedisCounter counter = redis_counter(config_, floor.demand());
    auto first = std::find_if(floor.parts.begin(), floor.parts.end(),
                              [&](const SpentPart &part) { return part.at >= counter.began; });
    work.add(counter.name).add(std::string_view(&counter.kind, 1));
    work.add(counter.period_ms).add(counter.began * 1000).add(floor.parts.end() - first);
    for (; first != floor.parts.end(); ++first) {
        work.add(first->at * 1000).add(first->nanos);
    }
}

void Raiser::raise(std::vector<BudgetFloor> floors, StoreWaiter *waiter) {
    static const RedisScript &script = redis_script("raise_budgets");
    PackWriter work;
    for (const BudgetFloor &floor : floors) {
        add(floor, work);
    }
    auto command = std::make_unique<RaiseCommand>();
    command->script = &script;
    command->args.add(int64_t(1)).add(base_).add(work.array());
    command->floors = std::move(floors);
    command->waiter = waiter;
    sent_.push_back(command.get());
    std::unique_ptr<RedisCommand> sent = std::move(command);
    if (!client_.send(std::move(sent), base_)) {
        sent->on_lost(RedisLoss::unsent);
    }
}

void Raiser::on_end(RaiseCommand &command, ngx_msec_t again_after) {
    std::erase(sent_, &command);
    if (again_after > 0) {
        keep(std::move(command.floors));
    }
    // What is read meanwhile has its own time.
    if (again_after > 0 || command.waiter == nullptr) {
        wait(again_after);
    }
    if (StoreWaiter *told = std::exchange(command.waiter, nullptr)) {
        told->on_stored(true);
    }
}

void Raiser::keep(std::vector<BudgetFloor> floors) {
    if (waiting_.size() + floors.size() > kMostWaiting) {
        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                      "llm: redis is away or refuses too much, what was spent of %uz budgets "
                      "before they were set is not counted there",
                      floors.size());
        return;
    }
    note_read();
    waiting_.insert(waiting_.end(), std::make_move_iterator(floors.begin()),
                    std::make_move_iterator(floors.end()));
}

void Raiser::forget(StoreWaiter &waiter) {
    for (RaiseCommand *command : sent_) {
        if (command->waiter == &waiter) {
            command->waiter = nullptr;
        }
    }
}

}  // namespace

void start_raising(const Config &config) {
    stop_raising();
    if (RedisClient *client = redis()) {
        current = new Raiser(config, *client);
    }
}

void stop_raising() {
    delete std::exchange(current, nullptr);
}

void raise_after_outage() {
    if (current != nullptr) {
        current->on_back();
    }
}

void raise_in_redis(std::vector<BudgetOwner> owners, std::vector<BudgetFloor> floors,
                    StoreWaiter &waiter) {
    if (current != nullptr && !owners.empty()) {
        current->look_again(std::move(owners));
    }
    if (current == nullptr || floors.empty()) {
        waiter.on_stored(true);
        return;
    }
    current->raise(std::move(floors), &waiter);
}

void forget_raise(StoreWaiter &waiter) {
    if (current != nullptr) {
        current->forget(waiter);
    }
}

}  // namespace llm
