// Making and adopting the shared zone. A reload, or a new binary, keeps the contents: slots of
// deployments are found again by their ids, and counters of requests that the old workers still
// carry stay true.
#include "ngx_llm_module/state/zone.hpp"

#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <cstddef>

#include "ngx_llm_module/base/guard.hpp"
#include "ngx_llm_module/state/health.hpp"
#include "ngx_llm_module/state/meters.hpp"
#include "ngx_llm_module/state/metrics.hpp"
#include "ngx_llm_module/state/record_table.hpp"
#include "ngx_llm_module/state/spend.hpp"
#include "ngx_llm_module/state/state_file.hpp"
#include "ngx_llm_module/state/zone_lock.hpp"
#include "ngx_llm_module/state/zone_memory.hpp"

namespace llm {
namespace {

constexpr uint32_t kMagic = 0x6c6c6d7a;
// Another number whenever something in the zone comes to mean something else: another binary may be
// at work in it.
constexpr uint32_t kVersion = 7;

struct PartRow {
    ZonePart part;
    uint32_t size;
    // Of a new one, which is all zeros. False: the zone is too small for it.
    bool (*init)(void *part, ngx_slab_pool_t *pool, size_t zone_size);
};

constexpr auto kParts = std::to_array<PartRow>({
    {ZonePart::meters, sizeof(Meters), init_meters},
    {ZonePart::health, sizeof(HealthPart), nullptr},
    {ZonePart::records, sizeof(RecordsPart), init_records},
    {ZonePart::metrics, sizeof(MetricsPart), init_metrics},
    {ZonePart::spend, sizeof(SpendPart), init_spend},
});

// Of a zone that is not large, for keys that are made at run time.
constexpr size_t kRoomForRecords = 64 << 10;
constexpr size_t kSizeStep = 64 << 10;

// What a binary must agree on with the one that made the zone: sizes, and which number is which
// metric.
uint64_t layout() {
    uint64_t hash = 0xcbf29ce484222325u;
    auto mix = [&hash](uint64_t number) { hash = (hash ^ number) * 0x100000001b3u; };
    for (size_t size : {sizeof(ngx_slab_pool_t), sizeof(Meter), sizeof(LeaseCell),
                        sizeof(SlotHealth), sizeof(RouteRow), sizeof(KeyRow), sizeof(CounterRow),
                        sizeof(SpendRow), sizeof(RecentRequest), size_t(SpendOf::count),
                        std::size(kRecordKinds), size_t(ngx_pagesize)}) {
        mix(size);
    }
    for (const PartRow &row : kParts) {
        mix(row.size);
    }
    for (const MetricRow &metric : kMetrics) {
        for (char c : metric.name) {
            mix(static_cast<unsigned char>(c));
        }
    }
    return hash;
}

bool is_ours(const SharedZone &zone) {
    return zone.magic == kMagic && zone.version == kVersion && zone.size == sizeof(SharedZone) &&
           zone.layout == layout();
}

// The same of a zone that is not mapped yet.
bool is_known(int memory, const ngx_slab_pool_t &pool) {
    SharedZone zone;
    auto head = offsetof(SharedZone, slot_count);
    off_t at = static_cast<u_char *>(pool.data) - static_cast<u_char *>(pool.addr);
    return pread(memory, &zone, head, at) == ssize_t(head) && is_ours(zone);
}

void say_other_version(ngx_shm_zone_t *shm_zone) {
    ngx_log_error(NGX_LOG_EMERG, shm_zone->shm.log, 0,
                  "llm: zone \"%V\" was made by another version of this module: restart nginx "
                  "instead of reloading it",
                  &shm_zone->shm.name);
}

// The last slot takes every deployment that has no place of its own.
uint32_t find_or_add_slot(SharedZone &zone, const std::string &id) {
    std::string name = id.substr(0, kSlotName - 1);
    for (uint32_t i = 0; i < zone.slot_count; i++) {
        if (name == zone.slots[i].text) {
            return i;
        }
    }
    if (zone.slot_count == kMaxSlots - 1) {
        return kMaxSlots - 1;
    }
    SharedSlotName &slot = zone.slots[zone.slot_count];
    memcpy(slot.text, name.c_str(), name.size() + 1);
    return zone.slot_count++;
}

// Null: it has no room.
SharedZone *make_zone(ngx_slab_pool_t *pool, size_t size) {
    pool->log_nomem = 0;  // whoever needs memory says what it means that there is none
    auto *zone = static_cast<SharedZone *>(ngx_slab_calloc(pool, sizeof(SharedZone)));
    if (zone == nullptr) {
        return nullptr;
    }
    for (const PartRow &row : kParts) {
        void *part = ngx_slab_calloc(pool, row.size);
        if (part == nullptr || (row.init != nullptr && !row.init(part, pool, size))) {
            return nullptr;
        }
        zone->parts[size_t(row.part)] = part;
    }
    zone->magic = kMagic;
    zone->version = kVersion;
    zone->size = sizeof(SharedZone);
    zone->layout = layout();
    pool->data = zone;
    return zone;
}

// Tried in memory that is given back: the slab pool alone knows how much it needs for itself.
bool is_large_enough(size_t size) {
    if (size <= sizeof(SharedZone)) {
        return false;
    }
    void *memory = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
        return true;
    }
    ngx_slab_pool_t *pool = init_pool(memory, size);
    SharedZone *zone = make_zone(pool, size);
    bool is_enough = zone != nullptr && pool->pfree * ngx_pagesize >= kRoomForRecords;
    munmap(memory, size);
    return is_enough;
}

void assign_slots(SharedZone &zone, Config &config) {
    for (auto *models : {&config.models, &config.direct}) {
        for (auto &model : *models) {
            for (Deployment &deployment : model->deployments) {
                deployment.slot = find_or_add_slot(zone, deployment.id);
            }
        }
    }
}

ngx_int_t init_zone(ngx_shm_zone_t *shm_zone, void *old_data) {
    Config &config = *static_cast<Config *>(shm_zone->data);
    auto *pool = reinterpret_cast<ngx_slab_pool_t *>(shm_zone->shm.addr);
    bool is_new = old_data == nullptr && !shm_zone->shm.exists;
    SharedZone *zone;

    if (is_new && ngx_test_config == 0) {
        is_new = !take_over_memory(*shm_zone, is_known);
        if (is_new) {
            make_memory(*shm_zone);
        }
        pool = reinterpret_cast<ngx_slab_pool_t *>(shm_zone->shm.addr);
    }
    if (!is_new) {
        zone = static_cast<SharedZone *>(pool->data);
        if (zone == nullptr || !is_ours(*zone)) {
            say_other_version(shm_zone);
            return NGX_ERROR;
        }
    } else {
        zone = make_zone(pool, shm_zone->shm.size);
        if (zone == nullptr) {
            ngx_log_error(NGX_LOG_EMERG, shm_zone->shm.log, 0, "llm: zone \"%V\" is too small",
                          &shm_zone->shm.name);
            return NGX_ERROR;
        }
    }
    {
        ZoneLock lock(pool);  // two masters may read their configurations
        assign_slots(*zone, config);
    }
    auto &records = *static_cast<RecordsPart *>(zone->parts[size_t(ZonePart::records)]);
    if (config.state_path.empty()) {
        return NGX_OK;
    }
    if (ngx_test_config == 0 && !own_state_file(config, shm_zone->shm.log, is_new)) {
        return NGX_ERROR;
    }
    if (records.is_loaded == 0) {
        if (!load_state(config, shm_zone->shm.log)) {
            return NGX_ERROR;
        }
        records.is_loaded = 1;
    }
    return NGX_OK;
}

// What has no row is counted under "other".
void warn_of_spend(ngx_conf_t *cf, const Config &config, size_t size) {
    constexpr size_t kStep = 1 << 20;
    size_t names = config.keys.size() + config.teams.size() + config.models.size();
    size_t least = zone_size_for_spend(names);
    if (least <= size) {
        return;
    }
    const ConfPlace &place = config.zone_place;
    std::string where;
    if (!place.file.empty()) {
        where = " in " + place.file + ":" + std::to_string(place.line);
    }
    ngx_log_error(NGX_LOG_WARN, cf->log, 0,
                  "llm: the zone has no room to tell what each of %uz keys, teams and models has "
                  "spent, llm_zone %uzm has%s",
                  names, (least + kStep - 1) / kStep, where.c_str());
}

}  // namespace

