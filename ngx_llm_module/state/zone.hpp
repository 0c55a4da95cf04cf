// The shared memory zone: made when the configuration is read, adopted over a reload and by a new
// binary (zone_memory.hpp), laid out here. What lives in it belongs to its parts: meters.hpp and
// others.
//
// Every process owns one row, and what it holds is marked with it: a worker that dies cannot leave
// a count behind, whoever looks next takes its row back.
#pragma once

#include <atomic>

#include "ngx_llm_module/conf/config.hpp"

namespace llm {

constexpr uint32_t kRows = 128;       // processes at a time: workers, and old ones that drain
constexpr uint32_t kMaxSlots = 1024;  // deployments
constexpr uint32_t kNoSlot = UINT32_MAX;
constexpr size_t kSlotName = 96;

struct SharedSlotName {
    char text[kSlotName];  // the deployment's id, cut to fit
};

// What lives in the zone beside the names above: each part is one chunk of the slab pool that is
// made by its owner when the zone is new, and adopted with it.
enum class ZonePart : uint8_t { meters, records, health, metrics, spend, count };

struct SharedZone {
    uint32_t magic;
    uint32_t version;
    uint32_t size;    // of this struct: a mismatch is refused
    uint64_t layout;  // of all that is in it, as far as a binary can tell: see zone.cpp
    uint32_t slot_count;
    void *parts[size_t(ZonePart::count)];
    SharedSlotName slots[kMaxSlots];  // written while the configuration loads, append-only
};

static_assert(std::is_standard_layout_v<SharedZone>);
static_assert(std::atomic<uint32_t>::is_always_lock_free);

constexpr size_t kDefaultZoneSize = 8 << 20;

// The least size, from this one on, in which all parts and some keys have room.
size_t least_zone_size(size_t size);

// Asks nginx for the zone and gives every deployment its slot when it is there.
bool add_zone(ngx_conf_t *cf, Config &config);

// When the configuration is in use; null: it does not use the module.
void keep_zone(const Config *config);

SharedZone *shared_zone(const Config &config);

// A part of the zone; nothing when there is no zone (nothing uses the module).
template <class Part>
Part *zone_part(const Config &config, ZonePart which) {
    SharedZone *zone = shared_zone(config);
    return zone != nullptr ? static_cast<Part *>(zone->parts[size_t(which)]) : nullptr;
}

// The pool that the zone's parts take their memory from; its mutex guards them.
ngx_slab_pool_t *zone_pool(const Config &config);

}  // namespace llm
