// What was spent, by whom and on what, for every day and in all: a bounded table in the zone, and
// a ring of the latest requests. When the table is full the oldest day goes; the sums of all days
// stay. Names that clients choose (customers, tags, models that only a pattern allows) have a half
// of it, so that they push out no key, team, user or model of the configuration. Entries are booked
// under the pool's mutex, a few hundred bytes at a time.
#pragma once

#include <algorithm>
#include <atomic>
#include <span>
#include <string>
#include <vector>

#include "ngx_llm_module/conf/config.hpp"

namespace llm {

class StateWriter;

// free_model: a model whose name is the client's, for the configuration has a pattern only. What is
// read of all machines shows it as a model.
enum class SpendOf : uint8_t {
    all,
    key,
    team,
    user,
    customer,
    tag,
    model,
    provider,
    free_model,
    count
};

struct SpendNumbers {
    int64_t requests = 0;
    int64_t failed = 0;
    int64_t input = 0;
    int64_t output = 0;
    int64_t cache_read = 0;
    int64_t cache_write = 0;
    int64_t cost = 0;  // nano-dollars

    void add(const SpendNumbers &other);
    bool has_delivered() const { return input > 0 || output > 0 || cost > 0; }
};

// In the order in which they are written.
constexpr int64_t SpendNumbers::*kSpendFields[] = {
    &SpendNumbers::requests, &SpendNumbers::failed,     &SpendNumbers::input,
    &SpendNumbers::output,   &SpendNumbers::cache_read, &SpendNumbers::cache_write,
    &SpendNumbers::cost,
};

constexpr size_t kSpendName = 94;
constexpr uint32_t kAllDays = 0;

struct SpendRow {
    uint32_t day = kAllDays;  // since 1970, UTC
    SpendOf of = SpendOf::all;
    uint8_t size = 0;
    char name[kSpendName] = {};
    SpendNumbers numbers;
    uint64_t changed = 0;  // the table's generation with its last change

    std::string_view view() const { return {name, size}; }
};

// One request, as the list of recent ones shows it. Texts are cut to fit.
struct RecentRequest {
    int64_t ended = 0;  // Unix time in milliseconds; 0: no request
    uint32_t duration = 0;
    uint32_t first_content = 0;  // milliseconds from the begin; 0: there was none
    uint32_t overhead = 0;
    uint16_t attempts = 0;
    uint16_t fallbacks = 0;
    uint8_t outcome = 0;
    uint8_t is_stream = 0;
    SpendNumbers numbers;
    char id[32] = {};
    char key[64] = {};    // hash that it is counted under
    char alias[48] = {};  // of the key
    char team[48] = {};
    char user[64] = {};
    char model[80] = {};
    char upstream_model[80] = {};
    char provider[48] = {};
    char deployment[80] = {};
    char error[32] = {};
};

struct SpendName {
    SpendOf of;
    std::string_view name;
};

// How this table is known to other machines (policy/shared_spend.hpp).
struct SpendShare {
    char id[40];                      // of this table: a new one has a name of its own
    char epoch[64];                   // of the sums in Redis that it is a part of
    std::atomic<uint64_t> published;  // generation that Redis has seen
    std::atomic<uint64_t> number;     // of the last command with rows
    std::atomic<uint32_t> is_owed;    // a worker ended, and could not send what Redis lacks
};

// In the zone.
struct SpendPart {
    uint32_t capacity;
    uint32_t count;
    uint32_t free_names;  // rows whose names clients choose
    uint32_t told;        // the day of the latest warning
    uint32_t mask;
    uint32_t is_rebuilding;  // the index is not to be trusted
    uint32_t ring_size;
    uint64_t ring_next;
    std::atomic<uint64_t> generation;  // of every change
    uint64_t moves;                    // times that rows changed their places
    SpendRow *rows;
    uint32_t *index;  // number of a row + 1
    RecentRequest *ring;
    SpendShare share;
};

// Of a new part. False: the zone is too small.
bool init_spend(void *part, ngx_slab_pool_t *pool, size_t zone_size);

// The least zone whose table has rows for so many names, each for a day and for all of them.
size_t zone_size_for_spend(size_t names);

// At the start of a worker.
void open_spend(const Config &config);

// Books one request under each of the names (and under `all`), for its day and in all. A free model
// begins with the first request that delivered something: names that lead nowhere take no row.
void book_spend(std::span<const SpendName> names, const SpendNumbers &numbers,
                const RecentRequest &recent);

// Copies, in pieces: nobody waits for it. `since`: only rows that a later generation changed.
std::vector<SpendRow> read_spend(const Config &config, uint64_t since = 0);
std::vector<RecentRequest> read_recent(const Config &config, size_t most);  // latest first
// Of one name, all days together or on one of them.
SpendNumbers spent(const Config &config, SpendOf of, std::string_view name,
                   uint32_t day = kAllDays);
// Whether its rows are its own: others that begin like a very long one share them, and "other" is
// what had no room.
bool has_own_rows(std::string_view name);

// As a row has it: cut, and without bytes that would break a line of text.
std::string kept_name(std::string_view name);

// Anybody who may send a request can make as many of them as he likes.
bool is_chosen_by_client(SpendOf of, std::string_view name);

// Null: there is no zone.
SpendPart *spend_part(const Config &config);
// Under the pool's mutex.
void set_epoch(const Config &config, std::string_view epoch);

// --- the section "spend" of the state file ---
uint64_t spend_generation(const Config &config);
void save_spend(const Config &config, StateWriter &out);
bool load_spend(const Config &config, std::string_view text);

template <size_t kSize>
void set_text(char (&to)[kSize], std::string_view text) {
    size_t size = text.size() < kSize ? text.size() : kSize - 1;
    std::copy_n(text.data(), size, to);  // nothing may stand nowhere
    to[size] = '\0';
}

template <size_t kSize>
std::string_view text_of(const char (&from)[kSize]) {
    return {from, ngx_strnlen(reinterpret_cast<u_char *>(const_cast<char *>(from)), kSize)};
}

}  // namespace llm
