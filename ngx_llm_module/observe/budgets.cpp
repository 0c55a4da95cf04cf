// Each worker remembers which records have budgets: only those that changed since it looked last
// are read again, and what is left of them is looked up in the zone.
#include "ngx_llm_module/observe/budgets.hpp"

#include <algorithm>
#include <unordered_map>
#include <unordered_set>

#include "ngx_llm_module/policy/record_json.hpp"
#include "ngx_llm_module/policy/zone_store.hpp"
#include "ngx_llm_module/redis/client.hpp"
#include "ngx_llm_module/state/record_table.hpp"

namespace llm {
namespace {

constexpr std::string_view kScopes[] = {"key", "team", "user", "customer"};
constexpr size_t kShownHash = 8;
// Records that are read for one page, about 8 microseconds each; more come with the next pages.
constexpr size_t kMostRead = 2000;

struct BudgetOwner {
    Scope scope = Scope::key;
    std::string id;    // under which it is counted
    std::string name;  // the gauge's
    std::vector<Budget> budgets;
};

struct KnownRecord {
    uint64_t version = 0;
    BudgetOwner owner;  // without budgets: it has none
};

using KnownRecords = std::unordered_map<std::string, KnownRecord>;

struct Known {
    uint64_t generation = 0;
    KnownRecords records;
};

std::unique_ptr<Known> known;

BudgetOwner owner_of(const KeyRecord &key) {
    return {Scope::key, key.counted_as(),
            key.alias.empty() ? key.hash.substr(0, kShownHash) : key.alias, key.limits.budgets};
}

BudgetOwner owner_of(const TeamRecord &team) {
    return {Scope::team, team.id, team.id, team.limits.budgets};
}

template <class Record>
BudgetOwner read_owner(const std::string &json, const std::string &id) {
    Record record;
    return read_stored(json, id, record) ? owner_of(record) : BudgetOwner();
}

BudgetOwner read_owner(RecordKind kind, const std::string &id, const std::string &json) {
    if (json.find("\"max_budget\"") == std::string::npos) {
        return {};
    }
    if (kind == RecordKind::key) {
        return read_owner<KeyRecord>(json, id);
    }
    if (kind == RecordKind::team) {
        return read_owner<TeamRecord>(json, id);
    }
    UserRecord user;
    if (!read_stored(json, id, user)) {
        return {};
    }
    Scope scope = kind == RecordKind::customer ? Scope::customer : Scope::user;
    return {scope, id, id, user.limits.budgets};
}

void look_at_records(const Config &config) {
    uint64_t generation = records_generation(config);
    if (known != nullptr && known->generation == generation) {
        return;
    }
    auto now = std::make_unique<Known>();
    size_t left = kMostRead;
    for_each_record(config, [&](RecordKind kind, const std::string &id, const std::string &json,
                                uint64_t version) {
        std::string key = std::to_string(int(kind)).append(":").append(id);
        if (known != nullptr) {
            if (auto found = known->records.find(key);
                found != known->records.end() && found->second.version == version) {
                now->records[key] = std::move(found->second);
                return;
            }
        }
        if (left > 0) {
            left--;
            now->records[key] = {version, read_owner(kind, id, json)};
        }
    });
    now->generation = left > 0 ? generation : 0;  // 0: there is more
    known = std::move(now);
}

struct Row {
    const BudgetOwner *owner;
    const Budget *budget;
    int64_t left;

    double share() const { return double(left) / double(std::max(budget->nanos, int64_t(1))); }
};

class Rows {
  public:
    explicit Rows(const Config &config) : config_(config) {
        for (std::string_view scope : kScopes) {
            names_.emplace(labels_of(Metric::budget_limit, {scope, "other", ""}).view());
        }
    }

    void add(const BudgetOwner &owner) {
        for (const Budget &budget : owner.budgets) {
            Demand demand;
            demand.scope = owner.scope;
            demand.id = owner.id;
            demand.quantity = Quantity::cost;
            demand.period = budget.period;
            int64_t left = budget.nanos - used_in_zone(config_, demand);
            rows_.push_back({&owner, &budget, std::max(left, int64_t(0))});
        }
    }

    void write(MetricsPage &page) {
        size_t shown = std::min(rows_.size(), kMostBudgets);
        std::partial_sort(rows_.begin(), rows_.begin() + long(shown), rows_.end(),
                          [](const Row &a, const Row &b) {
                              return a.share() != b.share() ? a.share() < b.share()
                                                            : a.owner->id < b.owner->id;
                          });
        for (size_t i = 0; i < rows_.size(); i++) {
            const Row &row = rows_[i];
            std::string_view scope = kScopes[size_t(row.owner->scope)];
            std::string period = render_period(row.budget->period);
            // Two of one name would be one series with two values.
            bool is_own =
                i < shown &&
                names_
                    .emplace(
                        labels_of(Metric::budget_limit, {scope, row.owner->name, period}).view())
                    .second;
            if (is_own) {
                page.add(Metric::budget_limit, {scope, row.owner->name, period}, row.budget->nanos);
                page.add(Metric::budget_left, {scope, row.owner->name, period}, row.left);
            } else {
                Sum &other = others_[size_t(row.owner->scope)];
                other.limit += row.budget->nanos;
                other.left += row.left;
                other.has_any = true;
            }
        }
        for (size_t i = 0; i < std::size(kScopes); i++) {
            if (others_[i].has_any) {
                page.add(Metric::budget_limit, {kScopes[i], "other", ""}, others_[i].limit);
                page.add(Metric::budget_left, {kScopes[i], "other", ""}, others_[i].left);
            }
        }
    }

  private:
    struct Sum {
        int64_t limit = 0;
        int64_t left = 0;
        bool has_any = false;
    };

    const Config &config_;
    std::vector<Row> rows_;
    std::unordered_set<std::string> names_;
    Sum others_[std::size(kScopes)];
};

}  // namespace

// Where Redis keeps the budgets, the zone does not know what is left.
void collect_budgets(const Config &config, MetricsPage &page) {
    if (redis() != nullptr) {
        return;
    }
    look_at_records(config);
    std::vector<BudgetOwner> configured;
    for (const auto &[hash, key] : config.keys) {
        configured.push_back(owner_of(*key));
    }
    for (const auto &[id, team] : config.teams) {
        configured.push_back(owner_of(*team));
    }
    Rows rows(config);
    for (const BudgetOwner &owner : configured) {
        rows.add(owner);
    }
    for (const auto &[id, record] : known->records) {
        rows.add(record.owner);
    }
    rows.write(page);
}

}  // namespace llm
