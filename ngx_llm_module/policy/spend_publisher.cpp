// Rows of the zone on their way to Redis: each second those that have changed, one command at a
// time (entry: on_timer). What Redis has seen stands in the zone: whichever worker comes next goes
// on from there. With a state file nothing goes out before it is on the disk: after a crash the
// machine would tell less than it has told before, and what lies between would be taken back. Nor
// before it is counted in Redis' budgets: whoever raises them by what he hears counted it twice.
#include <algorithm>
#include <charconv>
#include <utility>

#include "ngx_llm_module/base/guard.hpp"
#include "ngx_llm_module/policy/redis_debts.hpp"
#include "ngx_llm_module/policy/shared_records.hpp"
#include "ngx_llm_module/policy/shared_spend.hpp"
#include "ngx_llm_module/redis/client.hpp"
#include "ngx_llm_module/state/inflight.hpp"
#include "ngx_llm_module/state/state_keeper.hpp"

namespace llm {
namespace {

constexpr ngx_msec_t kInterval = 1000;
constexpr ngx_msec_t kSoon = 20;
// A Redis that takes nothing (full, read-only) is not given the same rows every second.
constexpr ngx_msec_t kPatience = 2000;
// A disk that takes nothing, or a worker that finds no way to Redis, is waited for no longer.
constexpr ngx_msec_t kLongestWait = 10000;
constexpr ngx_msec_t kLookAgain = 100;
constexpr size_t kPage = 100;         // rows in one command
constexpr int64_t kMostRows = 20000;  // of the sums of all machines

class Publisher {
  public:
    Publisher(const Config &config, RedisClient &client);
    ~Publisher();

    void on_reply(const RedisReply &reply);
    void on_lost() { is_sending_ = false; }
    void send_rest();

  private:
    static void on_timer(ngx_event_t *ev);
    void look();
    void read_rows();
    bool may_send() const;
    bool send_page();
    void again_soon();

