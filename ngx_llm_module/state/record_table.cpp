#include "ngx_llm_module/state/record_table.hpp"

#include <signal.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <vector>

#include "ngx_llm_module/state/lock_check.hpp"
#include "ngx_llm_module/state/zone_lock.hpp"

namespace llm {

// What a record has beside its JSON.
struct Stamp {
    uint64_t version = 0;
    uint64_t base = 0;
    uint32_t standing = 0;

    // One that is loaded from the state file is taken for one that Redis has.
    uint64_t known_base() const { return base == kUnknownBase ? version : base; }
    // It was changed here, and Redis has not heard of it.
    bool is_apart() const { return known_base() != version; }
};

// Id and JSON follow in the same piece of memory.
struct SharedRecord {
    SharedRecord *next;
    uint64_t version;
    uint64_t base;  // the last version that Redis had of it, as far as is known
    uint32_t hash;
    uint32_t room;       // what was allocated for it
    uint32_t json_size;  // 0: deleted, remembered so that no older version comes back
    uint32_t standing;   // kSettled, kLeft, or the pid of the worker that is sharing it
    uint16_t id_size;
    RecordKind kind;

    char *bytes() { return reinterpret_cast<char *>(this + 1); }
    std::string_view id() { return {bytes(), id_size}; }
    std::string_view json() { return {bytes() + id_size, json_size}; }
    Stamp stamp() const { return {version, base, standing}; }
    void set(const Stamp &stamp) {
        version = stamp.version;
        base = stamp.base;
        standing = stamp.standing;
    }
};

namespace {

constexpr uint32_t kSettled = 0;
constexpr uint32_t kLeft = UINT32_MAX;

bool is_on_its_way(const Config &config, uint32_t standing) {
    return standing != kSettled && config.redis != nullptr;
}

bool is_orphan(uint32_t standing) {
    return standing == kLeft ||
           (standing != kSettled && kill(pid_t(standing), 0) != 0 && ngx_errno == NGX_ESRCH);
}

constexpr uint64_t kSecond = 1000000;  // of versions, which are times in microseconds
// A deletion is remembered until no older version of the record can come any more: from the state
// file, into which each worker writes its own changes, or from a look into Redis that was under
// way. Less long where there is no room; longer with llm_redis, until Redis knows of it.
constexpr uint64_t kRemembered = 60 * kSecond;
constexpr uint64_t kRememberedLeast = kSecond / 10;
// So many buckets are looked through for old ones with each change.
constexpr uint32_t kSwept = 16;
// A record keeps so much free for the day when it says that it is blocked. With that it takes as
// much as without, or one that was read from the state file as blocked could have no room to be
// unblocked.
constexpr size_t kSpare = 32;
constexpr std::string_view kBlocked = "\"blocked\":true";

// FNV-1a. The ids of keys are hashes already; those of others are given by the administrator.
uint32_t hash_of(RecordKind kind, std::string_view id) {
    uint64_t hash = 0xcbf29ce484222325u ^ uint64_t(kind);
    for (unsigned char c : id) {
        hash = (hash ^ c) * 0x100000001b3u;
    }
    return uint32_t(hash ^ (hash >> 32));
}

// Not as of the last event: two machines are not to give one version to two changes of a record.
uint64_t now() {
    struct timeval time;
    ngx_gettimeofday(&time);
    return uint64_t(time.tv_sec) * kSecond + uint64_t(time.tv_usec);
}

SharedRecord **bucket_of(RecordsPart &part, uint32_t hash) {
    return &part.buckets[hash & (part.bucket_count - 1)];
}

// Where the pointer to the record stands, or would stand.
SharedRecord **find_place(RecordsPart &part, RecordKind kind, std::string_view id, uint32_t hash) {
    SharedRecord **place = bucket_of(part, hash);
    while (*place != nullptr) {
        SharedRecord &record = **place;
        if (record.hash == hash && record.kind == kind && record.id() == id) {
            return place;
        }
        place = &record.next;
    }
    return place;
}

// As much as the pool takes for it anyway.
size_t room_for(size_t size) {
    return size > ngx_pagesize / 2 ? ngx_align(size, ngx_pagesize) : std::bit_ceil(size);
}

SharedRecord *allocate(ngx_slab_pool_t *pool, size_t size) {
    auto *record = static_cast<SharedRecord *>(ngx_slab_alloc_locked(pool, room_for(size)));
    if (record != nullptr) {
        record->room = uint32_t(room_for(size));
    }
    return record;
}

size_t size_of(std::string_view id, std::string_view json) {
    size_t used = json.find(kBlocked) == std::string_view::npos ? 0 : kBlocked.size() + 1;
    size_t spare = json.empty() ? 0 : kSpare - used;
    return sizeof(SharedRecord) + id.size() + json.size() + spare;
}

void fill(SharedRecord &record, RecordKind kind, std::string_view id, std::string_view json,
          uint32_t hash) {
    record = {
        nullptr, 0, 0, hash, record.room, uint32_t(json.size()), kSettled, uint16_t(id.size()),
        kind};
    std::copy(id.begin(), id.end(), record.bytes());
    std::copy(json.begin(), json.end(), record.bytes() + id.size());
}

// One store makes the new record visible and the old one invisible.
void publish(ngx_slab_pool_t *pool, SharedRecord **place, SharedRecord *record) {
    SharedRecord *old = *place;
    record->next = old != nullptr ? old->next : nullptr;
    *place = record;
    if (old != nullptr) {
        ngx_slab_free_locked(pool, old);
    }
}

// Makes what stands in for a record that record again, with these contents.
void put_back(RecordsPart &part, SharedRecord **place, std::string_view json, const Stamp &stamp) {
    SharedRecord *copy = part.stand_in;
    SharedRecord *record = part.rewritten;
    fill(*record, copy->kind, copy->id(), json, copy->hash);
    record->set(stamp);
    record->next = copy->next;
    ngx_memory_barrier();
    *place = record;
}

// The record that stands there gets other contents, for which it has room. At every moment the old
// or the new one is to be found: barriers keep the order.
void rewrite(RecordsPart &part, ngx_slab_pool_t *pool, SharedRecord **place, std::string_view json,
             const Stamp &stamp) {
    need_lock(pool);
    SharedRecord *record = *place;
    SharedRecord *copy = part.stand_in;
    fill(*copy, record->kind, record->id(), record->json(), record->hash);
    copy->set(record->stamp());
    copy->next = record->next;
    part.rewritten = record;
    ngx_memory_barrier();
    *place = copy;
    ngx_memory_barrier();
    put_back(part, place, json, stamp);
}

// After a process that was killed in the middle of that: the old contents hold.
void end_rewrite(RecordsPart &part) {
    SharedRecord *copy = part.stand_in;
    SharedRecord **place = bucket_of(part, copy->hash);
    while (*place != nullptr && *place != copy) {
        place = &(*place)->next;
    }
    if (*place != nullptr) {
        put_back(part, place, copy->json(), copy->stamp());
    }
}

bool can_rewrite(const SharedRecord *old, std::string_view id, std::string_view json) {
    return old != nullptr && size_of(id, json) <= old->room;
}

void forget_deleted(ngx_slab_pool_t *pool, SharedRecord **bucket, uint64_t before, bool has_redis) {
    for (SharedRecord **place = bucket; *place != nullptr;) {
        SharedRecord *record = *place;
        if (record->json_size == 0 && record->version < before &&
            (record->base == record->version || !has_redis)) {
            *place = record->next;
            ngx_slab_free_locked(pool, record);
        } else {
            place = &record->next;
        }
    }
}

// The state file is read in any order: nothing is forgotten before its end.
bool may_forget(const Config &config, const RecordsPart &part) {
    return config.state_path.empty() || part.is_loaded != 0;
}

// A part of the table, another one each time.
void sweep(const Config &config, RecordsPart &part) {
    if (!may_forget(config, part)) {
        return;
    }
    uint64_t before = now() - kRemembered;
    for (uint32_t i = 0; i < std::min(kSwept, part.bucket_count); i++) {
        part.swept = (part.swept + 1) & (part.bucket_count - 1);
        forget_deleted(zone_pool(config), &part.buckets[part.swept], before,
                       config.redis != nullptr);
    }
}

// All of it, for there is no room.
void sweep_all(const Config &config, RecordsPart &part) {
    bool is_alone = config.state_path.empty() && config.redis == nullptr;
    uint64_t before = is_alone ? UINT64_MAX : now() - kRememberedLeast;
    for (uint32_t i = 0; may_forget(config, part) && i < part.bucket_count; i++) {
        forget_deleted(zone_pool(config), &part.buckets[i], before, config.redis != nullptr);
    }
}

// Null: no room.
SharedRecord *make_record(const Config &config, RecordsPart &part, RecordKind kind,
                          std::string_view id, std::string_view json, uint32_t hash) {
    SharedRecord *record = allocate(zone_pool(config), size_of(id, json));
    if (record == nullptr) {
        sweep_all(config, part);
        record = allocate(zone_pool(config), size_of(id, json));
    }
    if (record != nullptr) {
        fill(*record, kind, id, json, hash);
    }
    return record;
}

bool is_too_large(std::string_view id, std::string_view json) {
    return id.size() > kMaxRecordId || json.size() > kMaxRecord;
}

bool has_bytes(SharedRecord &record, std::string_view bytes) {
    std::string_view json = record.json();
    return !json.empty() && (bytes.empty() || memmem(json.data(), json.size(), bytes.data(),
                                                     bytes.size()) != nullptr);
}

struct Copy {
    RecordKind kind;
    std::string id;
    std::string json;
    uint64_t version;
    uint64_t base;
};

// From this bucket on; gives where the next piece begins, 0 at the end. `is_wanted` is asked while
// the zone is locked.
template <class IsWanted, class Visit>
uint32_t visit_piece(const Config &config, uint32_t first, IsWanted is_wanted, const Visit &visit) {
    constexpr uint32_t kBuckets = 64;  // while the zone is locked
    auto *part = zone_part<RecordsPart>(config, ZonePart::records);
    if (part == nullptr || first >= part->bucket_count) {
        return 0;
    }
    std::vector<Copy> copies;
    uint32_t end = std::min(first + kBuckets, part->bucket_count);
    {
        ZoneLock lock(zone_pool(config));
        for (uint32_t i = first; i < end; i++) {
            for (SharedRecord *at = part->buckets[i]; at != nullptr; at = at->next) {
                if (is_wanted(*at)) {
                    copies.push_back(
                        {at->kind, std::string(at->id()), std::string(at->json()), at->version});
                }
            }
        }
    }
    for (const Copy &copy : copies) {
        visit(copy);
    }
    return end < part->bucket_count ? end : 0;
}

template <class IsWanted, class Visit>
void visit_copies(const Config &config, IsWanted is_wanted, const Visit &visit) {
    uint32_t first = 0;
    do {
        first = visit_piece(config, first, is_wanted, visit);
    } while (first != 0);
}

auto in_parts(const VisitRecord &visit) {
    return [&visit](const Copy &copy) { visit(copy.kind, copy.id, copy.json, copy.version); };
}

bool is_mine(const SharedRecord *record) {
    return record != nullptr && record->standing == uint32_t(ngx_pid);
}

// A record is there with this version and this JSON. False: no room.
bool put(const Config &config, RecordsPart &part, RecordKind kind, std::string_view id,
         std::string_view json, const Stamp &stamp) {
    ngx_slab_pool_t *pool = zone_pool(config);
    uint32_t hash = hash_of(kind, id);
    SharedRecord *record = make_record(config, part, kind, id, json, hash);
    SharedRecord **place = find_place(part, kind, id, hash);  // others may have been forgotten
    if (record != nullptr) {
        record->set(stamp);
        publish(pool, place, record);
    } else if (can_rewrite(*place, id, json)) {
        rewrite(part, pool, place, json, stamp);
    } else {
        return false;
    }
    part.generation.fetch_add(1, std::memory_order_release);
    return true;
}

// One that never was: a change of it was taken back.
void forget_unmade(ngx_slab_pool_t *pool, SharedRecord **place) {
    SharedRecord *record = *place;
    if (record->version == 0 && record->json_size == 0) {
        *place = record->next;
        ngx_slab_free_locked(pool, record);
    }
}

// Those of these changes that this worker is on its way with stand so.
void set_standing(const Config &config, std::span<const RecordChange> changes, uint32_t standing) {
    auto *part = zone_part<RecordsPart>(config, ZonePart::records);
    if (part == nullptr) {
        return;
    }
    ZoneLock lock(zone_pool(config));
    end_rewrite(*part);
    for (const RecordChange &change : changes) {
        uint32_t hash = hash_of(change.kind, change.id);
        SharedRecord **place = find_place(*part, change.kind, change.id, hash);
        if (is_mine(*place)) {
            (*place)->standing = standing;
            if (standing == kSettled) {
                forget_unmade(zone_pool(config), place);
            }
        }
    }
}

}  // namespace

bool init_records(void *made, ngx_slab_pool_t *pool, size_t zone_size) {
    RecordsPart &part = *static_cast<RecordsPart *>(made);
    // A record takes at least a quarter of this: the chains stay short until the zone is full.
    constexpr size_t kBytesPerBucket = 1024;
    uint32_t count = 1;
    while (count * 2 <= zone_size / kBytesPerBucket) {
        count *= 2;
    }
    part.buckets =
        static_cast<SharedRecord **>(ngx_slab_calloc(pool, count * sizeof(SharedRecord *)));
    part.bucket_count = count;
    ZoneLock lock(pool);
    part.stand_in = allocate(pool, sizeof(SharedRecord) + kMaxRecordId + kMaxRecord + kSpare);
    if (part.buckets == nullptr || part.stand_in == nullptr) {
        return false;
    }
    fill(*part.stand_in, RecordKind::key, {}, {}, 0);
    return true;
}

StoredRecord find_record(const Config &config, RecordKind kind, std::string_view id) {
    StoredRecord found;
    auto *part = zone_part<RecordsPart>(config, ZonePart::records);
    if (part == nullptr || id.size() > kMaxRecordId) {
        return found;
    }
    uint32_t hash = hash_of(kind, id);
    ZoneLock lock(zone_pool(config));
    if (SharedRecord *record = *find_place(*part, kind, id, hash)) {
        found.json = record->json();
        found.version = record->version;
    }
    return found;
}

uint64_t records_generation(const Config &config) {
    auto *part = zone_part<RecordsPart>(config, ZonePart::records);
    return part != nullptr ? part->generation.load(std::memory_order_acquire) : 0;
}

Changed change_records(const Config &config, std::span<RecordChange> changes,
                       std::optional<uint64_t> generation) {
    auto *part = zone_part<RecordsPart>(config, ZonePart::records);
    ngx_slab_pool_t *pool = zone_pool(config);
    if (part == nullptr) {
        return Changed::full;
    }
    uint64_t time = now();
    uint32_t standing = config.redis != nullptr ? uint32_t(ngx_pid) : kSettled;
    std::vector<SharedRecord *> made;
    made.reserve(changes.size());
    ZoneLock lock(pool);
    end_rewrite(*part);
    if (generation && part->generation.load(std::memory_order_relaxed) != *generation) {
        return Changed::conflict;
    }
    Changed result = Changed::done;
    for (const RecordChange &change : changes) {
        uint32_t hash = hash_of(change.kind, change.id);
        SharedRecord *old = *find_place(*part, change.kind, change.id, hash);
        if ((old != nullptr ? old->version : 0) != change.expected) {
            result = Changed::conflict;
            break;
        }
        if (old != nullptr && is_on_its_way(config, old->standing)) {
            result = Changed::busy;
            break;
        }
        SharedRecord *record =
            is_too_large(change.id, change.json)
                ? nullptr
                : make_record(config, *part, change.kind, change.id, change.json, hash);
        old = *find_place(*part, change.kind, change.id, hash);  // it may have been forgotten
        if (record == nullptr &&
            (is_too_large(change.id, change.json) || !can_rewrite(old, change.id, change.json))) {
            result = Changed::full;
            break;
        }
        made.push_back(record);  // null: where the old one is
    }
    if (result != Changed::done) {
        for (SharedRecord *record : made) {
            if (record != nullptr) {
                ngx_slab_free_locked(pool, record);
            }
        }
        return result;
    }
    for (size_t i = 0; i < changes.size(); i++) {
        part->last_version = std::max(part->last_version + 1, time);
        changes[i].version = part->last_version;
        uint32_t hash = hash_of(changes[i].kind, changes[i].id);
        SharedRecord **place = find_place(*part, changes[i].kind, changes[i].id, hash);
        changes[i].before = *place != nullptr ? (*place)->json() : std::string_view();
        changes[i].base = *place != nullptr ? (*place)->stamp().known_base() : 0;
        Stamp stamp{part->last_version, changes[i].base, standing};
        if (made[i] != nullptr) {
            made[i]->set(stamp);
            publish(pool, place, made[i]);
        } else {
            rewrite(*part, pool, place, changes[i].json, stamp);
        }
    }
    sweep(config, *part);
    part->generation.fetch_add(1, std::memory_order_release);
    return result;
}

Merged merge_record(const Config &config, RecordKind kind, std::string_view id,
                    std::string_view json, uint64_t version, uint64_t base) {
    auto *part = zone_part<RecordsPart>(config, ZonePart::records);
    if (part == nullptr || is_too_large(id, json)) {
        return Merged::full;
    }
    ZoneLock lock(zone_pool(config));
    end_rewrite(*part);
    SharedRecord *old = *find_place(*part, kind, id, hash_of(kind, id));
    if (old != nullptr && is_on_its_way(config, old->standing)) {
        return old->version == version ? Merged::done : Merged::later;
    }
    if (old != nullptr && old->version >= version) {
        return Merged::done;
    }
    if (old != nullptr && config.redis != nullptr && old->stamp().is_apart()) {
        return Merged::apart;
    }
    if (!put(config, *part, kind, id, json, {version, base, kSettled})) {
        return Merged::full;
    }
    part->last_version = std::max(part->last_version, version);
    sweep(config, *part);
    return Merged::done;
}

void settle_records(const Config &config, std::span<const RecordChange> changes) {
    set_standing(config, changes, kSettled);
}

void leave_records(const Config &config, std::span<const RecordChange> changes) {
    set_standing(config, changes, kLeft);
    if (auto *part = zone_part<RecordsPart>(config, ZonePart::records)) {
        part->left.fetch_add(1);
    }
}

bool take_back_records(const Config &config, std::span<const RecordChange> changes) {
    auto *part = zone_part<RecordsPart>(config, ZonePart::records);
    if (part == nullptr) {
        return true;
    }
    bool has_room = true;
    ZoneLock lock(zone_pool(config));
    end_rewrite(*part);
    for (const RecordChange &change : changes) {
        SharedRecord *now =
            *find_place(*part, change.kind, change.id, hash_of(change.kind, change.id));
        if (now != nullptr && now->version == change.version) {
            has_room = put(config, *part, change.kind, change.id, change.before,
                           {change.expected, now->base, now->standing}) &&
                       has_room;
        }
    }
    return has_room;
}

std::vector<RecordChange> adopt_records(const Config &config) {
    std::vector<RecordChange> orphans;
    auto is_left = [](SharedRecord &record) {
        bool is_so = is_orphan(record.standing);
        record.standing = is_so ? uint32_t(ngx_pid) : record.standing;
        return is_so;
    };
    visit_copies(config, is_left, [&](const Copy &copy) {
        orphans.push_back({copy.kind, copy.id, copy.json, 0, copy.version, 0, {}});
    });
    return orphans;
}

void for_each_settled(const Config &config,
                      const std::function<void(const RecordChange &)> &visit) {
    visit_copies(
        config, [&](SharedRecord &record) { return !is_on_its_way(config, record.standing); },
        [&](const Copy &copy) {
            Stamp stamp{copy.version, copy.base, kSettled};
            visit({copy.kind, copy.id, copy.json, 0, copy.version, stamp.known_base(), {}});
        });
}

void note_shared(const Config &config, RecordKind kind, std::string_view id, uint64_t version) {
    auto *part = zone_part<RecordsPart>(config, ZonePart::records);
    if (part == nullptr || id.size() > kMaxRecordId) {
        return;
    }
    uint32_t hash = hash_of(kind, id);
    ZoneLock lock(zone_pool(config));
    SharedRecord *record = *find_place(*part, kind, id, hash);
    if (record != nullptr && record->version == version) {
        record->base = version;
    }
}

void for_each_record(const Config &config, const VisitRecord &visit) {
    visit_copies(
        config, [](SharedRecord &record) { return record.version != 0; }, in_parts(visit));
}

void for_each_record(const Config &config, RecordKind kind, std::string_view bytes,
                     const VisitRecord &visit) {
    visit_copies(
        config,
        [&](SharedRecord &record) { return record.kind == kind && has_bytes(record, bytes); },
        in_parts(visit));
}

uint32_t for_some_records(const Config &config, uint32_t from, std::string_view bytes,
                          const VisitRecord &visit) {
    return visit_piece(
        config, from, [&](SharedRecord &record) { return has_bytes(record, bytes); },
        in_parts(visit));
}

}  // namespace llm
