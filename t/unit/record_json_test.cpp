// Records as JSON: what one form writes it reads again, what the admin API is given changes only
// what it names, and what it does not understand is an error that says where.
#include <gtest/gtest.h>

#include "ngx_llm_module/policy/record_json.hpp"

namespace llm {
namespace {

constexpr std::string_view kNothing = "{}";

// Empty: it was taken; else "PARAM WHAT".
template <class Record>
std::string change(std::string_view json, Record &record,
                   std::span<const std::string_view> known = {}) {
    json::Reader reader;
    Result<json::Value> root = reader.parse_unpadded(json);
    EXPECT_TRUE(root) << json;
    FieldError error;
    return apply_members(*root, known, record, error) ? std::string()
                                                      : error.param + ' ' + std::string(error.what);
}

std::string wrong(std::string_view json) {
    KeyRecord key;
    key.alias = "before";
    key.limits.rpm = 7;
    std::string said = change(json, key);
    EXPECT_EQ(key.alias, "before") << json;
    EXPECT_EQ(key.limits.rpm, 7) << json;
    return said;
}

template <class Record>
std::string shown(const Record &record) {
    ByteBuffer out;
    json::Writer w(out);
    w.object();
    if constexpr (std::is_same_v<Record, UserRecord>) {
        write_members(record, RecordForm::shown, false, w);
    } else {
        write_members(record, RecordForm::shown, w);
    }
    w.end();
    return std::string(out.view());
}

// All that the members of a record can say.
constexpr std::string_view kLimits =
    R"("models":["a","b*"],"rpm_limit":10,"tpm_limit":2000,"max_parallel_requests":0,)"
    R"("tpm_limit_type":"output","max_budget":12.5,"budget_duration":"30d",)"
    R"("budget_limits":[{"max_budget":1,"budget_duration":"1d"},)"
    R"({"max_budget":0.000000001,"budget_duration":"12h"},{"max_budget":100,"budget_duration":null}],)"
    R"("soft_budget":5,"on_outage":"deny","model_rpm_limit":{"a":1,"c/\"d\"":2},)"
    R"("model_tpm_limit":{"a":3},"model_max_parallel_requests":{"e":4},)"
    R"("model_max_budget":{"a":{"budget_limit":0.0000001,"time_period":"1d"},)"
    R"("e":[{"budget_limit":2,"time_period":"7d"},{"budget_limit":9,"time_period":null}]},)"
    R"("blocked":true,"metadata":{"n":{"m":[1,"two words"]}})";

std::string with_limits(std::string_view own) {
    return std::string("{").append(kLimits).append(own).append("}");
}

void expect_limits(const LimitSet &limits) {
    EXPECT_EQ(limits.rpm, 10);
    EXPECT_EQ(limits.tpm, 2000);
    EXPECT_EQ(limits.max_parallel_requests, 0);
    EXPECT_EQ(limits.tokens, TokenKind::output);
    ASSERT_EQ(limits.budgets.size(), 4U);
    EXPECT_EQ(limits.budgets[0].nanos, 12500000000);
    EXPECT_EQ(limits.budgets[0].period.unit, CalendarUnit::month);
    EXPECT_EQ(limits.budgets[1].nanos, 1000000000);
    EXPECT_EQ(limits.budgets[1].period.unit, CalendarUnit::day);
    EXPECT_EQ(limits.budgets[2].nanos, 1);
    EXPECT_EQ(limits.budgets[2].period.kind, PeriodKind::sliding);
    EXPECT_EQ(limits.budgets[2].period.seconds, 43200U);
    EXPECT_EQ(limits.budgets[3].period.kind, PeriodKind::forever);
    EXPECT_EQ(limits.soft_budget, 5000000000);
    EXPECT_EQ(limits.on_outage, OnOutage::deny);
    ASSERT_EQ(limits.models.size(), 3U);
    EXPECT_EQ(limits.models[0].model, "a");
    EXPECT_EQ(limits.models[0].rpm, 1);
    EXPECT_EQ(limits.models[0].tpm, 3);
    EXPECT_EQ(limits.models[1].model, "c/\"d\"");
    EXPECT_EQ(limits.models[1].rpm, 2);
    EXPECT_EQ(limits.models[1].tpm, kNoLimit);
    EXPECT_TRUE(limits.models[1].budgets.empty());
    EXPECT_EQ(limits.models[2].max_parallel_requests, 4);
    ASSERT_EQ(limits.models[0].budgets.size(), 1U);
    EXPECT_EQ(limits.models[0].budgets[0].nanos, 100);
    EXPECT_EQ(limits.models[0].budgets[0].period.unit, CalendarUnit::day);
    ASSERT_EQ(limits.models[2].budgets.size(), 2U);
    EXPECT_EQ(limits.models[2].budgets[0].period.unit, CalendarUnit::week);
    EXPECT_EQ(limits.models[2].budgets[1].nanos, 9000000000);
    EXPECT_EQ(limits.models[2].budgets[1].period, Period());
}

