// What is counted for the metrics page, in shared memory: all workers add to the same numbers.
// Counting takes no lock and allocates nothing, but for the first time that a set of labels is
// seen. Label sets are bounded: what does not fit goes to one whose labels are "other".
#pragma once

#include <initializer_list>
#include <span>

#include "ngx_llm_module/conf/config.hpp"
#include "ngx_llm_module/state/series.hpp"

namespace llm {

enum class Metric : uint8_t {
#define LLM_METRIC(id, ...) id,
#include "ngx_llm_module/state/metrics.def"
#undef LLM_METRIC
    count
};

enum class MetricType : uint8_t { counter, gauge, histogram };

// What one of the stored integer number is.
enum class MetricUnit : uint8_t { kWhole, kMicro, kNano };

struct MetricRow {
    std::string_view name;
    MetricType type;
    std::string_view labels;  // names, with commas
    MetricUnit unit;
    std::string_view help;
};

extern const MetricRow kMetrics[size_t(Metric::count)];

// Adds to a counter of the table. The values stand in the order of the metric's labels. Safe to
// call in any worker; does nothing before open_metrics().
void count(Metric metric, std::initializer_list<std::string_view> values = {}, int64_t amount = 1);

// Makes the tables, unless they are there. False: the zone is too small.
bool init_metrics(void *part, ngx_slab_pool_t *pool, size_t zone_size);
// What has nothing to do with money gives way to what must not be lost. False: there is nothing to
// give, or it is in use.
bool release_metrics(const Config &config);

// At the start of a worker.
void open_metrics(const Config &config);

// --- the tables: written by book_metrics() and count(), read by the page ---

constexpr size_t kOutcomes = 7;  // as enum class Outcome
constexpr size_t kMaxBounds = 15;

struct Histogram {
    SharedNumber counts[kMaxBounds + 1];  // of each bucket by itself; the last one has no bound
    SharedNumber sum;                     // microseconds
};

enum class TimeKind : uint8_t { first_content, per_token, duration, upstream, overhead, count };

// Upper bounds in microseconds.
std::span<const int64_t> bounds_of(TimeKind kind);
void observe(Histogram &histogram, TimeKind kind, int64_t micros);

struct RouteNumbers {
    SharedNumber requests[kOutcomes];
    SharedNumber input, output, cache_read, cache_write, reasoning;
    SharedNumber cost, unpriced, estimated, fallbacks, attempts;
    Histogram times[size_t(TimeKind::count)];
};

struct KeyNumbers {
    SharedNumber requests[kOutcomes];
    SharedNumber input, output, cost;
};

using RouteRow = SeriesRow<304, RouteNumbers>;  // by model, provider and deployment
using KeyRow = SeriesRow<208, KeyNumbers>;      // by key and team
using CounterRow = SeriesRow<208, SharedNumber>;

// Of one process: what its clients have not taken yet.
struct HeldBytes {
    std::atomic<uint32_t> pid;  // 0: free
    SharedNumber bytes;
};

constexpr size_t kHeldRows = 128;

struct MetricsPart {
    HeldBytes held[kHeldRows];
    SeriesTable<RouteRow> routes;
    SeriesTable<KeyRow> keys;
    SeriesTable<CounterRow> counters;
};

// Null: there is no zone, or it is too small.
MetricsPart *metrics_part();

// More (or less) bytes of answers wait for clients of this process.
void add_held(int64_t bytes);
// Of all processes that live.
int64_t held_bytes();

// The rows of a request; null only when there are no tables.
RouteRow *route_row(std::string_view model, std::string_view provider, std::string_view deployment);
KeyRow *key_row(std::string_view key, std::string_view team);

// A label set as it stands on the page: name="value",... Values are cut, and escaped so that any
// bytes are good.
class Labels {
  public:
    void add(std::string_view name, std::string_view value);
    std::string_view view() const { return {text_, size_}; }

  private:
    void put(std::string_view bytes);

    size_t size_ = 0;
    char text_[1024];
};

// The label set of a metric: values for the names of its row.
Labels labels_of(Metric metric, std::initializer_list<std::string_view> values);

}  // namespace llm
