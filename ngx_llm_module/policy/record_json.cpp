#include "ngx_llm_module/policy/record_json.hpp"

#include <algorithm>
#include <iterator>

#include "ngx_llm_module/policy/limits_json.hpp"
#include "ngx_llm_module/policy/record_members.hpp"

namespace llm {
namespace {

constexpr size_t kMaxText = 256;
constexpr size_t kMaxMetadata = 16 * 1024;

// --- reading: each says what is wrong, or nothing ---

Wrong read_text(json::Value value, std::string &text) {
    if (value.is_null()) {
        text.clear();
        return nullptr;
    }
    if (!value.is_string()) {
        return "must be a string";
    }
    std::string given = plain(value);
    for (unsigned char c : given) {
        if (c < 0x20 || c == 0x7f) {
            return "has a control character";
        }
    }
    if (given.size() > kMaxText) {
        return "is too long";
    }
    text = std::move(given);
    return nullptr;
}

Wrong read_flag(json::Value value, bool &flag) {
    if (!value.is_null() && !value.is_bool()) {
        return "must be true or false";
    }
    flag = value.is_true();
    return nullptr;
}

Wrong read_list(json::Value value, std::vector<std::string> &list) {
    std::vector<std::string> given;
    if (!value.is_null() && !value.is_array()) {
        return "must be a list of strings";
    }
    if (value.size() > kMaxList) {
        return "is too long";
    }
    for (json::Value item : value.items()) {
        if (Wrong wrong = item.is_string() ? read_text(item, given.emplace_back())
                                           : "must be a list of strings") {
            return wrong;
        }
    }
    list = std::move(given);
    return nullptr;
}

Wrong read_time_of(json::Value value, int64_t &time) {
    if (value.is_null()) {
        time = 0;
        return nullptr;
    }
    time = parse_time(value.is_string() ? plain(value) : std::string(value.raw().bytes));
    return time <= 0 ? "must be a time such as 2026-12-31T18:00:00Z" : nullptr;
}

Wrong read_aliases(json::Value value, std::vector<std::pair<std::string, std::string>> &aliases) {
    std::vector<std::pair<std::string, std::string>> given;
    if (!value.is_null() && !value.is_object()) {
        return "must be an object of names and models";
    }
    if (value.size() > kMaxList) {
        return "is too long";
    }
    for (auto [name, model] : value.members()) {
        auto &pair = given.emplace_back(plain(name), "");
        if (pair.first.empty()) {
            return "has a name that is empty";
        }
        if (Wrong wrong = read_text(model, pair.second)) {
            return wrong;
        }
    }
    aliases = std::move(given);
    return nullptr;
}

Wrong read_metadata(json::Value value, std::string &metadata) {
    if (!value.is_null() && !value.is_object()) {
        return "must be an object";
    }
    std::string given = value.size() == 0 ? std::string() : compact_json(value.raw().bytes);
    if (given.size() > kMaxMetadata) {
        return "is too long";
    }
    metadata = std::move(given);
    return nullptr;
}

// Rights that a key can be without. It has no others, so it can be without those as well.
Wrong read_permissions(json::Value value, KeyRecord &key) {
    if (!value.is_null() && !value.is_object()) {
        return "must be an object";
    }
    key.may_name_customer = true;
    key.may_tag = true;
    for (auto [name, right] : value.members()) {
        bool *known = json::equals(name, "customers")      ? &key.may_name_customer
                      : json::equals(name, "request_tags") ? &key.may_tag
                                                           : nullptr;
        if (known == nullptr && says_nothing(right)) {
            continue;
        }
        if (known == nullptr || !right.is_bool()) {
            return "may have the members customers and request_tags, true or false";
        }
        *known = right.is_true();
    }
    return nullptr;
}

// LiteLLM's roles of those who administer nothing say no more than we do.
Wrong read_role(json::Value value, UserRecord &) {
    bool is_plain =
        value.is_null() || value.equals("internal_user") || value.equals("internal_user_viewer");
    return is_plain ? nullptr : "must be internal_user: only the master key administers";
}

Wrong refuse_teams(json::Value value, UserRecord &) {
    return says_nothing(value) ? nullptr
                               : "is not supported: keys are in teams (team_id), users in none";
}

template <class Record>
struct Field {
    std::string_view name;
    Wrong (*read)(json::Value value, Record &record);
};

template <class Record, std::string Record::*Which>
Wrong text_field(json::Value value, Record &record) {
    return read_text(value, record.*Which);
}

template <class Record, int64_t Record::*Which>
Wrong time_field(json::Value value, Record &record) {
    return read_time_of(value, record.*Which);
}

template <class Record, int64_t LimitSet::*Which>
Wrong limit_field(json::Value value, Record &record) {
    return read_limit(value, record.limits.*Which);
}

template <class Record>
Wrong creation_field(json::Value value, Record &record) {
    record.created = parse_moment(plain(value));
    return value.is_null() || record.created.is_known() ? nullptr : "is no time";
}

template <class Record>
Wrong next_duration_field(json::Value value, Record &record) {
    return read_next_duration(value, record.limits);
}

template <class Record>
Wrong none(json::Value, Record &) {
    return nullptr;  // read_budgets has seen to it
}

#define LLM_SHARED_FIELDS(Record)                                                             \
    {"models", [](json::Value v, Record &r) { return read_list(v, r.models); }},              \
        {"rpm_limit", limit_field<Record, &LimitSet::rpm>},                                   \
        {"tpm_limit", limit_field<Record, &LimitSet::tpm>},                                   \
        {"max_parallel_requests", limit_field<Record, &LimitSet::max_parallel_requests>},     \
        {"tpm_limit_type",                                                                    \
         [](json::Value v, Record &r) { return read_tokens(v, r.limits.tokens); }},           \
        {"rpm_limit_type", [](json::Value v, Record &) { return read_rate_type(v); }},        \
        {"max_budget", none<Record>}, {"budget_duration", none<Record>},                      \
        {"budget_limits", none<Record>},                                                      \
        {"soft_budget",                                                                       \
         [](json::Value v, Record &r) { return read_soft_budget(v, r.limits.soft_budget); }}, \
        {"model_rpm_limit",                                                                   \
         [](json::Value v, Record &r) {                                                       \
             return read_model_limits(v, &ModelLimit::rpm, r.limits);                         \
         }},                                                                                  \
        {"model_tpm_limit",                                                                   \
         [](json::Value v, Record &r) {                                                       \
             return read_model_limits(v, &ModelLimit::tpm, r.limits);                         \
         }},                                                                                  \
        {"model_max_parallel_requests",                                                       \
         [](json::Value v, Record &r) {                                                       \
             return read_model_limits(v, &ModelLimit::max_parallel_requests, r.limits);       \
         }},                                                                                  \
        {"model_max_budget",                                                                  \
         [](json::Value v, Record &r) { return read_model_budgets(v, r.limits); }},           \
        {"on_outage",                                                                         \
         [](json::Value v, Record &r) { return read_outage(v, r.limits.on_outage); }},        \
        {"blocked", [](json::Value v, Record &r) { return read_flag(v, r.is_blocked); }}, {   \
        "metadata", [](json::Value v, Record &r) { return read_metadata(v, r.metadata); }     \
    }

constexpr Field<KeyRecord> kKeyFields[] = {
    LLM_SHARED_FIELDS(KeyRecord),
    {"key_alias", text_field<KeyRecord, &KeyRecord::alias>},
    {"team_id", text_field<KeyRecord, &KeyRecord::team>},
    {"user_id", text_field<KeyRecord, &KeyRecord::user>},
    {"aliases", [](json::Value v, KeyRecord &r) { return read_aliases(v, r.aliases); }},
    {"expires", time_field<KeyRecord, &KeyRecord::expires>},
    {"tags", [](json::Value v, KeyRecord &r) { return read_list(v, r.tags); }},
    {"permissions", read_permissions},
};

constexpr Field<TeamRecord> kTeamFields[] = {
    LLM_SHARED_FIELDS(TeamRecord),
    {"team_alias", text_field<TeamRecord, &TeamRecord::alias>},
};

constexpr Field<UserRecord> kUserFields[] = {
    LLM_SHARED_FIELDS(UserRecord),
    {"user_alias", text_field<UserRecord, &UserRecord::alias>},
    {"alias", text_field<UserRecord, &UserRecord::alias>},  // of customers
    {"user_email", text_field<UserRecord, &UserRecord::email>},
    {"user_role", read_role},
    {"teams", refuse_teams},
};

// What only we write, into records that are stored. A gateway of before that shares them ignores a
// member that it does not know. Where that would let somebody have more than he should (another
// limit, another way to be blocked), the record has to name the member in this list, too: then it
// is not read at all.
constexpr std::string_view kNeeds = "needs";

constexpr Field<KeyRecord> kKeyOwn[] = {
    {"created_at", creation_field<KeyRecord>},
    {"updated_at", time_field<KeyRecord, &KeyRecord::updated>},
    {"replaces", text_field<KeyRecord, &KeyRecord::replaces>},
    {"replaced_by", text_field<KeyRecord, &KeyRecord::replaced_by>},
    {kNextDuration, next_duration_field<KeyRecord>},
};
constexpr Field<TeamRecord> kTeamOwn[] = {
    {"created_at", creation_field<TeamRecord>},
    {"updated_at", time_field<TeamRecord, &TeamRecord::updated>},
    {kNextDuration, next_duration_field<TeamRecord>},
};
constexpr Field<UserRecord> kUserOwn[] = {
    {"created_at", creation_field<UserRecord>},
    {"updated_at", time_field<UserRecord, &UserRecord::updated>},
    {kNextDuration, next_duration_field<UserRecord>},
};

template <class Record>
const Field<Record> *find_field(std::span<const Field<Record>> fields, JsonText name) {
    for (const Field<Record> &field : fields) {
        if (json::equals(name, field.name)) {
            return &field;
        }
    }
    return nullptr;
}

bool has_twice(json::Value object, FieldError &error) {
    std::string_view twice = json::duplicate_key(object);
    if (!twice.empty()) {
        error = {std::string(twice), "stands there twice"};
    }
    return !twice.empty();
}

bool check_member(JsonText name, json::Value value, std::span<const std::string_view> known,
                  FieldError &error) {
    bool is_known = std::any_of(known.begin(), known.end(),
                                [&](std::string_view one) { return json::equals(name, one); });
    // LiteLLM's clients send it with every new key.
    bool is_no_spend = json::equals(name, "spend") && value.is_number() && value.as_int() == 0;
    if (!is_known && !is_no_spend && !says_nothing(value)) {
        error = {plain(name), "is not supported"};
        return false;
    }
    return true;
}

template <class Record>
bool apply(json::Value object, std::span<const std::string_view> known,
           std::span<const Field<Record>> fields, Record &record, FieldError &error) {
    if (has_twice(object, error)) {
        return false;
    }
    Record changed = record;
    for (auto [name, value] : object.members()) {
        if (const Field<Record> *field = find_field(fields, name)) {
            if (Wrong wrong = field->read(value, changed)) {
                error = {std::string(field->name), wrong};
                return false;
            }
        } else if (!check_member(name, value, known, error)) {
            return false;
        }
    }
    std::string param;
    if (Wrong wrong = read_budgets(object, changed.limits, param)) {
        error = {param, wrong};
        return false;
    }
    record = std::move(changed);
    return true;
}

// What a client sends.
template <class Record>
bool apply_sent(json::Value object, std::span<const std::string_view> known,
                std::span<const Field<Record>> fields, Record &record, FieldError &error) {
    Record changed = record;
    if (!apply<Record>(object, known, fields, changed, error)) {
        return false;
    }
    std::string param;
    if (Wrong wrong = take_model_limits(object, changed.limits, changed.metadata, param)) {
        error = {param, wrong};
        return false;
    }
    record = std::move(changed);
    return true;
}

// Members of a later version of this module. False: one of them must not be ignored.
template <class Record>
bool list_unknown(json::Value object, std::span<const Field<Record>> fields,
                  std::vector<std::string> &unknown) {
    for (auto [name, value] : object.members()) {
        if (find_field(fields, name) == nullptr) {
            unknown.push_back(plain(name));
        }
    }
    json::Value needs = object[kNeeds];
    if (needs.absent()) {
        return true;
    }
    if (!needs.is_array()) {
        return false;
    }
    for (json::Value item : needs.items()) {
        std::string name = item.is_string() ? plain(item) : std::string();
        bool is_known = std::any_of(fields.begin(), fields.end(),
                                    [&](const Field<Record> &field) { return field.name == name; });
        if (!is_known) {
            return false;
        }
    }
    return true;
}

template <class Record, size_t N, size_t M>
bool read_all(std::string_view json, const Field<Record> (&fields)[N],
              const Field<Record> (&own)[M], Record &record, bool *has_unknown) {
    json::Reader reader;
    Result<json::Value> root = reader.parse_unpadded(json);
    if (!root || !root->is_object()) {
        return false;
    }
    FieldError error;
    std::vector<Field<Record>> all(std::begin(fields), std::end(fields));
    all.insert(all.end(), std::begin(own), std::end(own));
    std::vector<std::string> unknown;
    if (!list_unknown<Record>(*root, all, unknown)) {
        return false;
    }
    if (has_unknown != nullptr) {
        *has_unknown = !unknown.empty();
    }
    std::vector<std::string_view> names(unknown.begin(), unknown.end());
    return apply<Record>(*root, names, all, record, error);
}

// --- writing ---

template <class Record>
std::string stored(const Record &record) {
    ByteBuffer out;
    json::Writer w(out);
    w.object();
    if constexpr (std::is_same_v<Record, UserRecord>) {
        write_members(record, RecordForm::stored, false, w);
    } else {
        write_members(record, RecordForm::stored, w);
    }
    w.end();
    return std::string(out.view());
}

}  // namespace

void write_members(const KeyRecord &key, RecordForm form, json::Writer &w) {
    Members m(form, w);
    m.text("key_alias", key.alias);
    m.text("team_id", key.team);
    m.text("user_id", key.user);
    m.list("models", key.models);
    if (m.begin("aliases", !key.aliases.empty())) {
        w.object();
        for (const auto &[name, model] : key.aliases) {
            write_key_name(name, w);
            w.plain(model);
        }
        w.end();
    }
    write_limits(key.limits, m);
    m.time("expires", key.expires);
    m.flag("blocked", key.is_blocked);
    m.list("tags", key.tags);
    if (m.begin("permissions", !key.may_name_customer || !key.may_tag)) {
        w.object();
        if (!key.may_name_customer) {
            w.key("customers").boolean(false);
        }
        if (!key.may_tag) {
            w.key("request_tags").boolean(false);
        }
        w.end();
    }
    m.raw("metadata", key.metadata);
    m.moment("created_at", key.created);
    m.time("updated_at", key.updated);
    if (form == RecordForm::stored) {
        m.text("replaces", key.replaces);
    }
    m.text("replaced_by", key.replaced_by);
}

void write_members(const TeamRecord &team, RecordForm form, json::Writer &w) {
    Members m(form, w);
    m.text("team_alias", team.alias);
    m.list("models", team.models);
    write_limits(team.limits, m);
    m.flag("blocked", team.is_blocked);
    m.raw("metadata", team.metadata);
    m.moment("created_at", team.created);
    m.time("updated_at", team.updated);
}

void write_members(const UserRecord &user, RecordForm form, bool is_customer, json::Writer &w) {
    Members m(form, w);
    m.text(is_customer ? "alias" : "user_alias", user.alias);
    if (!is_customer) {
        m.text("user_email", user.email);
    }
    m.list("models", user.models);
    write_limits(user.limits, m);
    m.flag("blocked", user.is_blocked);
    m.raw("metadata", user.metadata);
    m.moment("created_at", user.created);
    m.time("updated_at", user.updated);
}

std::string render_stored(const KeyRecord &record) {
    return stored(record);
}
std::string render_stored(const TeamRecord &record) {
    return stored(record);
}
std::string render_stored(const UserRecord &record) {
    return stored(record);
}

bool apply_members(json::Value object, std::span<const std::string_view> known, KeyRecord &record,
                   FieldError &error) {
    return apply_sent<KeyRecord>(object, known, kKeyFields, record, error);
}
bool apply_members(json::Value object, std::span<const std::string_view> known, TeamRecord &record,
                   FieldError &error) {
    return apply_sent<TeamRecord>(object, known, kTeamFields, record, error);
}
bool apply_members(json::Value object, std::span<const std::string_view> known, UserRecord &record,
                   FieldError &error) {
    return apply_sent<UserRecord>(object, known, kUserFields, record, error);
}

bool check_members(json::Value object, std::span<const std::string_view> known, FieldError &error) {
    if (has_twice(object, error)) {
        return false;
    }
    for (auto [name, value] : object.members()) {
        if (!check_member(name, value, known, error)) {
            return false;
        }
    }
    return true;
}

bool apply_only(json::Value object, std::span<const std::string_view> names, KeyRecord &record,
                FieldError &error) {
    for (const Field<KeyRecord> &field : kKeyFields) {
        json::Value value = object[field.name];
        bool is_meant = std::find(names.begin(), names.end(), field.name) != names.end();
        if (!is_meant || value.absent()) {
            continue;
        }
        if (Wrong wrong = field.read(value, record)) {
            error = {std::string(field.name), wrong};
            return false;
        }
    }
    return true;
}

bool read_stored(std::string_view json, std::string_view id, KeyRecord &record, bool *has_unknown) {
    record.hash = id;
    return read_all(json, kKeyFields, kKeyOwn, record, has_unknown);
}
bool read_stored(std::string_view json, std::string_view id, TeamRecord &record,
                 bool *has_unknown) {
    record.id = id;
    return read_all(json, kTeamFields, kTeamOwn, record, has_unknown);
}
bool read_stored(std::string_view json, std::string_view id, UserRecord &record,
                 bool *has_unknown) {
    record.id = id;
    return read_all(json, kUserFields, kUserOwn, record, has_unknown);
}

bool is_stored_blocked(std::string_view json) {
    json::Reader reader;
    Result<json::Value> root = reader.parse_unpadded(json);
    return !root || (*root)["blocked"].is_true();
}

// Metadata, which may have anything, stands before it.
Moment stored_creation(std::string_view json) {
    constexpr std::string_view kMember = "\"created_at\":\"";
    size_t at = json.rfind(kMember);
    if (at == std::string_view::npos) {
        return {};
    }
    std::string_view text = json.substr(at + kMember.size());
    return parse_moment(text.substr(0, text.find('"')));
}

// And behind this one.
int64_t stored_end(std::string_view json) {
    size_t at = json.find(kStoredEnd);
    if (at == std::string_view::npos) {
        return 0;
    }
    std::string_view text = json.substr(at + kStoredEnd.size());
    return std::max<int64_t>(0, parse_time(text.substr(0, text.find('"'))));
}

std::string compact_json(std::string_view json) {
    std::string text;
    bool in_string = false;
    for (size_t i = 0; i < json.size(); i++) {
        char c = json[i];
        if (in_string && c == '\\') {
            text.push_back(c);
            c = json[++i];
        } else if (c == '"') {
            in_string = !in_string;
        } else if (!in_string && (c == ' ' || c == '\n' || c == '\r' || c == '\t')) {
            continue;
        }
        text.push_back(c);
    }
    return text;
}

}  // namespace llm