TEST(RecordJson, EverythingOfAKeySurvivesBeingStored) {
    KeyRecord given;
    ASSERT_EQ(change(with_limits(R"(,"key_alias":"\u00e4\"b","team_id":"t","user_id":"u",)"
                                 R"("aliases":{"fast":"a"},"expires":"2030-01-02T03:04:05Z",)"
                                 R"("tags":["x","y"],"permissions":{"customers":false})"),
                     given),
              "");
    given.created = {1700000000, 70};
    given.updated = 1700000001;
    given.replaces = "old";
    KeyRecord read;
    std::string json = render_stored(given);
    ASSERT_TRUE(read_stored(json, "hash", read)) << json;
    EXPECT_EQ(read.hash, "hash");
    EXPECT_EQ(read.alias, "\u00e4\"b");
    EXPECT_EQ(read.team, "t");
    EXPECT_EQ(read.user, "u");
    EXPECT_EQ(read.models, (std::vector<std::string>{"a", "b*"}));
    ASSERT_EQ(read.aliases.size(), 1U);
    EXPECT_EQ(read.aliases[0], (std::pair<std::string, std::string>("fast", "a")));
    EXPECT_EQ(read.expires, 1893553445);
    EXPECT_TRUE(read.is_blocked);
    EXPECT_FALSE(read.may_name_customer);
    EXPECT_TRUE(read.may_tag);
    EXPECT_EQ(read.tags, (std::vector<std::string>{"x", "y"}));
    EXPECT_EQ(read.metadata, R"({"n":{"m":[1,"two words"]}})");
    EXPECT_EQ(read.created.order(), 1700000000000070);
    EXPECT_EQ(read.updated, 1700000001);
    EXPECT_EQ(read.replaces, "old");
    expect_limits(read.limits);
    EXPECT_EQ(render_stored(read), json);
}

TEST(RecordJson, TeamsAndUsersSurviveBeingStored) {
    TeamRecord team, read_team;
    ASSERT_EQ(change(with_limits(R"(,"team_alias":"T")"), team), "");
    ASSERT_TRUE(read_stored(render_stored(team), "id", read_team));
    EXPECT_EQ(read_team.id, "id");
    EXPECT_EQ(read_team.alias, "T");
    EXPECT_TRUE(read_team.is_blocked);
    expect_limits(read_team.limits);

    UserRecord user, read_user;
    ASSERT_EQ(change(with_limits(R"(,"user_alias":"U","user_email":"u@example.com")"), user), "");
    ASSERT_TRUE(read_stored(render_stored(user), "id", read_user));
    EXPECT_EQ(read_user.alias, "U");
    EXPECT_EQ(read_user.email, "u@example.com");
    expect_limits(read_user.limits);
}

