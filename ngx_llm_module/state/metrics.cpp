// Counting. Entry points: count() for everyone, route_row() and key_row() for the booking of a
// request. The sizes of the tables follow the zone's: a quarter of it is theirs.
#include "ngx_llm_module/state/metrics.hpp"

#include <signal.h>

#include <algorithm>

#include "ngx_llm_module/state/zone.hpp"
#include "ngx_llm_module/state/zone_lock.hpp"

namespace llm {
namespace {

using enum MetricUnit;

constexpr std::string_view kOther = "other";
// Rows that are kept for the label sets that others are counted under.
constexpr uint32_t kRouteReserve = 64;
constexpr size_t kMaxValue = 96;

MetricsPart *part = nullptr;
HeldBytes *own_held = nullptr;
ngx_slab_pool_t *pool = nullptr;

// The rows that this process used last: to write out their labels costs more than all counting.
template <class Row>
class KnownRows {
  public:
    using Values = std::initializer_list<std::string_view>;

    Row *find(Metric kind, Values values) {
        const Place &place = place_of(kind, values);
        const char *at = place.text;
        if (place.row == nullptr || place.kind != kind) {
            return nullptr;
        }
        for (std::string_view value : values) {
            size_t size = static_cast<unsigned char>(*at);
            if (value != std::string_view(at + 1, size)) {
                return nullptr;
            }
            at += 1 + size;
        }
        return place.row;
    }

    void remember(Metric kind, Values values, Row *row) {
        Place &place = place_of(kind, values);
        size_t size = values.size();
        bool is_short = true;
        for (std::string_view value : values) {
            size += value.size();
            is_short = is_short && value.size() < 256;
        }
        if (!is_short || size > sizeof(place.text)) {
            return;
        }
        place.row = row;
        place.kind = kind;
        char *to = place.text;
        for (std::string_view value : values) {
            *to++ = char(value.size());
            to = std::copy(value.begin(), value.end(), to);
        }
    }

    void forget() { std::fill(std::begin(places_), std::end(places_), Place()); }

  private:
    struct Place {
        Row *row;
        Metric kind;
        char text[183];  // each value behind its size
    };

    Place &place_of(Metric kind, Values values) {
        auto hash = uint32_t(kind);
        for (std::string_view value : values) {
            hash = hash * 31 + uint32_t(value.size());
            if (!value.empty()) {
                hash = hash * 31 + uint8_t(value.back());
                hash = hash * 31 + uint8_t(value[value.size() / 2]);
            }
        }
        return places_[hash % std::size(places_)];
    }

