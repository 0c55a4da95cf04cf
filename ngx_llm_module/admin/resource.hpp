// What the resources of the admin API have in common: records as they are stored now, changes of
// them, checks, lists.
#pragma once

#include <functional>
#include <initializer_list>
#include <optional>

#include "ngx_llm_module/admin/admin.hpp"
#include "ngx_llm_module/policy/record_json.hpp"
#include "ngx_llm_module/policy/shared_spend.hpp"

namespace llm {

constexpr size_t kMaxId = 256;

// A record as it is stored now, not as some worker remembers it.
template <class Record>
struct Loaded {
    Record record;
    uint64_t version = 0;
    bool exists = false;
};

template <class Record>
Loaded<Record> load_record(const AdminCall &call, RecordKind kind, const std::string &id) {
    Loaded<Record> loaded;
    StoredRecord stored = find_record(call.config, kind, id);
    loaded.version = stored.version;
    loaded.exists = !stored.json.empty() && read_stored(stored.json, id, loaded.record);
    return loaded;
}

template <class Record>
void store_record(AdminAnswer &answer, RecordKind kind, const std::string &id, const Record &record,
                  uint64_t expected) {
    answer.changes.push_back({kind, id, render_stored(record), expected, 0, 0, {}});
}

inline void delete_record(AdminAnswer &answer, RecordKind kind, const std::string &id,
                          uint64_t expected) {
    answer.changes.push_back({kind, id, "", expected, 0, 0, {}});
}

// What is wrong with the models that are named, or nothing. Those that `stood` there before are not
// judged again: a model may have left the configuration, and the rest of the record must go on.
FieldError check_models(const Config &config, const std::vector<std::string> &models,
                        const LimitSet &limits, const std::vector<std::string> &stood = {});
std::vector<std::string> named_models(const std::vector<std::string> &models,
                                      const LimitSet &limits);

AdminAnswer bad(const FieldError &error);

// The body may have these members only: true, or `error` says what is wrong.
inline bool has_only(const AdminCall &call, std::initializer_list<std::string_view> known,
                     FieldError &error) {
    return check_members(call.body, known, error);
}

// Records are sent back as they were shown. Of what only the gateway writes, created_at must be
// what stands; spend, updated_at and budget_reset_at move on and change nothing. But who sends just
// a spend of 0 for what has spent wants its budgets to begin anew. False: `error` says so.
bool keeps_what_stands(const AdminCall &call, const Moment &created, SpendOf of,
                       std::string_view name, FieldError &error);

// By the clock, not as of the last event: when a record is made.
Moment this_moment();

// A string, or nothing was said.
bool is_text(const AdminCall &call, std::string_view name);

// An id that the caller chose, or a new one. False: it cannot be one.
bool choose_id(const std::string &given, std::string &id);

inline FieldError alias_is_taken() {
    return {"key_alias", "already exists: another key has it"};
}

// What is wrong with the key as the call wants it, or nothing; `before`: as it is, if it is.
FieldError check_key(AdminCall &call, const KeyRecord &key, const KeyRecord *before = nullptr);

// The member "duration": from now on; null and "-1" are for ever. False: it cannot be understood,
// or stands beside another end (`expires`).
bool read_expiry(const AdminCall &call, int64_t &expires, FieldError &error);

// Visits the records of a kind that may have this string as this member (all, when it is empty).
// Whoever needs to be sure looks at the record.
void for_each_with(const Config &config, RecordKind kind, std::string_view member,
                   std::string_view value,
                   const std::function<void(const std::string &id, const std::string &json,
                                            uint64_t version)> &visit);

std::string lower_case(std::string text);

// A whole number from 1 to `most`. False: it is none.
bool read_count(const std::string &text, size_t most, size_t &count);

// A flag of a query, in the words that LiteLLM takes. Nothing: it is none.
std::optional<bool> flag_of(std::string text);

// page and size (or page_size) of the query.
struct Page {
    size_t number = 1;
    size_t size = 10;
    FieldError error;  // of what was given

    size_t first() const { return (number - 1) * size; }
    size_t count(size_t total) const { return (total + size - 1) / size; }
};
Page page_of(const AdminCall &call, size_t usual_size);

// A key that nobody can guess: 32 random letters and digits behind "sk-".
std::string make_secret();

// A key that was given, or its hash, as its hash.
std::string hash_of_key(const std::string &key);

// The member "spend": dollars, of all days.
void write_spend(const AdminCall &call, SpendOf of, std::string_view name, json::Writer &w);

// The object of a key, with its hash as "token" and what it has spent.
void write_key(const AdminCall &call, const KeyRecord &key, json::Writer &w);
// The same as a list, of all keys that have this member.
void write_keys_of(const AdminCall &call, std::string_view member, std::string_view value,
                   json::Writer &w);
// All of them are deleted with what they belong to; how many.
size_t delete_keys_of(const AdminCall &call, std::string_view member, std::string_view value,
                      AdminAnswer &answer);

// The change that makes this key, with a secret of its own unless one is given; what is answered
// is left to the caller. Without a change: the refusal.
AdminAnswer make_key(AdminCall &call, KeyRecord &key, std::string &secret);
// The members that say it, once.
void write_secret(const KeyRecord &key, const std::string &secret, json::Writer &w);

}  // namespace llm