TEST(RecordJson, ANewRecordIsStoredAsNothing) {
    EXPECT_EQ(render_stored(KeyRecord()), kNothing);
    EXPECT_EQ(render_stored(TeamRecord()), kNothing);
    EXPECT_EQ(render_stored(UserRecord()), kNothing);
    KeyRecord key;
    EXPECT_TRUE(read_stored(kNothing, "h", key));
    EXPECT_EQ(key.limits.rpm, kNoLimit);
    EXPECT_FALSE(key.limits.on_outage);
}

TEST(RecordJson, ShownHasEveryMemberAndNothingOfOurs) {
    KeyRecord key;
    key.replaces = "secret-hash";
    std::string json = shown(key);
    for (const char *member :
         {R"("key_alias":null)", R"("rpm_limit":null)", R"("max_budget":null)", R"("models":[])",
          R"("blocked":false)", R"("metadata":{})", R"("expires":null)", R"("budget_limits":[])"}) {
        EXPECT_NE(json.find(member), std::string::npos) << member << " in " << json;
    }
    EXPECT_EQ(json.find("replaces"), std::string::npos);
    EXPECT_EQ(json.find("secret-hash"), std::string::npos);
    EXPECT_EQ(shown(TeamRecord()).find("key_alias"), std::string::npos);
}

TEST(RecordJson, AChangeLeavesTheRest) {
    KeyRecord key;
    ASSERT_EQ(change(with_limits(R"(,"key_alias":"a")"), key), "");
    ASSERT_EQ(change(R"({"rpm_limit":11})", key), "");
    EXPECT_EQ(key.limits.rpm, 11);
    EXPECT_EQ(key.alias, "a");
    EXPECT_EQ(key.limits.tpm, 2000);
    EXPECT_EQ(key.limits.budgets.size(), 4U);
}

TEST(RecordJson, NullMeansNone) {
    KeyRecord key;
    ASSERT_EQ(change(with_limits(R"(,"key_alias":"a","expires":5)"), key), "");
    ASSERT_EQ(
        change(
            R"({"rpm_limit":null,"models":null,"key_alias":null,"expires":null,"metadata":null,)"
            R"("soft_budget":null,"tpm_limit_type":null,"on_outage":null,"model_rpm_limit":null,)"
            R"("max_budget":null,"budget_limits":null,"blocked":null,)"
            R"("model_max_budget":null,"model_max_parallel_requests":null})",
            key),
        "");
    EXPECT_EQ(key.limits.rpm, kNoLimit);
    EXPECT_TRUE(key.models.empty());
    EXPECT_EQ(key.alias, "");
    EXPECT_EQ(key.expires, 0);
    EXPECT_EQ(key.metadata, "");
    EXPECT_EQ(key.limits.soft_budget, kNoLimit);
    EXPECT_EQ(key.limits.tokens, TokenKind::total);
    EXPECT_FALSE(key.limits.on_outage);
    EXPECT_FALSE(key.is_blocked);
    ASSERT_EQ(key.limits.models.size(), 1U) << "c had only an rpm";
    EXPECT_EQ(key.limits.models[0].tpm, 3);
    EXPECT_TRUE(key.limits.models[0].budgets.empty());
}

std::string shown_budgets(std::string_view given) {
    KeyRecord key;
    std::string error = change(std::string(R"({"model_max_budget":)").append(given) + "}", key);
    std::string all = shown(key);
    size_t at = all.find(R"("model_max_budget":)"), end = all.find(R"(,"expires")", at);
    return error.empty() ? all.substr(at + 19, end - at - 19) : error;
}

