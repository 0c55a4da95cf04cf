// From what is known of budgets to gauges: the most used ones have their own.
#include "ngx_llm_module/observe/budgets.hpp"

#include <algorithm>
#include <unordered_set>

#include "ngx_llm_module/observe/budget_book.hpp"
#include "ngx_llm_module/policy/demand_name.hpp"

namespace llm {
namespace {

// Keys, teams, users, customers; then models within them.
constexpr size_t kOwners = 4;
constexpr size_t kScopes = 2 * kOwners;

std::string_view name_of(size_t scope) {
    return scope_name(Scope(scope % kOwners), scope >= kOwners);
}

size_t scope_of(const BudgetRow &row) {
    return size_t(row.scope) + (row.model.empty() ? 0 : kOwners);
}

void add_gauge(Metric metric, const BudgetRow &row, int64_t value, MetricsPage &page) {
    std::string_view scope = name_of(scope_of(row));
    row.model.empty() ? page.add(metric, {scope, row.name, row.period}, value)
                      : page.add(metric, {scope, row.name, row.period, row.model}, value);
}

Labels labels_of_row(const BudgetRow &row) {
    std::string_view scope = name_of(scope_of(row));
    return row.model.empty()
               ? labels_of(Metric::budget_limit, {scope, row.name, row.period})
               : labels_of(Metric::budget_limit, {scope, row.name, row.period, row.model});
}

struct Gauge {
    double share;  // that is left
    uint32_t row;  // rows stand in the order of their ids
    int64_t left;

    bool operator<(const Gauge &other) const {
        return share != other.share ? share < other.share : row < other.row;
    }
};

struct Sum {
    int64_t limit = 0;
    int64_t left = 0;
    bool has_any = false;
};

}  // namespace

void collect_budgets(const Config &config, MetricsPage &page) {
    BudgetBook &book = budget_book(config);
    const std::vector<BudgetRow> &rows = book.rows();
    std::vector<Gauge> gauges;
    gauges.reserve(rows.size());
    for (size_t i = 0; i < rows.size(); i++) {
        const BudgetRow &row = rows[i];
        if (book.is_known(row)) {
            int64_t left = std::max(row.budget.nanos - row.used, int64_t(0));
            double share = double(left) / double(std::max(row.budget.nanos, int64_t(1)));
            gauges.push_back({share, uint32_t(i), left});
        }
    }
    size_t shown = std::min(gauges.size(), kMostBudgets);
    auto last = gauges.begin() + ptrdiff_t(shown);
    if (shown < gauges.size()) {
        std::nth_element(gauges.begin(), last, gauges.end());
    }
    std::sort(gauges.begin(), last);

    // Two of one name would be one series with two values.
    std::unordered_set<std::string> names;
    for (size_t scope = 0; scope < kScopes; scope++) {
        names.emplace(labels_of(Metric::budget_limit, {name_of(scope), "other", ""}).view());
    }
    Sum others[kScopes];
    for (size_t i = 0; i < gauges.size(); i++) {
        const BudgetRow &row = rows[gauges[i].row];
        if (i < shown && names.emplace(labels_of_row(row).view()).second) {
            add_gauge(Metric::budget_limit, row, row.budget.nanos, page);
            add_gauge(Metric::budget_left, row, gauges[i].left, page);
        } else {
            Sum &other = others[scope_of(row)];
            other.limit += row.budget.nanos;
            other.left += gauges[i].left;
            other.has_any = true;
        }
    }
    for (size_t scope = 0; scope < kScopes; scope++) {
        if (others[scope].has_any) {
            page.add(Metric::budget_limit, {name_of(scope), "other", ""}, others[scope].limit);
            page.add(Metric::budget_left, {name_of(scope), "other", ""}, others[scope].left);
        }
    }
}

}  // namespace llm