    const Config &config_;
    RedisClient &client_;
    std::string base_;
    ngx_event_t timer_ = {};
    std::vector<SpendRow> rows_;
    size_t next_ = 0;          // of rows_
    uint64_t generation_ = 0;  // all of it is in rows_
    ngx_msec_t read_ = 0;      // when they were read
    bool is_ready_ = false;    // rows_ wait to be sent
    bool is_sending_ = false;
    bool is_adopting_ = false;  // Redis has forgotten our rows, but not the sums
};

Publisher *current = nullptr;

class RowsCommand final : public RedisCommand {
  public:
    void on_reply(const RedisReply &reply) override {
        if (current != nullptr) {
            current->on_reply(reply);
        }
    }
    void on_lost(RedisLoss) override {
        if (current != nullptr) {
            current->on_lost();
        }
    }
};

// "DAY\tWHAT\tNAME" and the numbers with blanks between them.
void add_row(RespArgs &args, const SpendRow &row) {
    std::string text = std::to_string(row.day);
    args.add(text.append("\t").append(std::to_string(int(row.of))).append("\t").append(row.view()));
    text.clear();
    for (auto field : kSpendFields) {
        text.append(text.empty() ? "" : " ").append(std::to_string(row.numbers.*field));
    }
    args.add(text);
}

Publisher::Publisher(const Config &config, RedisClient &client)
    : config_(config), client_(client), base_(client.config().prefix + "{spend}") {
    timer_.handler = guard<on_timer>;
    timer_.data = this;
    timer_.log = ngx_cycle->log;
    timer_.cancelable = 1;
    ngx_add_timer(&timer_, kSoon);
}

Publisher::~Publisher() {
    if (timer_.timer_set) {
        ngx_del_timer(&timer_);
    }
}

void Publisher::on_timer(ngx_event_t *ev) {
    auto &self = *static_cast<Publisher *>(ev->data);
    ngx_add_timer(ev, kInterval);
    if (!self.is_sending_ && is_sharer(self.config_)) {
        self.look();
    }
}

void Publisher::again_soon() {
    ngx_add_timer(&timer_, kSoon);
}

// A command goes out also when nothing has changed: it finds out whether Redis was flushed.
void Publisher::look() {
    SpendPart *part = spend_part(config_);
    if (part == nullptr || !client_.is_up(base_)) {
        return;
    }
    if (!is_ready_) {
        read_rows();
    }
    if (may_send()) {
        is_ready_ = false;
        next_ = 0;
        is_sending_ = send_page();
    } else {
        ngx_add_timer(&timer_, kLookAgain);
    }
}

void Publisher::read_rows() {
    SpendPart &part = *spend_part(config_);
    generation_ = part.generation.load();
    uint64_t published = part.share.published.load();
    rows_.clear();
    if (published != generation_) {
        rows_ = read_spend(config_, published);
    }
    ngx_time_update();  // what was booked until now is in them
    read_ = ngx_current_msec;
    is_ready_ = true;
}

bool Publisher::may_send() const {
    return rows_.empty() || ngx_current_msec - read_ >= kLongestWait ||
           (is_saved(config_, "spend", generation_) && is_handed_in(config_, read_));
}

bool Publisher::send_page() {
    SpendShare &share = spend_part(config_)->share;
    auto command = std::make_unique<RowsCommand>();
    command->script = &redis_script("put_spend");
    RespArgs &args = command->args;
    args.add(int64_t(1)).add(base_).add(text_of(share.id)).add(text_of(share.epoch));
    args.add(std::to_string(ngx_time()) + "-" + std::string(text_of(share.id)));
    args.add(int64_t(share.number.fetch_add(1) + 1)).add(int64_t(is_adopting_)).add(kMostRows);
    for (size_t last = std::min(rows_.size(), next_ + kPage); next_ < last; next_++) {
        add_row(args, rows_[next_]);
    }
    return client_.send(std::move(command), base_);
}

void Publisher::on_reply(const RedisReply &reply) {
    is_sending_ = false;
    SpendPart *part = spend_part(config_);
    std::string_view what = reply[0].text();
    if (part == nullptr) {
        return;
    }
    SpendShare &share = part->share;
    if (what == "taken") {
        if (text_of(share.epoch).empty()) {
            set_epoch(config_, reply[1].text());
        }
        if (next_ < rows_.size()) {
            is_sending_ = send_page();
        } else {
            share.published.store(generation_);
            is_adopting_ = false;
            rows_ = {};
        }
    } else if (what == "anew") {
        set_epoch(config_, reply[1].text());
        share.published.store(0);
        again_soon();
    } else if (what == "gone") {
        share.published.store(0);
        is_adopting_ = true;
        again_soon();
    } else if (what == "late") {
        std::string_view last = reply[2].text();
        uint64_t number = 0;
        std::from_chars(last.data(), last.data() + last.size(), number);
        share.number.store(number);
        again_soon();
    } else {
        ngx_add_timer(&timer_, kPatience);  // an error, which the connection has logged
    }
}

// At the end of the worker: nobody is told what becomes of it, so the next one sends it again.
void Publisher::send_rest() {
    SpendPart *part = spend_part(config_);
    if (part == nullptr || part->share.published.load() == part->generation.load()) {
        return;
    }
    // The file is written next.
    if (client_.is_up(base_)) {
        read_rows();
        next_ = 0;
        is_sending_ = send_page();
    }
    while (is_sending_ && next_ < rows_.size()) {
        is_sending_ = send_page();
    }
    part->share.is_owed.store(is_sending_ ? 0 : 1);
}

}  // namespace

void start_spend_publisher(const Config &config) {
    if (RedisClient *client = redis()) {
        current = new Publisher(config, *client);
    }
}

void tell_owed_spend(const Config &config) {
    SpendPart *part = config.state_path.empty() ? spend_part(config) : nullptr;
    if (part != nullptr && part->share.is_owed.load() != 0 && count_in_flight(config).rows == 0) {
        ngx_log_error(
            NGX_LOG_ERR, ngx_cycle->log, 0,
            "llm: what was spent while Redis was away is lost: it is away at the end, too, "
            "and llm_zone has no state=");
    }
}

void stop_spend_publisher(const Config &config) {
    if (current != nullptr && is_sharer(config)) {
        current->send_rest();
    }
    delete std::exchange(current, nullptr);
}

}  // namespace llm