TEST(RecordJson, BudgetsOfModelsAreReadAsLiteLlmWritesThem) {
    constexpr std::string_view kShown = R"({"a":{"budget_limit":0.5,"time_period":"1d"}})";
    EXPECT_EQ(shown_budgets(kShown), kShown);
    EXPECT_EQ(shown_budgets(R"({"a":{"budget_limit":"0.5","time_period":"1d"}})"), kShown);
    EXPECT_EQ(shown_budgets(R"({"a":{"max_budget":0.50,"budget_duration":"1d"}})"), kShown);
    EXPECT_EQ(shown_budgets(R"({"a":{"tpm_limit":null,"budget_limit":5e-1,"time_period":"1d"}})"),
              kShown);
    EXPECT_EQ(shown_budgets(R"({"a":[{"budget_limit":0.5,"time_period":"1d"}]})"), kShown);
    EXPECT_EQ(shown_budgets(R"({"a":3,"b":null})"),
              R"({"a":{"budget_limit":3,"time_period":null}})");
    EXPECT_EQ(shown_budgets("{}"), "{}");
    for (std::string_view bad : {"[]", "1", R"("x")"}) {
        EXPECT_EQ(shown_budgets(bad), "model_max_budget must be an object of models and budgets");
    }
    for (std::string_view bad :
         {R"({"a":-1})", R"({"a":"many"})", R"({"a":true})", R"({"a":{}})", R"({"a":[[1]]})",
          R"({"a":{"budget_limit":null}})", R"({"a":{"time_period":"1d"}})", R"({"a":1e300})"}) {
        EXPECT_EQ(shown_budgets(bad),
                  "model_max_budget must say an amount of dollars, 0 or more, "
                  "as budget_limit of each model")
            << bad;
    }
    for (std::string_view bad : {R"("soon")", "5", R"("")", "{}"}) {
        EXPECT_EQ(
            shown_budgets(
                std::string(R"({"a":{"budget_limit":1,"time_period":)").append(bad).append("}}")),
            "model_max_budget has a time_period that is not such as 1d, 7d, 30d or 12h");
    }
    EXPECT_EQ(shown_budgets(R"({"a":1,"a":2})"), "model_max_budget names a model twice");
    EXPECT_EQ(shown_budgets(R"({"a":{"budget_limit":1,"max_budget":2}})"),
              "model_max_budget says something twice of a model");
    EXPECT_EQ(shown_budgets(R"({"a":{"budget_limit":1,"rpm_limit":2}})"),
              "model_max_budget may say nothing but budget_limit and time_period of a model");
    EXPECT_EQ(shown_budgets(R"({"a":[1,{"budget_limit":2}]})"),
              "model_max_budget has two budgets of a model for one time_period");
}

TEST(RecordJson, BudgetsAreChangedOneByOne) {
    KeyRecord key;
    ASSERT_EQ(change(R"({"max_budget":5})", key), "");
    EXPECT_EQ(key.limits.budgets[0].period, Period());
    ASSERT_EQ(change(R"({"budget_duration":"7d"})", key), "");
    EXPECT_EQ(key.limits.budgets[0].nanos, 5000000000);
    EXPECT_EQ(key.limits.budgets[0].period.unit, CalendarUnit::week);
    ASSERT_EQ(change(R"({"max_budget":6})", key), "");
    EXPECT_EQ(key.limits.budgets[0].nanos, 6000000000);
    EXPECT_EQ(key.limits.budgets[0].period.unit, CalendarUnit::week);
    EXPECT_EQ(change(R"({"budget_limits":[{"max_budget":1,"budget_duration":"7d"}]})", key),
              "budget_limits has two budgets for one duration");
    EXPECT_EQ(key.limits.budgets.size(), 1U);
    ASSERT_EQ(change(R"({"max_budget":null})", key), "");
    EXPECT_TRUE(key.limits.budgets.empty());
    ASSERT_EQ(change(R"({"max_budget":8})", key), "");
    EXPECT_EQ(key.limits.budgets[0].period.unit, CalendarUnit::week);
}

std::string budgets_of(const KeyRecord &key) {
    std::string all = shown(key);
    size_t at = all.find(R"("max_budget":)"), end = all.find(R"(,"soft_budget")", at);
    return all.substr(at, end - at);
}

