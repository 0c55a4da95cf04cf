// Where budgets come from (entries: rows, on_timer).
#include "ngx_llm_module/observe/budget_book.hpp"

#include <algorithm>
#include <tuple>
#include <utility>

#include "ngx_llm_module/base/guard.hpp"
#include "ngx_llm_module/observe/budgets.hpp"
#include "ngx_llm_module/policy/record_json.hpp"
#include "ngx_llm_module/policy/zone_counter.hpp"
#include "ngx_llm_module/redis/client.hpp"
#include "ngx_llm_module/redis/pack.hpp"
#include "ngx_llm_module/state/record_table.hpp"

namespace llm {
namespace {

constexpr size_t kShownHash = 8;
// Records that are read at a time, some microseconds each, and when the next ones are.
constexpr size_t kMostRead = 500;
constexpr ngx_msec_t kSoon = 50;
// Counters in one call: Redis is not kept from others for long.
constexpr size_t kMostAsked = 250;
constexpr time_t kAskAgain = 5;
// An answer that is older is not shown; so long after a page a worker goes on asking.
constexpr time_t kStale = 60;
constexpr time_t kNobodyLooks = 300;

std::unique_ptr<BudgetBook> book;

}  // namespace

// It finds the book of its worker when the answer comes, if there still is one.
class UsedCommand final : public RedisCommand {
  public:
    UsedCommand(uint64_t edition, size_t first, size_t many)
        : edition_(edition), first_(first), many_(many) {}

    void on_reply(const RedisReply &reply) override {
        if (book != nullptr) {
            std::string bytes(reply.is_error() ? std::string_view() : reply.text());
            book->take(edition_, first_, many_, bytes);
        }
    }
    void on_lost(RedisLoss) override {
        if (book != nullptr) {
            book->take(0, 0, 0, {});
        }
    }

