// What was spent, as LiteLLM's proxy tells it: the list of recent requests, sums over all days, and
// activity by day. Rows of state/spend.hpp in other words; nothing is counted here.
#include <algorithm>
#include <map>
#include <unordered_map>

#include "ngx_llm_module/admin/resource.hpp"
#include "ngx_llm_module/policy/record_cache.hpp"
#include "ngx_llm_module/request/ledger.hpp"
#include "translators/pricing/cost.hpp"

namespace llm {
namespace {

constexpr size_t kMostRecent = 1000;
constexpr size_t kUsualLimit = 100;
constexpr int64_t kSecondsOfDay = 86400;

// Civil date of a day since 1970.
std::string date_of(uint32_t day) {
    ngx_tm_t tm;
    ngx_gmtime(time_t(day) * kSecondsOfDay, &tm);
    char text[16];
    snprintf(text, sizeof(text), "%04d-%02d-%02d", int(tm.ngx_tm_year), int(tm.ngx_tm_mon),
             int(tm.ngx_tm_mday));
    return text;
}

std::string time_of(int64_t ms) {
    ngx_tm_t tm;
    ngx_gmtime(time_t(ms / 1000), &tm);
    char text[40];
    snprintf(text, sizeof(text), "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", int(tm.ngx_tm_year),
             int(tm.ngx_tm_mon), int(tm.ngx_tm_mday), int(tm.ngx_tm_hour), int(tm.ngx_tm_min),
             int(tm.ngx_tm_sec), int(ms % 1000));
    return text;
}

json::Writer &money(json::Writer &w, std::string_view name, int64_t nano) {
    std::string text = dollars(nano);
    return w.key(name).raw({text});
}

AdminAnswer answer_of(ByteBuffer out) {
    AdminAnswer answer;
    answer.body = std::move(out);
    return answer;
}

// start_date and end_date of the query, both included; dates compare as text.
struct Days {
    FieldError error;  // of what was given
    std::string first, last;

    explicit Days(const AdminCall &call)
        : first(read(call, "start_date")), last(read(call, "end_date")) {}
    bool has(const std::string &date) const {
        return (first.empty() || date >= first) && (last.empty() || date <= last);
    }

  private:
    std::string read(const AdminCall &call, std::string_view name) {
        std::string text = call.argument(name);
        int64_t time = parse_time(text);
        // Seconds are a time for parse_time(), but no date.
        if (!text.empty() && (text.find('-') != 4 || time < 0)) {
            error = {std::string(name), "must be a date such as 2026-12-31, 1970 or later"};
        }
        return text.empty() || time < 0 ? "" : date_of(uint32_t(time / kSecondsOfDay));
    }
};

// False: it was given and is none.
bool read_limit_of(const AdminCall &call, size_t &limit, FieldError &error) {
    std::string text = call.argument("limit");
    if (text.empty() || read_count(text, kMostRecent, limit)) {
        return true;
    }
    error = {"limit", "must be a whole number from 1 to 1000"};
    return false;
}

// The sums of all days of one kind, the dearest first.
std::vector<SpendRow> sums_of(const AdminCall &call, SpendOf of) {
    std::vector<SpendRow> rows = read_all_spend(call.config);
    std::erase_if(rows, [&](const SpendRow &row) { return row.day != kAllDays || row.of != of; });
    std::sort(rows.begin(), rows.end(), [](const SpendRow &a, const SpendRow &b) {
        return a.numbers.cost != b.numbers.cost ? a.numbers.cost > b.numbers.cost
                                                : a.view() < b.view();
    });
    return rows;
}

// api_key of the query: a hash, or a key, which is known by its hash only. Gives the one that it is
// counted under.
std::string asked_key(const AdminCall &call) {
    std::string hash = call.argument("api_key");
    hash = hash.starts_with("sk-") ? hash_of_key(hash) : hash;
    auto key = find_key(call.config, hash);
    return key != nullptr ? key->counted_as() : hash;
}

// Keys by the hash that they are counted under: one that was regenerated is shown as the list of
// keys shows it, by the hash that it has now.
class ShownKeys {
  public:
    struct Shown {
        std::string token;
        std::string alias;
    };