// As it is, stored and read again.
void expect_budgets(const KeyRecord &key, std::string_view wanted) {
    EXPECT_EQ(budgets_of(key), wanted);
    KeyRecord read;
    ASSERT_TRUE(read_stored(render_stored(key), "hash", read));
    EXPECT_EQ(budgets_of(read), wanted) << "stored";
}

TEST(RecordJson, AListOfBudgetsIsReplacedAsAWhole) {
    constexpr std::string_view kNone = R"("max_budget":null,"budget_duration":null,)"
                                       R"("budget_limits":[])";
    constexpr std::string_view kListed =
        R"("max_budget":null,"budget_duration":null,"budget_limits":[)"
        R"({"max_budget":5,"budget_duration":"1d"},{"max_budget":50,"budget_duration":"30d"}])";
    auto said = [](std::string_view members) { return "{" + std::string(members) + "}"; };
    KeyRecord key;
    ASSERT_EQ(change(R"({"budget_limits":[{"budget_duration":"1d","max_budget":5},)"
                     R"({"budget_duration":"30d","max_budget":50}]})",
                     key),
              "");
    expect_budgets(key, kListed);
    EXPECT_EQ(key.limits.budgets.size(), 2U);
    for (std::string_view same :
         {kListed, kListed.substr(kListed.find(R"("budget_l)")), kListed.substr(0, 17)}) {
        EXPECT_EQ(change(said(same), key), "") << same;
        expect_budgets(key, kListed);
    }
    EXPECT_EQ(change(R"({"max_budget":9,"budget_duration":"30d"})", key),
              "budget_duration has two budgets for one duration");
    expect_budgets(key, kListed);
    // One beside them comes and goes.
    ASSERT_EQ(change(R"({"max_budget":9,"budget_duration":"7d"})", key), "");
    std::string both(kListed);
    both.replace(0, both.find(R"(,"budget_limits")"), R"("max_budget":9,"budget_duration":"7d")");
    expect_budgets(key, both);
    EXPECT_EQ(change(said(both), key), "");
    expect_budgets(key, both);
    ASSERT_EQ(change(R"({"max_budget":null,"budget_duration":null})", key), "");
    expect_budgets(key, kListed);
    for (const char *none : {"[]", "null"}) {
        KeyRecord one = key;
        ASSERT_EQ(change(said(std::string(R"("budget_limits":)") + none), one), "");
        expect_budgets(one, kNone);
        ASSERT_EQ(change(said(both), one), "");
        ASSERT_EQ(change(said(std::string(R"("budget_limits":)") + none), one), "");
        expect_budgets(one, R"("max_budget":9,"budget_duration":"7d","budget_limits":[])");
    }
    std::string many;
    for (int i = 1; i <= 17; i++) {
        many += (i == 1 ? "" : ",") + std::string(R"({"max_budget":1,"budget_duration":")") +
                std::to_string(i) + R"(m"})";
    }
    EXPECT_EQ(change(R"({"budget_limits":[)" + many + "]}", key), "budget_limits is too long");
}

