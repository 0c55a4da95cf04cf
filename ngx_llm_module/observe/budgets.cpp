// From what is known of budgets to gauges: the most used ones have their own.
#include "ngx_llm_module/observe/budgets.hpp"

#include <algorithm>
#include <unordered_set>

#include "ngx_llm_module/observe/budget_book.hpp"

namespace llm {
namespace {

constexpr std::string_view kScopes[] = {"key", "team", "user", "customer"};

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
    for (std::string_view scope : kScopes) {
        names.emplace(labels_of(Metric::budget_limit, {scope, "other", ""}).view());
    }
    Sum others[std::size(kScopes)];
    for (size_t i = 0; i < gauges.size(); i++) {
        const BudgetRow &row = rows[gauges[i].row];
        std::string_view scope = kScopes[size_t(row.scope)];
        if (i < shown &&
            names.emplace(labels_of(Metric::budget_limit, {scope, row.name, row.period}).view())
                .second) {
            page.add(Metric::budget_limit, {scope, row.name, row.period}, row.budget.nanos);
            page.add(Metric::budget_left, {scope, row.name, row.period}, gauges[i].left);
        } else {
            Sum &other = others[size_t(row.scope)];
            other.limit += row.budget.nanos;
            other.left += gauges[i].left;
            other.has_any = true;
        }
    }
    for (size_t i = 0; i < std::size(kScopes); i++) {
        if (others[i].has_any) {
            page.add(Metric::budget_limit, {kScopes[i], "other", ""}, others[i].limit);
            page.add(Metric::budget_left, {kScopes[i], "other", ""}, others[i].left);
        }
    }
}

}  // namespace llm