    explicit ShownKeys(const AdminCall &call) : config_(call.config) {}

    const Shown &find(std::string_view counted) {
        auto [place, is_new] = known_.try_emplace(std::string(counted));
        if (is_new) {
            auto key = current(place->first);
            place->second = key != nullptr ? Shown{key->hash, key->alias} : Shown{place->first, {}};
        }
        return place->second;
    }

  private:
    std::shared_ptr<const KeyRecord> current(const std::string &counted) {
        auto key = find_key(config_, counted);
        if (key != nullptr && key->replaced_by.empty()) {
            return key;
        }
        if (!has_looked_) {
            look_for_regenerated();
        }
        auto found = regenerated_.find(counted);
        return found != regenerated_.end() ? find_key(config_, found->second) : nullptr;
    }

    void look_for_regenerated() {
        has_looked_ = true;
        for_each_record(config_, RecordKind::key, "\"replaces\":\"",
                        [&](RecordKind, const std::string &id, const std::string &json, uint64_t) {
                            KeyRecord key;
                            if (read_stored(json, id, key) && key.replaced_by.empty()) {
                                regenerated_[key.counted_as()] = id;
                            }
                        });
    }

    const Config &config_;
    std::unordered_map<std::string, Shown> known_;
    std::unordered_map<std::string, std::string> regenerated_;  // counted under: has this hash now
    bool has_looked_ = false;
};

void write_metrics(const SpendNumbers &from, json::Writer &w) {
    w.object();
    money(w, "spend", from.cost);
    w.key("prompt_tokens").number(from.input).key("completion_tokens").number(from.output);
    w.key("cache_read_input_tokens").number(from.cache_read);
    w.key("cache_creation_input_tokens").number(from.cache_write);
    w.key("total_tokens").number(from.input + from.output);
    w.key("successful_requests").number(from.requests - from.failed);
    w.key("failed_requests").number(from.failed).key("api_requests").number(from.requests).end();
}

void write_recent(const RecentRequest &recent, ShownKeys &keys, json::Writer &w) {
    auto outcome = Outcome(recent.outcome);
    w.object().key("request_id").plain(text_of(recent.id));
    w.key("api_key").plain(keys.find(text_of(recent.key)).token);
    w.key("key_alias").plain(text_of(recent.alias));
    w.key("team_id").plain(text_of(recent.team)).key("user").plain(text_of(recent.user));
    w.key("model").plain(text_of(recent.model));
    w.key("upstream_model").plain(text_of(recent.upstream_model));
    w.key("custom_llm_provider").plain(text_of(recent.provider));
    w.key("deployment").plain(text_of(recent.deployment));
    money(w, "spend", recent.numbers.cost);
    w.key("prompt_tokens").number(recent.numbers.input);
    w.key("completion_tokens").number(recent.numbers.output);
    w.key("total_tokens").number(recent.numbers.input + recent.numbers.output);
    w.key("cache_read_input_tokens").number(recent.numbers.cache_read);
    w.key("startTime").plain(time_of(recent.ended - recent.duration));
    w.key("endTime").plain(time_of(recent.ended));
    w.key("status").plain(outcome == Outcome::ok ? "success" : "failure");
    w.key("outcome").plain(name(outcome)).key("error").plain(text_of(recent.error));
    w.key("attempts").number(recent.attempts).key("fallbacks").number(recent.fallbacks);
    w.key("stream").boolean(recent.is_stream != 0);
    w.key("duration_ms").number(recent.duration);
    w.key("first_content_ms").number(recent.first_content);
    w.key("overhead_ms").number(recent.overhead).end();
}

// [{name_member: ..., total_spend, requests ...}]
AdminAnswer list_sums(AdminCall &call, SpendOf of, std::string_view name_member) {
    ByteBuffer out;
    json::Writer w(out);
    size_t left = kUsualLimit;
    if (FieldError error; !read_limit_of(call, left, error)) {
        return bad(error);
    }
    ShownKeys keys(call);
    w.array();
    for (const SpendRow &row : sums_of(call, of)) {
        if (left-- == 0) {
            break;
        }
        if (of == SpendOf::key) {
            const ShownKeys::Shown &key = keys.find(row.view());
            w.object().key(name_member).plain(key.token).key("key_alias").plain(key.alias);
        } else {
            w.object().key(name_member).plain(row.view());
        }
        money(w, "total_spend", row.numbers.cost);
        w.key("log_count").number(row.numbers.requests);
        w.key("total_tokens").number(row.numbers.input + row.numbers.output).end();
    }
    w.end();
    return answer_of(std::move(out));
}

using ByDay = std::map<std::string, std::vector<const SpendRow *>, std::greater<>>;

ByDay days_of(const std::vector<SpendRow> &rows, const Days &days) {
    ByDay by_day;
    for (const SpendRow &row : rows) {
        if (row.day != kAllDays) {
            if (std::string date = date_of(row.day); days.has(date)) {
                by_day[date].push_back(&row);
            }
        }
    }
    return by_day;
}

void write_breakdown(ShownKeys &keys, const std::vector<const SpendRow *> &rows, SpendOf of,
                     std::string_view member, json::Writer &w) {
    w.key(member).object();
    for (const SpendRow *row : rows) {
        if (row->of == of) {
            Arena arena;
            bool is_key = of == SpendOf::key;
            std::string_view name = is_key ? keys.find(row->view()).token : row->view();
            w.key(json::escape(name, arena)).object().key("metrics");
            write_metrics(row->numbers, w);
            w.key("metadata").object();
            if (is_key) {
                w.key("key_alias").plain(keys.find(row->view()).alias);
            }
            w.end().end();
        }
    }
    w.end();
}

}  // namespace

AdminAnswer spend_logs(AdminCall &call) {
    ByteBuffer out;
    json::Writer w(out);
    std::string key = asked_key(call);
    std::string id = call.argument("request_id");
    std::string user = call.argument("user_id");
    Days days(call);
    size_t left = kMostRecent;
    if (!days.error.param.empty() || !read_limit_of(call, left, days.error)) {
        return bad(days.error);
    }
    ShownKeys keys(call);
    w.array();
    for (const RecentRequest &recent : read_recent(call.config, kMostRecent)) {
        bool is_wanted = (key.empty() || key == text_of(recent.key)) &&
                         (id.empty() || id == text_of(recent.id)) &&
                         (user.empty() || user == text_of(recent.user)) &&
                         days.has(date_of(uint32_t(recent.ended / 1000 / kSecondsOfDay)));
        if (is_wanted && left > 0) {
            left--;
            write_recent(recent, keys, w);
        }
    }
    w.end();
    return answer_of(std::move(out));
}

AdminAnswer global_spend(AdminCall &call) {
    ByteBuffer out;
    json::Writer w(out);
    w.object();
    money(w, "spend", spent_by_all(call.config, SpendOf::all, {}).cost);
    w.key("max_budget").number(0).end();
    return answer_of(std::move(out));
}

AdminAnswer global_spend_logs(AdminCall &call) {
    Days days(call);
    if (!days.error.param.empty()) {
        return bad(days.error);
    }
    ByteBuffer out;
    json::Writer w(out);
    std::string key = asked_key(call);
    std::vector<SpendRow> rows = read_all_spend(call.config);
    w.array();
    for (const auto &[date, list] : days_of(rows, days)) {
        for (const SpendRow *row : list) {
            if (row->of == (key.empty() ? SpendOf::all : SpendOf::key) && row->view() == key) {
                w.object().key("date").plain(date);
                money(w, "spend", row->numbers.cost).end();
            }
        }
    }
    w.end();
    return answer_of(std::move(out));
}

AdminAnswer global_spend_keys(AdminCall &call) {
    return list_sums(call, SpendOf::key, "api_key");
}

AdminAnswer global_spend_models(AdminCall &call) {
    return list_sums(call, SpendOf::model, "model");
}

AdminAnswer global_spend_teams(AdminCall &call) {
    return list_sums(call, SpendOf::team, "team_id");
}

AdminAnswer global_spend_tags(AdminCall &call) {
    return list_sums(call, SpendOf::tag, "individual_request_tag");
}

AdminAnswer global_spend_providers(AdminCall &call) {
    return list_sums(call, SpendOf::provider, "provider");
}

AdminAnswer global_spend_users(AdminCall &call) {
    return list_sums(call, SpendOf::user, "user_id");
}

AdminAnswer global_spend_customers(AdminCall &call) {
    return list_sums(call, SpendOf::customer, "end_user");
}

AdminAnswer global_activity(AdminCall &call) {
    Days days(call);
    if (!days.error.param.empty()) {
        return bad(days.error);
    }
    ByteBuffer out;
    json::Writer w(out);
    SpendNumbers sum;
    std::vector<SpendRow> rows = read_all_spend(call.config);
    w.object().key("daily_data").array();
    for (const auto &[date, list] : days_of(rows, days)) {
        for (const SpendRow *row : list) {
            if (row->of == SpendOf::all) {
                sum.add(row->numbers);
                w.object().key("date").plain(date);
                w.key("api_requests").number(row->numbers.requests);
                w.key("total_tokens").number(row->numbers.input + row->numbers.output).end();
            }
        }
    }
    w.end().key("sum_api_requests").number(sum.requests);
    w.key("sum_total_tokens").number(sum.input + sum.output).end();
    return answer_of(std::move(out));
}

AdminAnswer daily_activity(AdminCall &call) {
    Days days(call);
    Page page = page_of(call, kMostRecent);
    if (days.error.param.empty()) {
        days.error = page.error;
    }
    if (!days.error.param.empty()) {
        return bad(days.error);
    }
    ByteBuffer out;
    json::Writer w(out);
    SpendNumbers sum;
    std::vector<SpendRow> rows = read_all_spend(call.config);
    if (page.number > 1) {
        rows.clear();  // all of it is on the first
    }
    ShownKeys keys(call);
    w.object().key("results").array();
    for (const auto &[date, list] : days_of(rows, days)) {
        SpendNumbers day;
        for (const SpendRow *row : list) {
            if (row->of == SpendOf::all) {
                day.add(row->numbers);
            }
        }
        sum.add(day);
        w.object().key("date").plain(date).key("metrics");
        write_metrics(day, w);
        w.key("breakdown").object();
        write_breakdown(keys, list, SpendOf::model, "models", w);
        write_breakdown(keys, list, SpendOf::provider, "providers", w);
        write_breakdown(keys, list, SpendOf::key, "api_keys", w);
        write_breakdown(keys, list, SpendOf::team, "entities", w);
        w.end().end();
    }
    w.end().key("metadata").object();
    money(w, "total_spend", sum.cost);
    w.key("total_prompt_tokens").number(sum.input);
    w.key("total_completion_tokens").number(sum.output);
    w.key("total_tokens").number(sum.input + sum.output);
    w.key("total_api_requests").number(sum.requests);
    w.key("total_successful_requests").number(sum.requests - sum.failed);
    w.key("total_failed_requests").number(sum.failed);
    w.key("page").number(int64_t(page.number)).key("total_pages").number(1);
    w.key("has_more").boolean(false).end().end();
    return answer_of(std::move(out));
}

}  // namespace llm