size_t least_zone_size(size_t size) {
    if (size >= kDefaultZoneSize || is_large_enough(size)) {
        return size;
    }
    size_t least = std::max(size, sizeof(SharedZone)) / kSizeStep * kSizeStep + kSizeStep;
    while (!is_large_enough(least)) {
        least += kSizeStep;
    }
    return least;
}

bool add_zone(ngx_conf_t *cf, Config &config) {
    ngx_str_t name = ngx_string("llm");
    size_t size = config.zone_size != 0 ? config.zone_size : kDefaultZoneSize;
    warn_of_spend(cf, config, size);
    config.zone = ngx_shared_memory_add(cf, &name, size, &ngx_http_llm_module);
    if (config.zone == nullptr) {
        return false;
    }
    config.zone->init = guard<init_zone, NGX_ERROR>;
    config.zone->data = &config;
    return true;
}

void keep_zone(const Config *config) {
    if (ngx_test_config == 0) {
        keep_memory(config);
    }
}

ngx_slab_pool_t *zone_pool(const Config &config) {
    if (config.zone == nullptr) {
        return nullptr;
    }
    return reinterpret_cast<ngx_slab_pool_t *>(config.zone->shm.addr);
}

SharedZone *shared_zone(const Config &config) {
    ngx_slab_pool_t *pool = zone_pool(config);
    return pool != nullptr ? static_cast<SharedZone *>(pool->data) : nullptr;
}

}  // namespace llm
