// What other machines have spent, as this worker has seen it last: their sums without our own part
// in them, which the zone knows better (entries: refresh_spend, read_all_spend).
#include "ngx_llm_module/policy/shared_spend.hpp"

#include <algorithm>
#include <charconv>
#include <map>
#include <utility>

#include "ngx_llm_module/redis/client.hpp"

namespace llm {
namespace {

constexpr size_t kPage = 500;  // rows in one answer
constexpr size_t kWidth = 4;   // texts for each

struct RowName {
    uint32_t day;
    SpendOf of;
    std::string name;
    auto operator<=>(const RowName &) const = default;
};

struct SharedRow {
    SpendNumbers others;
    SpendNumbers all;  // with our part: the zone may have dropped a day that Redis still has
};

using SharedRows = std::map<RowName, SharedRow>;

class Others {
  public:
    Others(const Config &config, RedisClient &client)
        : config_(config), client_(client), base_(client.config().prefix + "{spend}") {}

    bool refresh(SpendWaiter &waiter);
    void forget(SpendWaiter &waiter) { std::erase(waiting_, &waiter); }
    void on_page(const RedisReply &reply);
    void on_lost();
    bool is_current() const { return is_current_; }
    const SharedRows &rows() const { return rows_; }

  private:
    bool ask();
    void take(const RedisReply &reply, size_t at);
    void drop_days(std::string_view until);
    void tell();