TEST(RecordJson, WhatIsWrongIsNamedAndNothingChanges) {
    EXPECT_EQ(wrong(R"({"rpm_limit":-1})"), "rpm_limit must be a whole number, 0 or more, or null");
    EXPECT_EQ(wrong(R"({"rpm_limit":1.5})"),
              "rpm_limit must be a whole number, 0 or more, or null");
    EXPECT_EQ(wrong(R"({"rpm_limit":"5.0"})"),
              "rpm_limit must be a whole number, 0 or more, or null");
    EXPECT_EQ(wrong(R"({"rpm_limit":9,"key_alias":"x","max_budget":-1})"),
              "max_budget must be an amount of dollars, 0 or more");
    EXPECT_EQ(wrong(R"({"key_alias":5})"), "key_alias must be a string");
    EXPECT_EQ(wrong(R"({"key_alias":"a\nb"})"), "key_alias has a control character");
    EXPECT_EQ(wrong(R"({"key_alias":")" + std::string(257, 'x') + R"("})"),
              "key_alias is too long");
    EXPECT_EQ(wrong(R"({"models":"a"})"), "models must be a list of strings");
    EXPECT_EQ(wrong(R"({"models":[1]})"), "models must be a list of strings");
    EXPECT_EQ(wrong(R"({"blocked":"no"})"), "blocked must be true or false");
    EXPECT_EQ(wrong(R"({"metadata":[1]})"), "metadata must be an object");
    EXPECT_EQ(wrong(R"({"metadata":{"a":")" + std::string(17000, 'x') + R"("}})"),
              "metadata is too long");
    EXPECT_EQ(wrong(R"({"expires":"soon"})"),
              "expires must be a time such as 2026-12-31T18:00:00Z");
    EXPECT_EQ(wrong(R"({"tpm_limit_type":"all"})"),
              "tpm_limit_type must be total, input or output: the tokens that count "
              "(best_effort_throughput changes nothing)");
    EXPECT_EQ(wrong(R"({"rpm_limit_type":"dynamic"})"),
              "rpm_limit_type must be best_effort_throughput: limits are not added up when they "
              "are given, and hold also when there is room");
    EXPECT_EQ(wrong(R"({"expires":"1970-01-01T00:00:00Z"})"),
              "expires must be a time such as 2026-12-31T18:00:00Z");
    EXPECT_EQ(wrong(R"({"budget_limits":[{"max_budget":1,"time_period":"1d"}]})"),
              "budget_limits may say nothing but max_budget and budget_duration of a budget");
    EXPECT_EQ(wrong(R"({"budget_limits":[{"max_budget":1,"max_budget":2}]})"),
              "budget_limits says something twice of a budget");
    EXPECT_EQ(wrong(R"({"on_outage":"hope"})"), "on_outage must be local, allow or deny");
    EXPECT_EQ(wrong(R"({"on_outage":1})"), "on_outage must be local, allow or deny");
    EXPECT_EQ(wrong(R"({"model_rpm_limit":[]})"),
              "model_rpm_limit must be an object of models and numbers");
    EXPECT_EQ(wrong(R"({"model_max_parallel_requests":{"a":1.5}})"),
              "model_max_parallel_requests must be a whole number, 0 or more, or null");
    EXPECT_EQ(wrong(R"({"model_tpm_limit":{"a":1,"a":2}})"), "model_tpm_limit names a model twice");
    EXPECT_EQ(wrong(R"({"max_budget":1,"budget_duration":"month"})"),
              "budget_duration must be a duration such as 1d, 7d, 30d, 12h or 30d/rolling");
    EXPECT_EQ(wrong(R"({"permissions":{"admin":true}})"),
              "permissions may have the members customers and request_tags, true or false");
    EXPECT_EQ(wrong(R"({"key_alias":"x","key_alias":"y"})"), "key_alias stands there twice");
}

// A limit that is misspelled must not be one that does not hold.
TEST(RecordJson, UnknownMembersAreErrorsUnlessTheySayNothing) {
    EXPECT_EQ(wrong(R"({"rpm":5})"), "rpm is not supported");
    EXPECT_EQ(wrong(R"({"replaces":"x"})"), "replaces is not supported");
    KeyRecord key;
    EXPECT_EQ(change(R"({"a":null,"b":false,"c":[],"d":{},"e":""})", key), "");
    constexpr std::string_view kKnown[] = {"key"};
    EXPECT_EQ(change(R"({"key":"sk-1"})", key, kKnown), "");
    TeamRecord team;
    EXPECT_EQ(change(R"({"key_alias":"x"})", team), "key_alias is not supported");
}

TEST(RecordJson, WhatWasNotStoredByUsIsNotRead) {
    for (std::string_view bad :
         {"", "[]", "{", "null", R"({"rpm_limit":"x"})", R"({"a":1,"a":2})"}) {
        KeyRecord key;
        EXPECT_FALSE(read_stored(bad, "h", key)) << bad;
    }
}

