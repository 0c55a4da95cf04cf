// Rendering of the metrics page: the rows of the tables become lines, metric by metric in the order
// of metrics.def.
#include "ngx_llm_module/observe/metrics_page.hpp"

#include <vector>

#include "ngx_llm_module/request/ledger.hpp"

namespace llm {
namespace {

using Numbers = RouteNumbers;
using Field = SharedNumber RouteNumbers::*;

// 1500 micros: "0.0015". No zeros at the end, no exponent.
void append_number(std::string &out, int64_t number, MetricUnit unit) {
    size_t digits = unit == MetricUnit::kWhole ? 0 : unit == MetricUnit::kMicro ? 6 : 9;
    char text[32];
    char *end = text + sizeof(text);
    char *at = end;
    auto left = number < 0 ? -uint64_t(number) : uint64_t(number);
    bool has_digit = false;
    for (size_t i = 0; i < digits; i++, left /= 10) {
        char digit = char('0' + left % 10);
        if (digit != '0' || has_digit) {
            *--at = digit;
            has_digit = true;
        }
    }
    if (has_digit) {
        *--at = '.';
    }
    do {
        *--at = char('0' + left % 10);
        left /= 10;
    } while (left != 0);
    if (number < 0) {
        *--at = '-';
    }
    out.append(at, size_t(end - at));
}

const MetricRow &row_of(Metric metric) {
    return kMetrics[size_t(metric)];
}

void append_head(std::string &out, const MetricRow &metric) {
    constexpr std::string_view kTypes[] = {"counter", "gauge", "histogram"};
    out.append("# HELP ").append(metric.name).append(" ");
    out.append(metric.help).append("\n# TYPE ").append(metric.name).append(" ");
    out.append(kTypes[size_t(metric.type)]).append("\n");
}

void append_line(std::string &out, const MetricRow &metric, std::string_view labels,
                 std::string_view more, int64_t number) {
    out.append(metric.name);
    if (!labels.empty() || !more.empty()) {
        out.append("{").append(labels);
        out.append(labels.empty() || more.empty() ? "" : ",").append(more).append("}");
    }
    out.append(" ");
    append_number(out, number, metric.unit);
    out.append("\n");
}

// One line, unless nothing was counted yet.
void append_counted(std::string &out, const MetricRow &metric, std::string_view labels,
                    std::string_view more, int64_t number) {
    if (number != 0) {
        append_line(out, metric, labels, more, number);
    }
}

// Rows of requests: whatever the table, they have the same begin.
template <class Row>
void append_outcomes(std::string &out, const MetricRow &metric, const Row &row) {
    for (size_t i = 0; i < kOutcomes; i++) {
        if (int64_t number = get(row.numbers.requests[i])) {
            std::string more = "outcome=\"";
            more.append(name(Outcome(i))).append("\"");
            append_line(out, metric, row.labels(), more, number);
        }
    }
}

template <class Row>
void append_tokens(std::string &out, const MetricRow &metric, const Row &row) {
    append_counted(out, metric, row.labels(), "gen_ai_token_type=\"input\"",
                   get(row.numbers.input));
    append_counted(out, metric, row.labels(), "gen_ai_token_type=\"output\"",
                   get(row.numbers.output));
}

void append_parts(std::string &out, const MetricRow &metric, const RouteRow &row) {
    const Numbers &from = row.numbers;
    append_counted(out, metric, row.labels(), "part=\"cache_read\"", get(from.cache_read));
    append_counted(out, metric, row.labels(), "part=\"cache_write\"", get(from.cache_write));
    append_counted(out, metric, row.labels(), "part=\"reasoning\"", get(from.reasoning));
}

// `less[i]` is le="..." of bound i.
void append_histogram(std::string &out, const MetricRow &metric, std::string_view labels,
                      const Histogram &from, const std::vector<std::string> &less) {
    int64_t counts[kMaxBounds + 1];
    int64_t total = 0;
    for (size_t i = 0; i < less.size(); i++) {
        counts[i] = total += get(from.counts[i]);
    }
    if (total == 0) {
        return;
    }
    auto line = [&](std::string_view suffix, std::string_view more) {
        out.append(metric.name).append(suffix).append("{").append(labels).append(more).append("} ");
    };
    for (size_t i = 0; i < less.size(); i++) {
        line("_bucket", less[i]);
        append_number(out, counts[i], MetricUnit::kWhole);
        out.append("\n");
    }
    line("_sum", {});
    append_number(out, get(from.sum), metric.unit);
    out.append("\n");
    line("_count", {});
    append_number(out, total, MetricUnit::kWhole);
    out.append("\n");
}

void append_times(std::string &out, const MetricRow &metric, TimeKind kind, MetricsPart &part) {
    std::vector<std::string> less;
    for (int64_t bound : bounds_of(kind)) {
        less.emplace_back(",le=\"");
        append_number(less.back(), bound, MetricUnit::kMicro);
        less.back().append("\"");
    }
    less.emplace_back(",le=\"+Inf\"");
    for (uint32_t i = 0, size = part.routes.size(); i < size; i++) {
        const RouteRow &row = part.routes.row(i);
        append_histogram(out, metric, row.labels(), row.numbers.times[size_t(kind)], less);
    }
}

void append_routes(std::string &out, const MetricRow &metric, Metric which, MetricsPart &part) {
    auto field = [](Metric of) -> Field {
        switch (of) {
            case Metric::cost:
                return &Numbers::cost;
            case Metric::unpriced:
                return &Numbers::unpriced;
            case Metric::estimated:
                return &Numbers::estimated;
            case Metric::fallbacks:
                return &Numbers::fallbacks;
            default:
                return &Numbers::attempts;
        }
    }(which);
    for (uint32_t i = 0, size = part.routes.size(); i < size; i++) {
        const RouteRow &row = part.routes.row(i);
        if (which == Metric::requests) {
            append_outcomes(out, metric, row);
        } else if (which == Metric::tokens) {
            append_tokens(out, metric, row);
        } else if (which == Metric::token_parts) {
            append_parts(out, metric, row);
        } else {
            append_counted(out, metric, row.labels(), {}, get(row.numbers.*field));
        }
    }
}

void append_keys(std::string &out, const MetricRow &metric, Metric which, MetricsPart &part) {
    for (uint32_t i = 0, size = part.keys.size(); i < size; i++) {
        const KeyRow &row = part.keys.row(i);
        if (which == Metric::key_requests) {
            append_outcomes(out, metric, row);
        } else if (which == Metric::key_tokens) {
            append_tokens(out, metric, row);
        } else {
            append_counted(out, metric, row.labels(), {}, get(row.numbers.cost));
        }
    }
}

// The lines of counters that count() added to, by metric.
std::array<std::string, size_t(Metric::count)> counters_of(MetricsPart &part) {
    std::array<std::string, size_t(Metric::count)> lines;
    for (uint32_t i = 0, size = part.counters.size(); i < size; i++) {
        const CounterRow &row = part.counters.row(i);
        append_line(lines[row.kind], kMetrics[row.kind], row.labels(), {}, get(row.numbers));
    }
    return lines;
}

}  // namespace

void MetricsPage::add(Metric metric, std::initializer_list<std::string_view> values,
                      int64_t number) {
    append_line(gauges_[size_t(metric)], row_of(metric), labels_of(metric, values).view(), {},
                number);
}

std::string MetricsPage::render() {
    std::string out;
    MetricsPart *part = metrics_part();
    if (part == nullptr) {
        return out;
    }
    // More than the lines are: what is not written costs nothing, growing would copy megabytes.
    out.reserve(64 * 1024 + part->routes.size() * size_t(16384) + part->keys.size() * size_t(1024));
    auto counters = counters_of(*part);
    for (size_t i = 0; i < size_t(Metric::count); i++) {
        auto metric = Metric(i);
        const MetricRow &row = kMetrics[i];
        append_head(out, row);
        if (metric <= Metric::attempts) {
            append_routes(out, row, metric, *part);
        } else if (metric <= Metric::overhead) {
            append_times(out, row, TimeKind(i - size_t(Metric::first_content)), *part);
        } else if (metric <= Metric::key_cost) {
            append_keys(out, row, metric, *part);
        } else if (!counters[i].empty() || !gauges_[i].empty()) {
            out.append(counters[i]).append(gauges_[i]);
        } else if (row.type == MetricType::counter && row.labels.empty()) {
            append_line(out, row, {}, {}, 0);
        }
    }
    return out;
}

}  // namespace llm