    const Config &config_;
    RedisClient &client_;
    std::string base_;
    std::string epoch_;       // of the sums that rows_ are a part of
    std::string last_ = "0";  // number of the last change that was seen
    std::string floor_ = "0";
    SharedRows rows_;  // as many as Redis keeps
    std::vector<SpendWaiter *> waiting_;
    bool is_asking_ = false;
    bool is_current_ = false;
};

Others *others = nullptr;

class SumsCommand final : public RedisCommand {
  public:
    void on_reply(const RedisReply &reply) override {
        if (others != nullptr) {
            reply.is_array() ? others->on_page(reply) : others->on_lost();
        }
    }
    void on_lost(RedisLoss) override {
        if (others != nullptr) {
            others->on_lost();
        }
    }
};

// Takes a number and the one byte behind it away. 0: there is none.
int64_t take_number(std::string_view &text) {
    int64_t number = 0;
    auto end = std::from_chars(text.data(), text.data() + text.size(), number).ptr;
    text.remove_prefix(std::min(text.size(), size_t(end - text.data()) + 1));
    return number;
}

SpendNumbers read_numbers(std::string_view text) {
    SpendNumbers numbers;
    for (auto field : kSpendFields) {
        numbers.*field = take_number(text);
    }
    return numbers;
}

void subtract(SpendNumbers &from, const SpendNumbers &less) {
    for (auto field : kSpendFields) {
        from.*field -= less.*field;
    }
}

bool Others::refresh(SpendWaiter &waiter) {
    if (!is_asking_ && !ask()) {
        return false;
    }
    waiting_.push_back(&waiter);
    return true;
}

bool Others::ask() {
    SpendPart *part = spend_part(config_);
    auto command = std::make_unique<SumsCommand>();
    command->script = &redis_script("get_spend");
    command->args.add(int64_t(1)).add(base_);
    command->args.add(part != nullptr ? text_of(part->share.id) : "");
    command->args.add(epoch_).add(last_).add(int64_t(kPage));
    is_asking_ = client_.send(std::move(command), base_);
    is_current_ = is_current_ && is_asking_;
    return is_asking_;
}

void Others::on_lost() {
    is_asking_ = false;
    is_current_ = false;
    tell();
}

void Others::on_page(const RedisReply &reply) {
    if (reply[0].text() != epoch_) {
        epoch_ = reply[0].text();
        rows_.clear();
    }
    last_ = reply[1].text();
    if (reply[2].text() != floor_) {
        drop_days(reply[2].text());
    }
    size_t count = 0;
    for (size_t at = 3; at + kWidth <= reply.size(); at += kWidth, count++) {
        take(reply, at);
    }
    if (count == kPage) {
        if (!ask()) {
            on_lost();
        }
        return;
    }
    is_asking_ = false;
    is_current_ = true;
    tell();
}

void Others::take(const RedisReply &reply, size_t at) {
    std::string_view text = reply[at].text();
    auto day = uint32_t(take_number(text));
    int64_t of = take_number(text);
    if (of < 0 || of >= int64_t(SpendOf::count)) {
        return;  // of a later version of this module
    }
    SpendNumbers all = read_numbers(reply[at + 1].text());
    SpendNumbers rest = all;
    subtract(rest, read_numbers(reply[at + 2].text()));
    subtract(rest, read_numbers(reply[at + 3].text()));
    rows_[{day, SpendOf(of), std::string(text)}] = {rest, all};
}

void Others::drop_days(std::string_view until) {
    floor_ = until;
    auto day = uint32_t(take_number(until));
    auto day_of_clients = uint32_t(take_number(until));
    std::erase_if(rows_, [&](const auto &row) {
        const RowName &name = row.first;
        return name.day != kAllDays &&
               (name.day <= day ||
                (name.day <= day_of_clients && is_chosen_by_client(name.of, name.name)));
    });
}

// Who waits may come back while it is told, and is not told again.
void Others::tell() {
    for (size_t left = waiting_.size(); left > 0 && !waiting_.empty(); left--) {
        SpendWaiter *waiter = waiting_.front();
        waiting_.erase(waiting_.begin());
        waiter->on_spend();
    }
}

void add_others(std::vector<SpendRow> &rows, SharedRows left) {
    for (SpendRow &row : rows) {
        if (auto found = left.find({row.day, row.of, std::string(row.view())});
            found != left.end()) {
            row.numbers.add(found->second.others);
            left.erase(found);
        }
    }
    for (const auto &[name, numbers] : left) {
        if (numbers.all.requests == 0) {
            continue;
        }
        SpendRow row;
        row.day = name.day;
        row.of = name.of;
        row.size = uint8_t(std::min(name.name.size(), kSpendName));
        std::copy_n(name.name.data(), row.size, row.name);
        row.numbers = numbers.all;
        rows.push_back(row);
    }
}

// Whoever asks for models asks for those of either kind. One name may have rows of both: the
// configuration has changed.
void join_models(std::vector<SpendRow> &rows) {
    std::map<std::pair<uint32_t, std::string_view>, SpendRow *> models;
    for (SpendRow &row : rows) {
        if (row.of == SpendOf::model) {
            models[{row.day, row.view()}] = &row;
        }
    }
    for (SpendRow &row : rows) {
        if (row.of != SpendOf::free_model) {
            continue;
        }
        row.of = SpendOf::model;
        if (auto found = models.find({row.day, row.view()}); found != models.end()) {
            found->second->numbers.add(row.numbers);
            row.of = SpendOf::count;  // it goes
        }
    }
    std::erase_if(rows, [](const SpendRow &row) { return row.of == SpendOf::count; });
}

}  // namespace

void start_shared_spend(const Config &config) {
    stop_shared_spend(config);
    if (RedisClient *client = redis()) {
        others = new Others(config, *client);
    }
    start_spend_publisher(config);
}

void stop_shared_spend(const Config &config) {
    stop_spend_publisher(config);
    delete std::exchange(others, nullptr);
}

bool refresh_spend(SpendWaiter &waiter) {
    return others != nullptr && others->refresh(waiter);
}

void forget_refresh(SpendWaiter &waiter) {
    if (others != nullptr) {
        others->forget(waiter);
    }
}

SpendView spend_view() {
    if (others == nullptr) {
        return SpendView::own;
    }
    return others->is_current() ? SpendView::all : SpendView::part;
}

std::vector<SpendRow> read_all_spend(const Config &config) {
    std::vector<SpendRow> rows = read_spend(config);
    if (others != nullptr) {
        add_others(rows, others->rows());
    }
    join_models(rows);
    return rows;
}

SpendNumbers spent_by_all(const Config &config, SpendOf of, std::string_view name, uint32_t day) {
    SpendNumbers numbers = spent(config, of, name, day);
    if (others != nullptr) {
        auto found = others->rows().find({day, of, kept_name(name)});
        if (found != others->rows().end()) {
            numbers.add(numbers.requests > 0 ? found->second.others : found->second.all);
        }
    }
    return numbers;
}

}  // namespace llm
