// Gauges: what holds at this moment, asked for when the page is rendered. A new one is a row in
// state/metrics.def and a function here; it must not hold a lock that requests wait for while it
// formats (copy out, unlock, then add).
#include "ngx_llm_module/observe/budgets.hpp"
#include "ngx_llm_module/redis/client.hpp"
#include "ngx_llm_module/state/health.hpp"
#include "ngx_llm_module/state/inflight.hpp"
#include "ngx_llm_module/state/meters.hpp"

namespace llm {
namespace {

void collect_in_flight(const Config &config, MetricsPage &page) {
    SharedZone *zone = shared_zone(config);
    if (zone == nullptr) {
        return;
    }
    uint32_t slots = zone->slot_count;
    std::vector<uint32_t> counts(slots + 1);
    InFlight sum = count_in_flight(config, 0, counts);
    page.add(Metric::in_flight, {}, sum.total);
    page.add(Metric::workers, {}, sum.rows);
    for (uint32_t slot = 0; slot < slots; slot++) {
        page.add(Metric::deployment_in_flight, {zone->slots[slot].text}, counts[slot]);
    }
}

void collect_zone(const Config &config, MetricsPage &page) {
    if (ngx_slab_pool_t *pool = zone_pool(config)) {
        page.add(Metric::zone_size, {}, int64_t(config.zone->shm.size));
        page.add(Metric::zone_free, {}, int64_t(pool->pfree * ngx_pagesize));
    }
    if (MetricsPart *part = metrics_part()) {
        page.add(Metric::stream_bytes, {}, held_bytes());
        page.add(Metric::series, {"routes"}, part->routes.size());
        page.add(Metric::series, {"keys"}, part->keys.size());
        page.add(Metric::series, {"counters"}, part->counters.size());
    }
}

void collect_limits(const Config &config, MetricsPage &page) {
    if (const Meters *meters = find_meters(config)) {
        page.add(Metric::limit_cells, {"counters"}, meters->meter_count);
        page.add(Metric::limit_cells, {"counters_used"}, int64_t(meters->meters_used.load()));
        page.add(Metric::limit_cells, {"requests"}, meters->lease_count);
        page.add(Metric::limit_cells, {"requests_used"}, int64_t(meters->leases_used.load()));
    }
}

// A deployment on trial takes a request: it is up as far as anybody knows.
void collect_health(const Config &config, MetricsPage &page) {
    SharedZone *zone = shared_zone(config);
    for (uint32_t slot = 0; zone != nullptr && slot < zone->slot_count; slot++) {
        bool is_up = availability(config, slot) != Availability::cooling;
        page.add(Metric::deployment_state, {zone->slots[slot].text}, is_up);
    }
}

void collect_redis(const Config &, MetricsPage &page) {
    if (const RedisClient *store = redis()) {
        page.add(Metric::redis_up, {}, store->is_up());
    }
}

using Collector = void (*)(const Config &config, MetricsPage &page);

constexpr Collector kCollectors[] = {
    collect_in_flight, collect_health, collect_zone, collect_limits, collect_redis, collect_budgets,
};

}  // namespace

void collect(const Config &config, MetricsPage &page) {
    for (Collector collector : kCollectors) {
        collector(config, page);
    }
}

}  // namespace llm
