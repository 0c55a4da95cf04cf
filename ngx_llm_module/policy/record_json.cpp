#include "ngx_llm_module/policy/record_json.hpp"

#include <algorithm>
#include <iterator>

#include "translators/pricing/cost.hpp"

namespace llm {
namespace {

constexpr size_t kMaxText = 256;
constexpr size_t kMaxMetadata = 16 * 1024;
constexpr uint32_t kMaxList = 1000;

std::string plain(json::Value value) {
    Arena arena;
    return std::string(json::unescape(value.text(), arena));
}

std::string plain(JsonText text) {
    Arena arena;
    return std::string(json::unescape(text, arena));
}

// --- reading: each says what is wrong, or nothing ---

using Wrong = const char *;

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

Wrong read_limit(json::Value value, int64_t &limit) {
    if (value.is_null()) {
        limit = kNoLimit;
        return nullptr;
    }
    std::optional<int64_t> number = value.is_number() ? value.as_int() : std::nullopt;
    if (!number || *number < 0) {
        return "must be a whole number, 0 or more, or null";
    }
    limit = *number;
    return nullptr;
}

Wrong read_amount(json::Value value, int64_t &nanos) {
    nanos = value.is_number() ? parse_dollars(value.raw().bytes) : -1;
    return nanos < 0 ? "must be an amount of dollars, 0 or more" : nullptr;
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
    return time < 0 ? "must be a time such as 2026-12-31T18:00:00Z" : nullptr;
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
        if (Wrong wrong = read_text(model, pair.second)) {
            return wrong;
        }
    }
    aliases = std::move(given);
    return nullptr;
}

ModelLimit &limit_of(LimitSet &limits, const std::string &model) {
    for (ModelLimit &limit : limits.models) {
        if (limit.model == model) {
            return limit;
        }
    }
    limits.models.push_back({model, kNoLimit, kNoLimit});
    return limits.models.back();
}

template <int64_t ModelLimit::*Which>
Wrong read_model_limits(json::Value value, LimitSet &limits) {
    if (!value.is_null() && !value.is_object()) {
        return "must be an object of models and numbers";
    }
    if (value.size() > kMaxList) {
        return "is too long";
    }
    for (ModelLimit &limit : limits.models) {
        limit.*Which = kNoLimit;
    }
    for (auto [name, number] : value.members()) {
        if (Wrong wrong = read_limit(number, limit_of(limits, plain(name)).*Which)) {
            return wrong;
        }
    }
    std::erase_if(limits.models, [](const ModelLimit &limit) {
        return limit.rpm == kNoLimit && limit.tpm == kNoLimit;
    });
    return nullptr;
}

// The first budget is max_budget with budget_duration, others are budget_limits.
Wrong read_budgets(json::Value object, LimitSet &limits) {
    json::Value amount = object["max_budget"];
    json::Value duration = object["budget_duration"];
    json::Value others = object["budget_limits"];
    std::vector<Budget> budgets = limits.budgets;
    if (amount.is_null() && !budgets.empty()) {
        budgets.erase(budgets.begin());
    } else if (!amount.is_unset()) {
        if (budgets.empty()) {
            budgets.emplace_back();
        }
        if (Wrong wrong = read_amount(amount, budgets[0].nanos)) {
            return wrong;
        }
    }
    if (!duration.absent() && !(duration.is_null() && budgets.empty())) {
        if (budgets.empty()) {
            return "needs max_budget";
        }
        if (duration.is_null()) {
            budgets[0].period = Period();
        } else if (!parse_period(plain(duration), budgets[0].period)) {
            return "must be a duration such as 1d, 7d, 30d, 12h or 30d/rolling";
        }
    }
    if (!others.absent()) {
        if (!others.is_null() && !others.is_array()) {
            return "must be a list of budgets";
        }
        budgets.resize(std::min<size_t>(budgets.size(), 1));
        for (json::Value item : others.items()) {
            Budget budget;
            json::Value period = item["budget_duration"];
            if (budgets.size() > 16) {
                return "is too long";
            }
            if (Wrong wrong = read_amount(item["max_budget"], budget.nanos)) {
                return wrong;
            }
            if (!period.is_unset() && !parse_period(plain(period), budget.period)) {
                return "has a budget_duration that cannot be understood";
            }
            budgets.push_back(budget);
        }
    }
    for (size_t i = 0; i < budgets.size(); i++) {
        for (size_t k = 0; k < i; k++) {
            if (budgets[k].period == budgets[i].period) {
                return "has two budgets for one duration";
            }
        }
    }
    limits.budgets = std::move(budgets);
    return nullptr;
}

constexpr std::string_view kTokenKinds[] = {"total", "input", "output"};

Wrong read_tokens(json::Value value, TokenKind &tokens) {
    std::string name = value.is_null() ? "total" : plain(value);
    const auto *found = std::find(std::begin(kTokenKinds), std::end(kTokenKinds), name);
    if (found == std::end(kTokenKinds)) {
        return "must be total, input or output";
    }
    tokens = TokenKind(found - std::begin(kTokenKinds));
    return nullptr;
}

Wrong read_outage(json::Value value, std::optional<OnOutage> &on_outage) {
    if (value.is_null()) {
        on_outage.reset();
        return nullptr;
    }
    return value.is_string() && parse_on_outage(plain(value), on_outage.emplace())
               ? nullptr
               : "must be local, allow or deny";
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

// Rights that a key can be without.
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
Wrong none(json::Value, Record &) {
    return nullptr;  // read_budgets has seen to it
}

#define LLM_SHARED_FIELDS(Record)                                                           \
    {"models", [](json::Value v, Record &r) { return read_list(v, r.models); }},            \
        {"rpm_limit", limit_field<Record, &LimitSet::rpm>},                                 \
        {"tpm_limit", limit_field<Record, &LimitSet::tpm>},                                 \
        {"max_parallel_requests", limit_field<Record, &LimitSet::max_parallel_requests>},   \
        {"tpm_limit_type",                                                                  \
         [](json::Value v, Record &r) { return read_tokens(v, r.limits.tokens); }},         \
        {"max_budget", none<Record>}, {"budget_duration", none<Record>},                    \
        {"budget_limits", none<Record>},                                                    \
        {"soft_budget",                                                                     \
         [](json::Value v, Record &r) {                                                     \
             r.limits.soft_budget = kNoLimit;                                               \
             return v.is_null() ? nullptr : read_amount(v, r.limits.soft_budget);           \
         }},                                                                                \
        {"model_rpm_limit",                                                                 \
         [](json::Value v, Record &r) {                                                     \
             return read_model_limits<&ModelLimit::rpm>(v, r.limits);                       \
         }},                                                                                \
        {"model_tpm_limit",                                                                 \
         [](json::Value v, Record &r) {                                                     \
             return read_model_limits<&ModelLimit::tpm>(v, r.limits);                       \
         }},                                                                                \
        {"on_outage",                                                                       \
         [](json::Value v, Record &r) { return read_outage(v, r.limits.on_outage); }},      \
        {"blocked", [](json::Value v, Record &r) { return read_flag(v, r.is_blocked); }}, { \
        "metadata", [](json::Value v, Record &r) { return read_metadata(v, r.metadata); }   \
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
};

// What only we write, into records that are stored.
constexpr Field<KeyRecord> kKeyOwn[] = {
    {"created_at", time_field<KeyRecord, &KeyRecord::created>},
    {"updated_at", time_field<KeyRecord, &KeyRecord::updated>},
    {"replaces", text_field<KeyRecord, &KeyRecord::replaces>},
};
constexpr Field<TeamRecord> kTeamOwn[] = {
    {"created_at", time_field<TeamRecord, &TeamRecord::created>},
    {"updated_at", time_field<TeamRecord, &TeamRecord::updated>},
};
constexpr Field<UserRecord> kUserOwn[] = {
    {"created_at", time_field<UserRecord, &UserRecord::created>},
    {"updated_at", time_field<UserRecord, &UserRecord::updated>},
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

bool says_nothing(json::Value value) {
    return value.is_null() || (value.is_bool() && !value.is_true()) ||
           ((value.is_array() || value.is_object()) && value.size() == 0) || value.equals("");
}

template <class Record>
bool apply(json::Value object, std::span<const std::string_view> known,
           std::span<const Field<Record>> fields, Record &record, FieldError &error) {
    if (std::string_view twice = json::duplicate_key(object); !twice.empty()) {
        error = {std::string(twice), "stands there twice"};
        return false;
    }
    Record changed = record;
    for (auto [name, value] : object.members()) {
        if (const Field<Record> *field = find_field(fields, name)) {
            if (Wrong wrong = field->read(value, changed)) {
                error = {std::string(field->name), wrong};
                return false;
            }
            continue;
        }
        bool is_known = std::any_of(known.begin(), known.end(),
                                    [&](std::string_view one) { return json::equals(name, one); });
        // LiteLLM's clients send it with every new key.
        bool is_no_spend = json::equals(name, "spend") && value.is_number() && value.as_int() == 0;
        if (!is_known && !is_no_spend && !says_nothing(value)) {
            error = {plain(name), "is not supported"};
            return false;
        }
    }
    if (Wrong wrong = read_budgets(object, changed.limits)) {
        error = {object["budget_limits"].is_unset() && object["max_budget"].is_unset()
                     ? "budget_duration"
                     : "max_budget, budget_duration, budget_limits",
                 wrong};
        return false;
    }
    record = std::move(changed);
    return true;
}

template <class Record, size_t N, size_t M>
bool read_all(std::string_view json, const Field<Record> (&fields)[N],
              const Field<Record> (&own)[M], Record &record) {
    json::Reader reader;
    Result<json::Value> root = reader.parse_unpadded(json);
    if (!root || !root->is_object()) {
        return false;
    }
    FieldError error;
    std::vector<Field<Record>> all(std::begin(fields), std::end(fields));
    all.insert(all.end(), std::begin(own), std::end(own));
    return apply<Record>(*root, {}, all, record, error);
}

// --- writing ---

class Members {
  public:
    Members(RecordForm form, json::Writer &w) : is_all_(form == RecordForm::shown), w_(w) {}

    void text(std::string_view name, const std::string &value) {
        if (begin(name, !value.empty())) {
            value.empty() ? w_.null() : w_.plain(value);
        }
    }
    void number(std::string_view name, int64_t value) {
        if (begin(name, value != kNoLimit)) {
            value == kNoLimit ? w_.null() : w_.number(value);
        }
    }
    void dollars(std::string_view name, int64_t nanos) {
        if (begin(name, nanos != kNoLimit)) {
            nanos == kNoLimit ? w_.null() : w_.raw(RawJson{llm::dollars(nanos)});
        }
    }
    void time(std::string_view name, int64_t value) {
        if (begin(name, value != 0)) {
            value == 0 ? w_.null() : w_.plain(render_time(value));
        }
    }
    void flag(std::string_view name, bool value) {
        if (begin(name, value)) {
            w_.boolean(value);
        }
    }
    void list(std::string_view name, const std::vector<std::string> &values) {
        if (begin(name, !values.empty())) {
            w_.array();
            for (const std::string &value : values) {
                w_.plain(value);
            }
            w_.end();
        }
    }
    void raw(std::string_view name, std::string_view json) {
        if (begin(name, !json.empty())) {
            w_.raw(RawJson{json.empty() ? "{}" : json});
        }
    }
    // False: the member is left out.
    bool begin(std::string_view name, bool is_set) {
        if (is_set || is_all_) {
            w_.key(name);
        }
        return is_set || is_all_;
    }
    json::Writer &writer() { return w_; }

  private:
    bool is_all_;
    json::Writer &w_;
};

void write_key_name(std::string_view name, json::Writer &w) {
    ByteBuffer escaped;
    json::append_escaped(name, escaped);
    w.key(JsonText{escaped.view()});
}

void write_model_limits(std::string_view name, const std::vector<ModelLimit> &limits,
                        int64_t ModelLimit::*which, Members &m) {
    bool has_any = std::any_of(limits.begin(), limits.end(),
                               [&](const ModelLimit &limit) { return limit.*which != kNoLimit; });
    if (m.begin(name, has_any)) {
        m.writer().object();
        for (const ModelLimit &limit : limits) {
            if (limit.*which != kNoLimit) {
                write_key_name(limit.model, m.writer());
                m.writer().number(limit.*which);
            }
        }
        m.writer().end();
    }
}

void write_limits(const LimitSet &limits, Members &m) {
    m.number("rpm_limit", limits.rpm);
    m.number("tpm_limit", limits.tpm);
    m.number("max_parallel_requests", limits.max_parallel_requests);
    if (limits.tokens != TokenKind::total) {
        m.text("tpm_limit_type", std::string(kTokenKinds[size_t(limits.tokens)]));
    }
    if (limits.on_outage) {
        m.text("on_outage", std::string(name(*limits.on_outage)));
    }
    const Budget *first = limits.budgets.empty() ? nullptr : &limits.budgets[0];
    m.dollars("max_budget", first != nullptr ? first->nanos : kNoLimit);
    m.text("budget_duration", first != nullptr ? render_period(first->period) : std::string());
    if (m.begin("budget_limits", limits.budgets.size() > 1)) {
        json::Writer &w = m.writer().array();
        for (size_t i = 1; i < limits.budgets.size(); i++) {
            const Budget &budget = limits.budgets[i];
            w.object().key("max_budget").raw(RawJson{dollars(budget.nanos)});
            w.key("budget_duration");
            std::string period = render_period(budget.period);
            period.empty() ? w.null() : w.plain(period);
            w.end();
        }
        w.end();
    }
    m.dollars("soft_budget", limits.soft_budget);
    write_model_limits("model_rpm_limit", limits.models, &ModelLimit::rpm, m);
    write_model_limits("model_tpm_limit", limits.models, &ModelLimit::tpm, m);
}

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
    m.time("created_at", key.created);
    m.time("updated_at", key.updated);
    if (form == RecordForm::stored) {
        m.text("replaces", key.replaces);
    }
}

void write_members(const TeamRecord &team, RecordForm form, json::Writer &w) {
    Members m(form, w);
    m.text("team_alias", team.alias);
    m.list("models", team.models);
    write_limits(team.limits, m);
    m.flag("blocked", team.is_blocked);
    m.raw("metadata", team.metadata);
    m.time("created_at", team.created);
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
    m.time("created_at", user.created);
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
    return apply<KeyRecord>(object, known, kKeyFields, record, error);
}
bool apply_members(json::Value object, std::span<const std::string_view> known, TeamRecord &record,
                   FieldError &error) {
    return apply<TeamRecord>(object, known, kTeamFields, record, error);
}
bool apply_members(json::Value object, std::span<const std::string_view> known, UserRecord &record,
                   FieldError &error) {
    return apply<UserRecord>(object, known, kUserFields, record, error);
}

bool read_stored(std::string_view json, std::string_view id, KeyRecord &record) {
    record.hash = id;
    return read_all(json, kKeyFields, kKeyOwn, record);
}
bool read_stored(std::string_view json, std::string_view id, TeamRecord &record) {
    record.id = id;
    return read_all(json, kTeamFields, kTeamOwn, record);
}
bool read_stored(std::string_view json, std::string_view id, UserRecord &record) {
    record.id = id;
    return read_all(json, kUserFields, kUserOwn, record);
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
