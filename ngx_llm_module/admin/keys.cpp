// /key/*: keys that clients send. A key is shown once, when it is made; afterwards it is known by
// its SHA-256 only, which stands wherever LiteLLM shows a token.
#include <algorithm>

#include "ngx_llm_module/admin/resource.hpp"
#include "ngx_llm_module/policy/limits_json.hpp"
#include "ngx_llm_module/policy/record_cache.hpp"
#include "translators/core/sha256.hpp"

namespace llm {
namespace {

constexpr size_t kShortestKey = 8;

constexpr std::string_view kGenerateKnown[] = {"key", "duration", "key_type", "key_name",
                                               "budget_reset_at"};
constexpr std::string_view kUpdateKnown[] = {"key",      "token",      "token_id",
                                             "duration", "key_name",   "budget_reset_at",
                                             "spend",    "created_at", "updated_at"};
constexpr std::string_view kRegenerateKnown[] = {
    "key",      "token",           "token_id", "duration",   "new_key",   "grace_period",
    "key_name", "budget_reset_at", "spend",    "created_at", "updated_at"};

AdminAnswer not_found() {
    return admin_error(NGX_HTTP_NOT_FOUND, "does not exist", "key");
}

AdminAnswer is_configured(std::string_view param) {
    return admin_error(NGX_HTTP_BAD_REQUEST, "is set by llm_key and changed there", param);
}

std::vector<std::string> targets_of(const KeyRecord &key) {
    std::vector<std::string> targets;
    for (const auto &[name, model] : key.aliases) {
        targets.push_back(model);
    }
    return targets;
}

// Everything that the body says of a key, and whether it can be.
bool apply_body(AdminCall &call, std::span<const std::string_view> known, KeyRecord &key,
                FieldError &error, const KeyRecord *before = nullptr) {
    if (!apply_members(call.body, known, key, error) || !read_expiry(call, key.expires, error)) {
        return false;
    }
    if (before != nullptr &&
        !keeps_what_stands(call, before->created, SpendOf::key, before->counted_as(), error)) {
        return false;
    }
    // Of LiteLLM's types of keys those that administer are none of ours.
    json::Value type = call.body["key_type"];
    if (!type.is_unset() && !type.equals("llm_api") && !type.equals("default")) {
        error = {"key_type", "must be llm_api: only the master key administers"};
        return false;
    }
    error = check_key(call, key, before);
    return error.param.empty();
}

// Visits the keys that this one has replaced and that are kept until their end.
template <class Visit>
void for_each_former(const Config &config, const std::string &hash, Visit visit) {
    for_each_with(config, RecordKind::key, "replaced_by", hash,
                  [&](const std::string &id, const std::string &json, uint64_t version) {
                      KeyRecord former;
                      if (read_stored(json, id, former) && former.replaced_by == hash) {
                          visit(former, version);
                      }
                  });
}

// A key has an alias for itself; the one that it was regenerated from is the same key.
bool is_alias_taken(AdminCall &call, const KeyRecord &key) {
    for (const auto &[hash, other] : call.config.keys) {
        if (other->alias == key.alias) {
            return true;
        }
    }
    bool is_taken = false;
    call.has_seen_all = true;
    for_each_with(call.config, RecordKind::key, "key_alias", key.alias,
                  [&](const std::string &id, const std::string &json, uint64_t) {
                      KeyRecord other;
                      is_taken =
                          is_taken ||
                          (read_stored(json, id, other) && other.alias == key.alias &&
                           other.replaced_by.empty() && other.counted_as() != key.counted_as());
                  });
    return is_taken;
}

bool is_good_secret(const std::string &secret) {
    for (unsigned char c : secret) {
        if (c <= 0x20 || c >= 0x7f) {
            return false;
        }
    }
    return secret.size() >= kShortestKey && secret.size() <= kMaxId;
}

bool is_taken(const AdminCall &call, const std::string &hash) {
    const std::vector<std::string> &masters = call.config.master_hashes;
    return find_key(call.config, hash) != nullptr ||
           std::find(masters.begin(), masters.end(), hash) != masters.end();
}

// What is counted under this hash is another key's: it was regenerated from this one.
bool is_former(AdminCall &call, const std::string &hash) {
    bool is_one = false;
    call.has_seen_all = true;
    for_each_with(call.config, RecordKind::key, "replaces", hash,
                  [&](const std::string &id, const std::string &json, uint64_t) {
                      KeyRecord key;
                      is_one = is_one || (read_stored(json, id, key) && key.replaces == hash);
                  });
    return is_one;
}

// Whose key a call is about: a record that can be changed, or the answer to give instead.
struct Subject {
    std::string hash;
    Loaded<KeyRecord> key;
    std::optional<AdminAnswer> refusal;
};

Subject target_of(const AdminCall &call, const std::string &given) {
    Subject target;
    if (given.empty()) {
        target.refusal = admin_error(NGX_HTTP_BAD_REQUEST, "must be given", "key");
        return target;
    }
    target.hash = hash_of_key(given);
    if (call.config.keys.count(target.hash) != 0) {
        target.refusal = is_configured("key");
        return target;
    }
    target.key = load_record<KeyRecord>(call, RecordKind::key, target.hash);
    if (!target.key.exists) {
        target.refusal = not_found();
    }
    return target;
}

// Its names in a body: the key, and those by which it is shown. All that are there mean the same.
constexpr std::string_view kNames[] = {"key", "token", "token_id"};

std::string named_key(const AdminCall &call) {
    for (std::string_view name : kNames) {
        if (std::string given = call.text(name); !given.empty()) {
            return given;
        }
    }
    return {};
}

// A name in the body that is another key's, or nothing.
std::string_view other_name(const AdminCall &call, const std::string &hash) {
    for (std::string_view name : kNames) {
        bool is_none = call.body[name].is_unset() || call.body[name].equals("");
        if (!is_none && hash_of_key(call.text(name)) != hash) {
            return name;
        }
    }
    return {};
}

// A key that another one has replaced changes with that.
Subject current_target_of(const AdminCall &call, const std::string &given) {
    Subject target = target_of(call, given);
    if (!target.refusal && !target.key.record.replaced_by.empty()) {
        target.refusal = admin_error(NGX_HTTP_BAD_REQUEST,
                                     "was regenerated: the key in its place is to be named", "key");
    }
    return target;
}

AdminAnswer shown_once(const AdminCall &call, AdminAnswer answer, const KeyRecord &key,
                       const std::string &secret) {
    if (!answer.changes.empty()) {
        json::Writer w(answer.body);
        w.object();
        write_secret(key, secret, w);
        write_members(key, RecordForm::shown, w);
        write_spend(call, SpendOf::key, key.counted_as(), w);
        w.end();
    }
    return answer;
}

// When max_budget begins anew; null: never, or bit by bit.
void write_reset(const AdminCall &call, const LimitSet &limits, json::Writer &w) {
    w.key("budget_reset_at");
    if (limits.own_budgets() == 0 || limits.budgets[0].period.kind != PeriodKind::calendar) {
        w.null();
        return;
    }
    const Period &period = limits.budgets[0].period;
    w.plain(render_time(calendar_bounds(call.config.time_zone, period, call.now).end));
}

AdminAnswer set_blocked(AdminCall &call, bool is_blocked) {
    Subject target = current_target_of(call, call.text("key"));
    if (target.refusal) {
        return std::move(*target.refusal);
    }
    if (FieldError error; !has_only(call, {"key"}, error)) {
        return bad(error);
    }
    KeyRecord &key = target.key.record;
    key.is_blocked = is_blocked;
    key.updated = call.now;
    AdminAnswer answer;
    json::Writer w(answer.body);
    write_key(call, key, w);
    store_record(answer, RecordKind::key, target.hash, key, target.key.version);
    return answer;
}

}  // namespace

void write_key(const AdminCall &call, const KeyRecord &key, json::Writer &w) {
    w.object().key("token").plain(key.hash);
    write_members(key, RecordForm::shown, w);
    write_spend(call, SpendOf::key, key.counted_as(), w);
    write_reset(call, key.limits, w);
    if (key.is_configured) {
        w.key("source").plain("configuration");
    }
    w.end();
}

void write_keys_of(const AdminCall &call, std::string_view member, std::string_view value,
                   json::Writer &w) {
    bool is_team = member == "team_id";
    w.array();
    for (const auto &[hash, key] : call.config.keys) {
        if ((is_team ? key->team : key->user) == value) {
            write_key(call, *key, w);
        }
    }
    for_each_with(call.config, RecordKind::key, member, value,
                  [&](const std::string &id, const std::string &json, uint64_t) {
                      KeyRecord key;
                      if (read_stored(json, id, key) && key.replaced_by.empty() &&
                          (is_team ? key.team : key.user) == value) {
                          write_key(call, key, w);
                      }
                  });
    w.end();
}

size_t delete_keys_of(const AdminCall &call, std::string_view member, std::string_view value,
                      AdminAnswer &answer) {
    bool is_team = member == "team_id";
    size_t count = 0;
    for_each_with(call.config, RecordKind::key, member, value,
                  [&](const std::string &id, const std::string &json, uint64_t version) {
                      KeyRecord key;
                      if (read_stored(json, id, key) && (is_team ? key.team : key.user) == value) {
                          delete_record(answer, RecordKind::key, id, version);
                          count++;
                      }
                  });
    return count;
}

FieldError check_key(AdminCall &call, const KeyRecord &key, const KeyRecord *before) {
    bool is_new_team = before == nullptr || before->team != key.team;
    if (is_new_team && !key.team.empty() && find_team(call.config, key.team) == nullptr) {
        return {"team_id", "does not exist"};
    }
    std::vector<std::string> stood;
    if (before != nullptr) {
        stood = named_models(before->models, before->limits);
    }
    FieldError error = check_models(call.config, key.models, key.limits, stood);
    if (!error.param.empty()) {
        return error;
    }
    std::vector<std::string> targets = targets_of(key);
    stood = before != nullptr ? targets_of(*before) : stood;
    if (!check_models(call.config, targets, {}, stood).param.empty()) {
        return {"aliases", "names a model that does not exist"};
    }
    bool is_new_alias = !key.alias.empty() && (before == nullptr || before->alias != key.alias);
    if (is_new_alias && is_alias_taken(call, key)) {
        return alias_is_taken();
    }
    return {};
}

void write_secret(const KeyRecord &key, const std::string &secret, json::Writer &w) {
    w.key("key").plain(secret);
    w.key("key_name").plain("sk-..." + secret.substr(secret.size() - 4));
    w.key("token").plain(key.hash).key("token_id").plain(key.hash);
}

AdminAnswer make_key(AdminCall &call, KeyRecord &key, std::string &secret) {
    bool is_chosen = !secret.empty();
    if (!is_chosen) {
        secret = make_secret();
    }
    if (!is_good_secret(secret)) {
        return admin_error(NGX_HTTP_BAD_REQUEST,
                           "must have 8 to 256 printable characters without blanks", "key");
    }
    if (key.expires != 0 && key.expires <= call.now) {
        return bad({"expires", "is in the past: nobody could use the key"});
    }
    key.hash = sha256_hex(secret);
    if (is_taken(call, key.hash)) {
        return admin_error(NGX_HTTP_CONFLICT, "already exists", "key");
    }
    if (is_chosen && is_former(call, key.hash)) {
        return admin_error(NGX_HTTP_CONFLICT, "was the value of a key that was regenerated", "key");
    }
    key.created = this_moment();
    key.updated = key.created.time;
    AdminAnswer answer;
    uint64_t version = find_record(call.config, RecordKind::key, key.hash).version;
    store_record(answer, RecordKind::key, key.hash, key, version);
    return answer;
}

namespace {

// `is_of_team`: it belongs to a team and to no user.
AdminAnswer generate(AdminCall &call, bool is_of_team) {
    KeyRecord key;
    FieldError error;
    if (!apply_body(call, kGenerateKnown, key, error)) {
        return bad(error);
    }
    if (is_of_team) {
        key.user.clear();
    }
    if (is_of_team && key.team.empty()) {
        return admin_error(NGX_HTTP_BAD_REQUEST, "must be given", "team_id");
    }
    if (!is_text(call, "key")) {
        return admin_error(NGX_HTTP_BAD_REQUEST, "must be a string", "key");
    }
    std::string secret = call.text("key");
    AdminAnswer answer = make_key(call, key, secret);
    return shown_once(call, std::move(answer), key, secret);
}

}  // namespace

AdminAnswer key_generate(AdminCall &call) {
    return generate(call, false);
}

// What LiteLLM calls the key of a service account; it ignores user_id there, too.
AdminAnswer key_generate_of_team(AdminCall &call) {
    return generate(call, true);
}

AdminAnswer key_info(AdminCall &call) {
    std::string given = call.argument("key");
    if (given.empty()) {
        return admin_error(NGX_HTTP_BAD_REQUEST, "must be given", "key");
    }
    std::string hash = hash_of_key(given);
    std::shared_ptr<const KeyRecord> key = find_key(call.config, hash);
    if (key == nullptr) {
        return not_found();
    }
    AdminAnswer answer;
    json::Writer w(answer.body);
    w.object().key("key").plain(hash).key("info");
    write_key(call, *key, w);
    w.end();
    return answer;
}

AdminAnswer key_update(AdminCall &call) {
    Subject target = current_target_of(call, named_key(call));
    if (target.refusal) {
        return std::move(*target.refusal);
    }
    if (std::string_view other = other_name(call, target.hash); !other.empty()) {
        return admin_error(NGX_HTTP_BAD_REQUEST, "is another key", other);
    }
    KeyRecord key = target.key.record;
    FieldError error;
    if (!apply_body(call, kUpdateKnown, key, error, &target.key.record)) {
        return bad(error);
    }
    key.updated = call.now;
    AdminAnswer answer;
    json::Writer w(answer.body);
    w.object().key("key").plain(key.hash).key("token").plain(key.hash);
    write_members(key, RecordForm::shown, w);
    w.end();
    store_record(answer, RecordKind::key, target.hash, key, target.key.version);
    return answer;
}

AdminAnswer key_delete(AdminCall &call) {
    if (FieldError error; !has_only(call, {"keys", "key_aliases"}, error)) {
        return bad(error);
    }
    AdminAnswer answer;
    json::Writer w(answer.body);
    std::vector<std::string> deleted;
    auto remove = [&](const std::string &hash, uint64_t version) {
        if (std::find(deleted.begin(), deleted.end(), hash) == deleted.end()) {
            deleted.push_back(hash);
            delete_record(answer, RecordKind::key, hash, version);
        }
    };
    auto remove_with_former = [&](const std::string &hash, uint64_t version) {
        remove(hash, version);
        for_each_former(call.config, hash, [&](const KeyRecord &former, uint64_t its_version) {
            remove(former.hash, its_version);
        });
    };
    w.object().key("deleted_keys").array();
    for (const std::string &given : call.texts("keys")) {
        Subject target = target_of(call, given);
        if (target.refusal) {
            return std::move(*target.refusal);
        }
        remove_with_former(target.hash, target.key.version);
        w.plain(given);
    }
    for (const std::string &alias : call.texts("key_aliases")) {
        size_t before = deleted.size();
        for (const auto &[hash, key] : call.config.keys) {
            if (!alias.empty() && key->alias == alias) {
                return is_configured("key_aliases");
            }
        }
        for_each_with(call.config, RecordKind::key, "key_alias", alias,
                      [&](const std::string &id, const std::string &json, uint64_t version) {
                          KeyRecord key;
                          if (!alias.empty() && read_stored(json, id, key) &&
                              key.replaced_by.empty() && key.alias == alias) {
                              remove_with_former(id, version);
                          }
                      });
        if (deleted.size() == before) {
            return admin_error(NGX_HTTP_NOT_FOUND, "has one that does not exist", "key_aliases");
        }
        w.plain(alias);
    }
    w.end().end();
    if (deleted.empty()) {
        return admin_error(NGX_HTTP_BAD_REQUEST, "must be given", "keys");
    }
    return answer;
}

AdminAnswer key_block(AdminCall &call) {
    return set_blocked(call, true);
}

AdminAnswer key_unblock(AdminCall &call) {
    return set_blocked(call, false);
}

// The new key takes the old one's place, what was counted included.
AdminAnswer key_regenerate(AdminCall &call) {
    Subject target =
        current_target_of(call, call.part.empty() ? named_key(call) : std::string(call.part));
    if (target.refusal) {
        return std::move(*target.refusal);
    }
    if (std::string_view other = other_name(call, target.hash); !other.empty()) {
        return admin_error(NGX_HTTP_BAD_REQUEST, "is another key", other);
    }
    int64_t grace = 0;
    if (json::Value given = call.body["grace_period"]; !given.is_unset()) {
        grace = parse_duration(call.text("grace_period"));
        if (grace < 0) {
            return admin_error(NGX_HTTP_BAD_REQUEST, "must be a time such as 30s, 15m, 12h or 30d",
                               "grace_period");
        }
    }
    KeyRecord old = target.key.record;
    KeyRecord key = old;
    FieldError error;
    key.replaces = old.counted_as();
    if (!apply_body(call, kRegenerateKnown, key, error, &old)) {
        return bad(error);
    }
    if (!is_text(call, "new_key")) {
        return admin_error(NGX_HTTP_BAD_REQUEST, "must be a string", "new_key");
    }
    std::string secret = call.text("new_key");
    AdminAnswer answer = shown_once(call, make_key(call, key, secret), key, secret);
    if (answer.changes.empty()) {
        return answer;
    }
    for_each_former(call.config, target.hash, [&](KeyRecord &former, uint64_t version) {
        if (former.expires <= call.now) {
            delete_record(answer, RecordKind::key, former.hash, version);
            return;
        }
        former.replaced_by = key.hash;
        store_record(answer, RecordKind::key, former.hash, former, version);
    });
    if (grace == 0) {
        delete_record(answer, RecordKind::key, target.hash, target.key.version);
        return answer;
    }
    int64_t end = call.now + grace;
    old.expires = old.expires == 0 ? end : std::min(old.expires, end);
    old.updated = call.now;
    old.replaced_by = key.hash;
    store_record(answer, RecordKind::key, target.hash, old, target.key.version);
    return answer;
}

}  // namespace llm