TEST(RecordJson, WhenARecordWasMadeIsFoundWithoutReadingIt) {
    KeyRecord key;
    EXPECT_FALSE(stored_creation(render_stored(key)).is_known());
    key.metadata = R"({"created_at":"2001-01-01T00:00:00Z","a":"\"created_at\":\"x"})";
    key.created = {1900000000, 123456};
    key.updated = 1900000001;
    key.replaced_by = "h";
    EXPECT_EQ(stored_creation(render_stored(key)).order(), key.created.order());
    EXPECT_FALSE(stored_creation(R"({"created_at":"soon"})").is_known());
    EXPECT_EQ(stored_creation(R"({"created_at":"1970-01-01T00:00:01Z"})").order(), 1000000);
    EXPECT_EQ(stored_creation(R"({"created_at":"1970-01-01T00:00:01.5Z"})").order(), 1500000);
}

// A gateway of before must be able to read the record: it ignores the member.
TEST(RecordJson, ADurationWaitsForItsBudget) {
    KeyRecord key;
    EXPECT_EQ(change(R"({"budget_duration":"30d"})", key), "");
    EXPECT_TRUE(key.limits.budgets.empty());
    EXPECT_EQ(render_stored(key), R"({"next_budget_duration":"30d"})");
    KeyRecord read;
    ASSERT_TRUE(read_stored(render_stored(key), "hash", read));
    EXPECT_EQ(change(R"({"max_budget":5})", read), "");
    EXPECT_EQ(render_stored(read), R"({"max_budget":5,"budget_duration":"30d"})");
    EXPECT_NE(change(R"({"next_budget_duration":"1d"})", read), "");
}

// Words of LiteLLM for what is so anyway.
TEST(RecordJson, BestEffortChangesNothing) {
    KeyRecord key;
    key.limits.tokens = TokenKind::output;
    EXPECT_EQ(change(R"({"tpm_limit_type":"best_effort_throughput",
                         "rpm_limit_type":"best_effort_throughput"})",
                     key),
              "");
    EXPECT_EQ(key.limits.tokens, TokenKind::output);
    EXPECT_EQ(change(R"({"tpm_limit_type":null,"rpm_limit_type":null})", key), "");
    EXPECT_EQ(key.limits.tokens, TokenKind::total);
}

TEST(RecordJson, WhatALaterVersionStoredIsReadUnlessItNeedsMore) {
    KeyRecord key;
    bool has_unknown = true;
    EXPECT_TRUE(read_stored(R"({"rpm_limit":5})", "h", key, &has_unknown));
    EXPECT_FALSE(has_unknown);
    for (std::string_view good :
         {R"({"new":{"a":[1]},"rpm_limit":7})", R"({"new":1,"rpm_limit":7,"needs":[]})",
          R"({"new":1,"rpm_limit":7,"needs":["rpm_limit","replaced_by"]})"}) {
        key = {};
        has_unknown = false;
        EXPECT_TRUE(read_stored(good, "h", key, &has_unknown)) << good;
        EXPECT_TRUE(has_unknown) << good;
        EXPECT_EQ(key.limits.rpm, 7) << good;
    }
    for (std::string_view bad : {R"({"new":1,"needs":["new"]})", R"({"needs":["rpm_limit","new"]})",
                                 R"({"needs":"new"})", R"({"needs":[1]})", R"({"needs":null})"}) {
        key = {};
        EXPECT_FALSE(read_stored(bad, "h", key)) << bad;
    }
}

TEST(RecordJson, CompactLeavesStringsAlone) {
    EXPECT_EQ(compact_json(" { \"a b\" : [ 1 ,\t\"c \\\" d\" ] }\r\n"), R"({"a b":[1,"c \" d"]})");
    EXPECT_EQ(compact_json(R"({"a":"\\" , "b": 1})"), R"({"a":"\\","b":1})");
}

}  // namespace
}  // namespace llm