  private:
    uint64_t edition_;
    size_t first_, many_;
};

BudgetBook::BudgetBook(const Config &config) : config_(config) {
    if (RedisClient *client = redis()) {
        base_ = limits_base(client->config());
    }
    timer_.handler = guard<on_timer>;
    timer_.data = this;
    timer_.log = ngx_cycle->log;
    timer_.cancelable = 1;
}

BudgetBook::~BudgetBook() {
    if (timer_.timer_set) {
        ngx_del_timer(&timer_);
    }
}

BudgetBook::Owner::Owner(Scope of, const std::string &counted_as, const std::string &shown_as,
                         const LimitSet &limits)
    : scope(of), id(counted_as), name(shown_as) {
    for (const Budget &budget : limits.budgets) {
        budgets.push_back({{}, budget});
    }
    for (const ModelLimit &limit : limits.models) {
        for (const Budget &budget : limit.budgets) {
            budgets.push_back({limit.model, budget});
        }
    }
}

BudgetBook::Owner BudgetBook::owner_of(const KeyRecord &key) {
    return {Scope::key, key.counted_as(),
            key.alias.empty() ? key.hash.substr(0, kShownHash) : key.alias, key.limits};
}

BudgetBook::Owner BudgetBook::owner_of(const TeamRecord &team) {
    return {Scope::team, team.id, team.id, team.limits};
}

template <class Record>
BudgetBook::Owner BudgetBook::read_owner(const std::string &json, const std::string &id) {
    Record record;
    return read_stored(json, id, record) ? owner_of(record) : Owner();
}

BudgetBook::Owner BudgetBook::read_owner(int kind, const std::string &id, const std::string &json) {
    // Its own, or model_max_budget.
    if (json.find("max_budget\"") == std::string::npos) {
        return {};
    }
    if (kind == int(RecordKind::key)) {
        return read_owner<KeyRecord>(json, id);
    }
    if (kind == int(RecordKind::team)) {
        return read_owner<TeamRecord>(json, id);
    }
    UserRecord user;
    if (!read_stored(json, id, user)) {
        return {};
    }
    return {kind == int(RecordKind::customer) ? Scope::customer : Scope::user, id, id, user.limits};
}

void BudgetBook::read_records() {
    uint64_t generation = records_generation(config_);
    if (!has_more_ && generation_ == generation) {
        return;
    }
    generation_ = generation;
    has_more_ = false;
    size_t left = kMostRead;
    std::unordered_map<std::string, Known> now;
    now.reserve(records_.size());
    for_each_record(config_, [&](RecordKind kind, const std::string &id, const std::string &json,
                                 uint64_t version) {
        std::string key(1, char('0' + int(kind)));
        key.append(id);
        auto found = records_.find(key);
        if (found != records_.end() && found->second.version == version) {
            now.insert(records_.extract(found));
        } else if (left > 0) {
            left--;
            now[std::move(key)] = {version, read_owner(int(kind), id, json)};
        } else {
            has_more_ = true;
        }
    });
    records_ = std::move(now);
    make_rows();
}

void BudgetBook::add_rows(const Owner &owner) {
    for (const auto &[model, budget] : owner.budgets) {
        BudgetRow &row = rows_.emplace_back();
        row.scope = owner.scope;
        row.id = owner.id;
        row.name = owner.name;
        row.model = model;
        row.budget = budget;
        row.period = render_period(budget.period);
        Demand demand;
        demand.scope = row.scope;
        demand.id = row.id;
        demand.detail = row.model;
        demand.quantity = Quantity::cost;
        demand.period = budget.period;
        if (base_.empty()) {
            row.meter = key_in_zone(config_, demand);
        } else {
            row.counter = redis_counter(config_, demand);
        }
    }
}

void BudgetBook::make_rows() {
    std::vector<BudgetRow> before = std::exchange(rows_, {});
    rows_.reserve(before.size());
    for (const auto &[hash, key] : config_.keys) {
        add_rows(owner_of(*key));
    }
    for (const auto &[id, team] : config_.teams) {
        add_rows(owner_of(*team));
    }
    for (const auto &[id, record] : records_) {
        add_rows(record.owner);
    }
    auto place = [](const BudgetRow &row) {
        return std::tie(row.id, row.scope, row.model, row.period);
    };
    std::sort(rows_.begin(), rows_.end(),
              [&](const BudgetRow &a, const BudgetRow &b) { return place(a) < place(b); });
    // What Redis said of them stays known.
    auto old = before.begin();
    for (BudgetRow &row : rows_) {
        while (old != before.end() && place(*old) < place(row)) {
            ++old;
        }
        if (old != before.end() && place(*old) == place(row)) {
            row.used = old->used;
            row.told = old->told;
        }
    }
    edition_++;
}

void BudgetBook::look_into_zone() {
    Clocks clocks = clocks_now();
    for (BudgetRow &row : rows_) {
        row.used = used_in_zone(config_, row.meter, clocks);
    }
}

const std::vector<BudgetRow> &BudgetBook::rows() {
    read_ = ngx_time();
    read_records();
    if (base_.empty()) {
        look_into_zone();
    } else if (!is_asking_ && ngx_time() - asked_ >= kAskAgain) {
        ask(0);
    }
    if (has_more_) {
        ngx_add_timer(&timer_, kSoon);
    } else if (!base_.empty() && !timer_.timer_set) {
        ngx_add_timer(&timer_, kAskAgain * 1000);
    }
    return rows_;
}

bool BudgetBook::is_known(const BudgetRow &row) const {
    return base_.empty() || (row.told > 0 && ngx_time() - row.told <= kStale);
}

void BudgetBook::on_timer(ngx_event_t *ev) {
    auto &self = *static_cast<BudgetBook *>(ev->data);
    if (ngx_time() - self.read_ > kNobodyLooks) {
        return;
    }
    self.read_records();
    if (self.has_more_) {
        ngx_add_timer(ev, kSoon);
    } else if (!self.base_.empty()) {
        if (!self.is_asking_) {
            self.ask(0);
        }
        ngx_add_timer(ev, kAskAgain * 1000);
    }
}

void BudgetBook::ask(size_t first) {
    asked_ = ngx_time();
    is_asking_ = false;
    if (first >= rows_.size() || !redis()->is_up(base_)) {
        return;
    }
    size_t many = std::min(rows_.size() - first, kMostAsked);
    PackWriter work;
    for (size_t i = first; i < first + many; i++) {
        BudgetRow &row = rows_[i];
        renew_period(config_, row.budget.period, row.counter);
        work.add(row.counter.name).add(std::string_view(&row.counter.kind, 1));
    }
    static const RedisScript &script = redis_script("get_used");
    auto command = std::make_unique<UsedCommand>(edition_, first, many);
    command->script = &script;
    command->args.add(int64_t(1)).add(base_).add(work.array());
    is_asking_ = true;
    std::unique_ptr<RedisCommand> sent = std::move(command);
    is_asking_ = redis()->send(std::move(sent), base_);
}

// Rows that have changed since are asked for again with the next beat.
void BudgetBook::take(uint64_t edition, size_t first, size_t many, std::string_view answer) {
    is_asking_ = false;
    if (edition != edition_ || answer.empty()) {
        return;
    }
    PackReader used(answer);
    for (size_t i = first; i < first + many; i++) {
        int64_t number = used.number();
        if (used.is_bad()) {
            return;
        }
        rows_[i].used = number;
        rows_[i].told = ngx_time();
    }
    ask(first + many);
}

BudgetBook &budget_book(const Config &config) {
    if (book == nullptr || &book->config() != &config) {
        book = std::make_unique<BudgetBook>(config);
    }
    return *book;
}

void stop_budgets() {
    book.reset();
}

}  // namespace llm
