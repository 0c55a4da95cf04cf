// Records as JSON, in one form everywhere: in the zone, in the state file, in Redis, and, with
// every member shown, in the admin API. The names are those that users of LiteLLM's API know.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "ngx_llm_module/conf/records.hpp"
#include "translators/json/reader.hpp"
#include "translators/json/writer.hpp"

namespace llm {

enum class RecordForm : uint8_t {
    stored,  // what differs from a new record
    shown,   // every member, without what is ours alone
};

// The members of a record, without the braces: others may follow.
void write_members(const KeyRecord &record, RecordForm form, json::Writer &w);
void write_members(const TeamRecord &record, RecordForm form, json::Writer &w);
void write_members(const UserRecord &record, RecordForm form, bool is_customer, json::Writer &w);

std::string render_stored(const KeyRecord &record);
std::string render_stored(const TeamRecord &record);
std::string render_stored(const UserRecord &record);

// What is wrong with a member; static text.
struct FieldError {
    std::string param;
    std::string_view what;
};

// Changes what the object says and leaves the rest; null means none. Members of `known` belong to
// the caller. A member that is not known is an error unless it says nothing (null, false, empty):
// a limit that is misspelled must not be one that does not hold. Nor must one that is empty, where
// a script had nothing to put in: an empty text is a text, so it is none for members that are texts
// (key_alias, team_id), and wrong where a number, a time or one of several words is meant.
bool apply_members(json::Value object, std::span<const std::string_view> known, KeyRecord &record,
                   FieldError &error);
bool apply_members(json::Value object, std::span<const std::string_view> known, TeamRecord &record,
                   FieldError &error);
bool apply_members(json::Value object, std::span<const std::string_view> known, UserRecord &record,
                   FieldError &error);

// An object that may have these members; others are an error as they are in apply_members.
bool check_members(json::Value object, std::span<const std::string_view> known, FieldError &error);

// Only these members, and no others.
bool apply_only(json::Value object, std::span<const std::string_view> names, KeyRecord &record,
                FieldError &error);

// What render_stored has written, here or in a later version of this module (then it may have
// members that are unknown: they are ignored). False: it cannot be understood, or needs more than
// is known here.
bool read_stored(std::string_view json, std::string_view id, KeyRecord &record,
                 bool *has_unknown = nullptr);
bool read_stored(std::string_view json, std::string_view id, TeamRecord &record,
                 bool *has_unknown = nullptr);
bool read_stored(std::string_view json, std::string_view id, UserRecord &record,
                 bool *has_unknown = nullptr);

// Is it blocked? A text that cannot be understood is.
bool is_stored_blocked(std::string_view json);

// created_at of such a text, without reading the rest.
Moment stored_creation(std::string_view json);

// Texts of keys that expire have it.
constexpr std::string_view kStoredEnd = "\"expires\":\"";
// `expires` of such a text. 0: it has none, or something else is called so.
int64_t stored_end(std::string_view json);

// Without white space between values.
std::string compact_json(std::string_view json);

}  // namespace llm
