// Keys, teams, users and customers that were made at run time, in shared memory: for each its JSON
// (policy/record_json.hpp) and a version, found by its id in a table that does not slow down as it
// grows. Readers copy; writers say which version they saw, so that no change is lost to another one
// that was made meanwhile.
//
// A record is replaced, never changed: a process that is killed while it writes leaves the old or
// the new one, and at worst a piece of memory that nobody uses. When the zone is full a new one
// that is no larger is written where the old one was, for which a copy stands in meanwhile: whoever
// is to be blocked, limited or deleted is so without a free byte.
#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ngx_llm_module/state/zone.hpp"

namespace llm {

enum class RecordKind : uint8_t { key, team, user, customer };
constexpr std::string_view kRecordKinds[] = {"key", "team", "user", "customer"};

constexpr size_t kMaxRecord = 64 * 1024;
constexpr size_t kMaxRecordId = 512;

struct SharedRecord;

struct RecordsPart {
    std::atomic<uint64_t> generation;  // rises with every change of any record
    std::atomic<uint32_t> keeper;      // pid of the worker that saves what changes (state_keeper)
    std::atomic<uint32_t> sharer;      // pid of the worker that follows Redis (shared_records)
    std::atomic<uint32_t> left;        // rises when a worker may have left records on their way
    uint32_t bucket_count;             // a power of two
    uint32_t is_loaded;                // the state file was read
    uint32_t swept;                    // the bucket that was looked through last
    std::atomic<uint64_t> saved[8];    // of each StateSection: its generation on the disk
    uint64_t last_version;
    SharedRecord **buckets;
    SharedRecord *stand_in;   // has room for any record
    SharedRecord *rewritten;  // the one that it stands in for, or did
};

// Of a new part. False: the zone is too small.
bool init_records(void *part, ngx_slab_pool_t *pool, size_t zone_size);

struct StoredRecord {
    std::string json;      // empty: there is none, or not any more
    uint64_t version = 0;  // 0: there never was one, as far as is known
};

StoredRecord find_record(const Config &config, RecordKind kind, std::string_view id);

// What was read while the generation was the same is still true.
uint64_t records_generation(const Config &config);

struct RecordChange {
    RecordKind kind = RecordKind::key;
    std::string id;
    std::string json;       // empty: delete it
    uint64_t expected = 0;  // the version that was seen
    // Filled by change_records:
    uint64_t version = 0;  // the one that it has now
    uint64_t base = 0;     // the one that Redis had when it was seen, as far as is known
    std::string before;    // the JSON that was there
};

constexpr uint64_t kUnknownBase = UINT64_MAX;  // it may be the record's own version, or none

enum class Changed : uint8_t {
    done,
    conflict,  // somebody else was faster: look again
    busy,      // a change of it is on its way to Redis: nobody knows yet what holds
    full,      // the zone has no room
};

// All of them or none. With a `generation` it is a conflict, too, when any record has changed
// since.
Changed change_records(const Config &config, std::span<RecordChange> changes,
                       std::optional<uint64_t> generation = {});

enum class Merged : uint8_t {
    done,
    later,  // the record is on its way to Redis: merge again what that says of it then
    apart,  // it was changed here while Redis was away: hand it in, then merge again
    full,   // the zone has no room
};

// A record that is known from elsewhere, with its version: taken over unless a newer one is here.
// An empty `json` is a deletion. `base`: the version that Redis has of it.
Merged merge_record(const Config &config, RecordKind kind, std::string_view id,
                    std::string_view json, uint64_t version, uint64_t base);

// With llm_redis a change is on its way, and no other is made of the record, until this says that
// its worker knows what holds.
void settle_records(const Config &config, std::span<const RecordChange> changes);
// What was there before is there again, under the version that it had, unless a newer one is here.
// The record stays on its way. False: the zone has no room.
bool take_back_records(const Config &config, std::span<const RecordChange> changes);
// The worker ends: another one may find out what became of them.
void leave_records(const Config &config, std::span<const RecordChange> changes);
// Those whose worker has gone become this one's. Their versions and JSON are what is here.
std::vector<RecordChange> adopt_records(const Config &config);
// Redis has this version. A deletion need not be remembered here for long then.
void note_shared(const Config &config, RecordKind kind, std::string_view id, uint64_t version);

// Copies, bucket by bucket: what changes meanwhile is visited as it was or as it is, and the zone
// is locked for a moment at a time. Deletions that are remembered have an empty `json`.
using VisitRecord = std::function<void(RecordKind kind, const std::string &id,
                                       const std::string &json, uint64_t version)>;
void for_each_record(const Config &config, const VisitRecord &visit);
// All but those that are on their way. As the version that was seen they have the last one that
// Redis had: another one than theirs when Redis was away.
void for_each_settled(const Config &config, const std::function<void(const RecordChange &)> &visit);
// Only those of one kind that are there and have these bytes in their JSON: others are not copied.
void for_each_record(const Config &config, RecordKind kind, std::string_view bytes,
                     const VisitRecord &visit);
// Some of them, of all kinds: from 0 on, then from what it gave; 0: those were the last ones.
uint32_t for_some_records(const Config &config, uint32_t from, std::string_view bytes,
                          const VisitRecord &visit);

}  // namespace llm