    Place places_[64];
};

KnownRows<RouteRow> known_routes;
KnownRows<KeyRow> known_keys;
KnownRows<CounterRow> known_counters;

constexpr int64_t kFirstContentBounds[] = {1000,    5000,    10000,    25000,    50000,
                                           100000,  250000,  500000,   750000,   1000000,
                                           2500000, 5000000, 10000000, 30000000, 60000000};
constexpr int64_t kPerTokenBounds[] = {1000,   2500,   5000,   10000,  25000,  50000,  75000,
                                       100000, 150000, 200000, 300000, 500000, 1000000};
constexpr int64_t kDurationBounds[] = {10000,    25000,    50000,     100000,    250000,
                                       500000,   1000000,  2500000,   5000000,   10000000,
                                       30000000, 60000000, 120000000, 300000000, 600000000};
constexpr int64_t kOverheadBounds[] = {1000,   2000,   5000,   10000,   25000,  50000,
                                       100000, 250000, 500000, 1000000, 2500000};

template <class Row>
Row *find_or_add(SeriesTable<Row> &table, uint16_t kind, std::string_view labels,
                 uint32_t reserve = 0) {
    uint32_t hash = hash_of(labels);
    if (Row *row = table.find(hash, kind, labels)) {
        return row;
    }
    if (table.size() + reserve >= table.capacity()) {
        return nullptr;  // full: no reason to wait for the lock
    }
    ZoneLock lock(pool);
    return table.find_or_add(hash, kind, labels, reserve);
}

bool is_alive(uint32_t pid) {
    return kill(pid_t(pid), 0) == 0 || ngx_errno != NGX_ESRCH;
}

// A row of a process that is gone is anybody's.
void claim_held() {
    own_held = nullptr;
    auto pid = uint32_t(ngx_pid);
    for (HeldBytes &row : part->held) {
        uint32_t owner = row.pid.load();
        if ((owner == 0 || owner == pid || !is_alive(owner)) &&
            row.pid.compare_exchange_strong(owner, pid)) {
            row.bytes.store(0);
            own_held = &row;
            return;
        }
    }
}

bool is_continuation(char c) {
    return (static_cast<unsigned char>(c) & 0xc0) == 0x80;
}

// Length of the UTF-8 character at the begin of `text`, 0 when it is none.
size_t character(std::string_view text) {
    auto first = static_cast<unsigned char>(text[0]);
    size_t length = first < 0x80                    ? 1
                    : first >= 0xc2 && first < 0xe0 ? 2
                    : first >= 0xe0 && first < 0xf0 ? 3
                    : first >= 0xf0 && first < 0xf5 ? 4
                                                    : 0;
    if (length == 0 || length > text.size() ||
        !std::all_of(text.begin() + 1, text.begin() + ptrdiff_t(length), is_continuation)) {
        return 0;
    }
    return length;
}

}  // namespace

const MetricRow kMetrics[] = {
#define LLM_METRIC(id, name, type, labels, unit, help) {name, MetricType::type, labels, unit, help},
#include "ngx_llm_module/state/metrics.def"
#undef LLM_METRIC
};

// FNV-1a
uint32_t hash_of(std::string_view text) {
    uint32_t hash = 2166136261u;
    for (unsigned char c : text) {
        hash = (hash ^ c) * 16777619u;
    }
    return hash;
}

std::span<const int64_t> bounds_of(TimeKind kind) {
    switch (kind) {
        case TimeKind::per_token:
            return kPerTokenBounds;
        case TimeKind::duration:
        case TimeKind::upstream:
            return kDurationBounds;
        case TimeKind::overhead:
            return kOverheadBounds;
        default:
            return kFirstContentBounds;
    }
}

void observe(Histogram &histogram, TimeKind kind, int64_t micros) {
    std::span<const int64_t> bounds = bounds_of(kind);
    size_t bucket = size_t(std::lower_bound(bounds.begin(), bounds.end(), micros) - bounds.begin());
    add(histogram.counts[bucket], 1);
    add(histogram.sum, micros);
}

void Labels::put(std::string_view bytes) {
    size_t size = std::min(bytes.size(), sizeof(text_) - size_);
    std::copy_n(bytes.data(), size, text_ + size_);
    size_ += size;
}

void Labels::add(std::string_view name, std::string_view value) {
    if (size_ != 0) {
        put(",");
    }
    put(name);
    put("=\"");
    size_t end = size_ + kMaxValue;
    while (!value.empty()) {
        size_t length = character(value);
        char c = value[0];
        if (size_ + std::max(length, size_t(2)) > end) {
            break;
        }
        if (c == '"' || c == '\\') {
            put("\\");
            put({&c, 1});
        } else if (length == 0 || static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
            put("?");
        } else {
            put(value.substr(0, length));
        }
        value.remove_prefix(std::max(length, size_t(1)));
    }
    put("\"");
}

Labels labels_of(Metric metric, std::initializer_list<std::string_view> values) {
    Labels labels;
    std::string_view names = kMetrics[size_t(metric)].labels;
    for (std::string_view value : values) {
        size_t comma = std::min(names.find(','), names.size());
        labels.add(names.substr(0, comma), value);
        names.remove_prefix(std::min(comma + 1, names.size()));
    }
    return labels;
}

void count(Metric metric, std::initializer_list<std::string_view> values, int64_t amount) {
    if (part == nullptr) {
        return;
    }
    if (CounterRow *known = known_counters.find(metric, values)) {
        add(known->numbers, amount);
        return;
    }
    auto kind = uint16_t(metric);
    CounterRow *row = find_or_add(part->counters, kind, labels_of(metric, values).view(),
                                  uint32_t(Metric::count));
    if (row != nullptr) {
        known_counters.remember(metric, values, row);
    } else {
        Labels other;
        std::string_view names = kMetrics[size_t(metric)].labels;
        for (size_t i = 0; i < values.size(); i++) {
            size_t comma = std::min(names.find(','), names.size());
            other.add(names.substr(0, comma), kOther);
            names.remove_prefix(std::min(comma + 1, names.size()));
        }
        row = find_or_add(part->counters, kind, other.view());
    }
    if (row != nullptr) {
        add(row->numbers, amount);
    }
}

RouteRow *route_row(std::string_view model, std::string_view provider,
                    std::string_view deployment) {
    if (part == nullptr) {
        return nullptr;
    }
    // Names of models may be the clients' own: a part of the table is kept for deployments whose
    // models are many.
    SeriesTable<RouteRow> &table = part->routes;
    uint32_t reserve = std::max(kRouteReserve, table.capacity() / 4);
    auto row = [&](std::string_view asked, std::string_view from, std::string_view at,
                   uint32_t kept) {
        return find_or_add(table, 0, labels_of(Metric::cost, {asked, from, at}).view(), kept);
    };
    if (RouteRow *known = known_routes.find(Metric::cost, {model, provider, deployment})) {
        return known;
    }
    if (RouteRow *found = row(model, provider, deployment, reserve)) {
        known_routes.remember(Metric::cost, {model, provider, deployment}, found);
        return found;
    }
    if (RouteRow *found = row(kOther, provider, deployment, 1)) {
        return found;
    }
    return row(kOther, kOther, kOther, 0);
}

KeyRow *key_row(std::string_view key, std::string_view team) {
    if (part == nullptr) {
        return nullptr;
    }
    auto row = [&](std::string_view own, std::string_view above, uint32_t kept) {
        return find_or_add(part->keys, 0, labels_of(Metric::key_cost, {own, above}).view(), kept);
    };
    if (KeyRow *known = known_keys.find(Metric::key_cost, {key, team})) {
        return known;
    }
    if (KeyRow *found = row(key, team, 1)) {
        known_keys.remember(Metric::key_cost, {key, team}, found);
        return found;
    }
    return row(kOther, kOther, 0);
}

void add_held(int64_t bytes) {
    if (own_held != nullptr) {
        add(own_held->bytes, bytes);
    }
}

int64_t held_bytes() {
    int64_t sum = 0;
    for (HeldBytes &row : part->held) {
        uint32_t owner = row.pid.load();
        sum += owner != 0 && is_alive(owner) ? get(row.bytes) : 0;
    }
    return sum;
}

namespace {

void release_tables(MetricsPart &made, ngx_slab_pool_t *from) {
    made.routes.release(from);
    made.keys.release(from);
    made.counters.release(from);
}

}  // namespace

bool init_metrics(void *part, ngx_slab_pool_t *pool, size_t zone_size) {
    MetricsPart &made = *static_cast<MetricsPart *>(part);
    ZoneLock lock(pool);
    if (made.counters.capacity() != 0) {
        return true;
    }
    size_t share = zone_size / 4;
    auto rows = [](size_t bytes, size_t row, uint32_t least, uint32_t most) {
        return std::clamp(uint32_t(bytes / (row + 16)), least, most);
    };
    bool is_made = made.routes.allocate(pool, rows(share * 5 / 8, sizeof(RouteRow), 96, 16384)) &&
                   made.keys.allocate(pool, rows(share / 4, sizeof(KeyRow), 64, 65536)) &&
                   made.counters.allocate(pool, rows(share / 8, sizeof(CounterRow), 64, 8192));
    if (!is_made) {
        release_tables(made, pool);
    }
    return is_made;
}

bool release_metrics(const Config &config) {
    auto *made = zone_part<MetricsPart>(config, ZonePart::metrics);
    ZoneLock lock(zone_pool(config));
    if (made == nullptr || made->counters.capacity() == 0 || made->routes.size() > 0) {
        return false;
    }
    release_tables(*made, zone_pool(config));
    return true;
}

MetricsPart *metrics_part() {
    return part;
}

void open_metrics(const Config &config) {
    part = zone_part<MetricsPart>(config, ZonePart::metrics);
    known_routes.forget();
    known_keys.forget();
    known_counters.forget();
    pool = zone_pool(config);
    if (part == nullptr) {
        return;
    }
    // Where the state of before has taken their room they are as large as they can be.
    constexpr size_t kLeast = 128 << 10;
    size_t size = config.zone->shm.size;
    while (!init_metrics(part, pool, size) && size > kLeast) {
        size /= 2;
    }
    if (part->counters.capacity() == 0) {
        ngx_log_error(NGX_LOG_ERR, ngx_cycle->log, 0,
                      "llm: the zone is too small for metrics, see llm_zone");
        part = nullptr;
        return;
    }
    claim_held();
    // These have a place before clients can fill the tables.
    (void)route_row({}, {}, {});
    (void)key_row({}, {});
}

}  // namespace llm
