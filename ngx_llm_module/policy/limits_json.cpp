// The limits of a record in JSON; see the header.
#include "ngx_llm_module/policy/limits_json.hpp"

#include <algorithm>
#include <charconv>
#include <iterator>

#include "translators/pricing/cost.hpp"

namespace llm {
namespace {

constexpr size_t kMaxBudgets = 16;
constexpr std::string_view kTokenWords[] = {"total", "input", "output"};
// Of LiteLLM's limit types (guaranteed_throughput, dynamic) what limits are here: nobody adds them
// up when they are given, and nobody may exceed them when there is room.
constexpr std::string_view kRateType = "best_effort_throughput";

bool has_twin(const std::vector<Budget> &budgets) {
    for (size_t i = 0; i < budgets.size(); i++) {
        for (size_t k = 0; k < i; k++) {
            if (budgets[k].period == budgets[i].period) {
                return true;
            }
        }
    }
    return false;
}

Wrong read_amount(json::Value value, int64_t &nanos) {
    nanos = parse_dollars(number_of(value));
    return nanos < 0 ? "must be an amount of dollars, 0 or more" : nullptr;
}

Wrong check_rows_of_models(json::Value value, const char *what) {
    if (!value.is_null() && !value.is_object()) {
        return what;
    }
    if (value.size() > kMaxList) {
        return "is too long";
    }
    return json::duplicate_key(value).empty() ? nullptr : "names a model twice";
}

void drop_empty_rows(LimitSet &limits) {
    std::erase_if(limits.models, [](const ModelLimit &limit) { return limit.says_nothing(); });
}

struct ModelLimitName {
    std::string_view name;
    int64_t ModelLimit::*which;
};
constexpr ModelLimitName kOfMetadata[] = {{"model_rpm_limit", &ModelLimit::rpm},
                                          {"model_tpm_limit", &ModelLimit::tpm}};

std::vector<std::pair<std::string, int64_t>> rows_of(const LimitSet &limits,
                                                     int64_t ModelLimit::*which) {
    std::vector<std::pair<std::string, int64_t>> rows;
    for (const ModelLimit &limit : limits.models) {
        if (limit.*which != kNoLimit) {
            rows.emplace_back(limit.model, limit.*which);
        }
    }
    std::sort(rows.begin(), rows.end());
    return rows;
}

std::string without_model_limits(json::Value metadata) {
    ByteBuffer out;
    json::Writer w(out);
    w.object();
    for (auto [name, value] : metadata.members()) {
        bool is_limit = false;
        for (const ModelLimitName &row : kOfMetadata) {
            is_limit = is_limit || json::equals(name, row.name);
        }
        if (!is_limit) {
            w.key(name).raw(RawJson{compact_json(value.raw().bytes)});
        }
    }
    w.end();
    return out.view() == "{}" ? std::string() : std::string(out.view());
}

// LiteLLM's names, the new and the old ones.
Wrong read_model_budget(json::Value value, Budget &budget) {
    json::Value amount = value, period;
    if (value.is_object()) {
        amount = period = json::Value();
        for (auto [name, member] : value.members()) {
            bool is_amount = json::equals(name, "budget_limit") || json::equals(name, "max_budget");
            bool is_period =
                json::equals(name, "time_period") || json::equals(name, "budget_duration");
            json::Value &known = is_amount ? amount : period;
            if (!is_amount && !is_period && !says_nothing(member)) {
                return "may say nothing but budget_limit and time_period of a model";
            }
            if ((is_amount || is_period) && !known.absent()) {
                return "says something twice of a model";
            }
            if (is_amount || is_period) {
                known = member;
            }
        }
    }
    if (read_amount(amount, budget.nanos) != nullptr) {
        return "must say an amount of dollars, 0 or more, as budget_limit of each model";
    }
    bool is_good =
        period.is_unset() || (period.is_string() && parse_period(plain(period), budget.period));
    return is_good ? nullptr : "has a time_period that is not such as 1d, 7d, 30d or 12h";
}

// Of budget_limits.
Wrong read_listed(json::Value value, Budget &budget) {
    if (!json::duplicate_key(value).empty()) {
        return "says something twice of a budget";
    }
    for (auto [name, member] : value.members()) {
        if (!json::equals(name, "max_budget") && !json::equals(name, "budget_duration") &&
            !says_nothing(member)) {
            return "may say nothing but max_budget and budget_duration of a budget";
        }
    }
    if (Wrong wrong = read_amount(value["max_budget"], budget.nanos)) {
        return wrong;
    }
    json::Value period = value["budget_duration"];
    bool is_good = period.is_unset() || parse_period(plain(period), budget.period);
    return is_good ? nullptr : "has a budget_duration that cannot be understood";
}

// `is_set` and `write` are given each limit.
void write_of_models(std::string_view name, const std::vector<ModelLimit> &limits, Members &m,
                     auto is_set, auto write) {
    if (m.begin(name, std::any_of(limits.begin(), limits.end(), is_set))) {
        m.writer().object();
        for (const ModelLimit &limit : limits) {
            if (is_set(limit)) {
                write_key_name(limit.model, m.writer());
                write(limit);
            }
        }
        m.writer().end();
    }
}

void write_model_limits(std::string_view name, const std::vector<ModelLimit> &limits,
                        int64_t ModelLimit::*which, Members &m) {
    write_of_models(
        name, limits, m, [&](const ModelLimit &limit) { return limit.*which != kNoLimit; },
        [&](const ModelLimit &limit) { m.writer().number(limit.*which); });
}

void write_budget(const Budget &budget, std::string_view amount_name, std::string_view period_name,
                  json::Writer &w) {
    w.object().key(amount_name).raw(RawJson{dollars(budget.nanos)});
    w.key(period_name);
    std::string period = render_period(budget.period);
    period.empty() ? w.null() : w.plain(period);
    w.end();
}

void write_model_budgets(const std::vector<ModelLimit> &limits, Members &m) {
    write_of_models(
        "model_max_budget", limits, m,
        [](const ModelLimit &limit) { return !limit.budgets.empty(); },
        [&](const ModelLimit &limit) {
            bool is_list = limit.budgets.size() > 1;
            if (is_list) {
                m.writer().array();
            }
            for (const Budget &budget : limit.budgets) {
                write_budget(budget, "budget_limit", "time_period", m.writer());
            }
            if (is_list) {
                m.writer().end();
            }
        });
}

}  // namespace

std::string plain(json::Value value) {
    Arena arena;
    return std::string(json::unescape(value.text(), arena));
}

std::string plain(JsonText text) {
    Arena arena;
    return std::string(json::unescape(text, arena));
}

bool says_nothing(json::Value value) {
    return value.is_null() || (value.is_bool() && !value.is_true()) ||
           ((value.is_array() || value.is_object()) && value.size() == 0) || value.equals("");
}

std::string number_of(json::Value value) {
    if (value.is_number()) {
        return std::string(value.raw().bytes);
    }
    std::string text = value.is_string() ? plain(value) : std::string();
    bool is_exact = !text.empty() && text.front() != '.' && text.back() != '.' &&
                    std::count(text.begin(), text.end(), '.') <= 1 &&
                    text.find_first_not_of("0123456789.") == std::string::npos;
    return is_exact ? text : std::string();
}

Wrong read_limit(json::Value value, int64_t &limit) {
    if (value.is_null()) {
        limit = kNoLimit;
        return nullptr;
    }
    std::optional<int64_t> number = value.is_number() ? value.as_int() : std::nullopt;
    if (std::string text = number_of(value); value.is_string()) {
        const char *end = text.data() + text.size();
        auto [at, code] = std::from_chars(text.data(), end, number.emplace());
        number = code == std::errc() && at == end ? number : std::nullopt;
    }
    if (!number || *number < 0) {
        return "must be a whole number, 0 or more, or null";
    }
    limit = *number;
    return nullptr;
}

Wrong read_soft_budget(json::Value value, int64_t &nanos) {
    nanos = kNoLimit;
    return value.is_null() ? nullptr : read_amount(value, nanos);
}

Wrong read_budgets(json::Value object, LimitSet &limits, std::string &param) {
    json::Value amount = object["max_budget"];
    json::Value duration = object["budget_duration"];
    json::Value list = object["budget_limits"];
    auto behind_own = limits.budgets.begin() + ptrdiff_t(limits.own_budgets());
    std::vector<Budget> own(limits.budgets.begin(), behind_own);  // one or none
    std::vector<Budget> listed(behind_own, limits.budgets.end());
    Period period = own.empty() ? limits.next_period : own[0].period;
    param = "max_budget";
    if (amount.is_null()) {
        own.clear();
    } else if (!amount.is_unset()) {
        own.resize(1);
        if (Wrong wrong = read_amount(amount, own[0].nanos)) {
            return wrong;
        }
    }
    param = "budget_duration";
    if (duration.is_null()) {
        period = Period();
    } else if (!duration.absent() && !parse_period(plain(duration), period)) {
        return "must be a duration such as 1d, 7d, 30d, 12h or 30d/rolling";
    }
    if (!own.empty()) {
        own[0].period = period;
    }
    param = "budget_limits";
    if (!list.absent()) {
        if (!list.is_null() && !list.is_array()) {
            return "must be a list of budgets";
        }
        if (list.size() > kMaxBudgets) {
            return "is too long";
        }
        listed.clear();
        for (json::Value item : list.items()) {
            if (Wrong wrong = read_listed(item, listed.emplace_back())) {
                return wrong;
            }
        }
    }
    if (list.is_unset()) {
        param = duration.is_unset() ? "max_budget" : "budget_duration";
    }
    bool has_own = !own.empty();
    limits.next_period = has_own ? Period() : period;
    own.insert(own.end(), listed.begin(), listed.end());
    if (has_twin(own)) {
        return "has two budgets for one duration";
    }
    limits.budgets = std::move(own);
    limits.has_only_listed = !has_own;
    return nullptr;
}

Wrong read_next_duration(json::Value value, LimitSet &limits) {
    return parse_period(plain(value), limits.next_period) ? nullptr : "is not a duration";
}

Wrong read_tokens(json::Value value, TokenKind &tokens) {
    if (value.equals(kRateType)) {
        return nullptr;
    }
    std::string name = value.is_null() ? "total" : plain(value);
    const auto *found = std::find(std::begin(kTokenWords), std::end(kTokenWords), name);
    if (found == std::end(kTokenWords)) {
        return "must be total, input or output: the tokens that count (best_effort_throughput "
               "changes nothing)";
    }
    tokens = TokenKind(found - std::begin(kTokenWords));
    return nullptr;
}

Wrong read_rate_type(json::Value value) {
    return value.is_null() || value.equals(kRateType)
               ? nullptr
               : "must be best_effort_throughput: limits are not added up when they are given, and "
                 "hold also when there is room";
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

Wrong read_model_limits(json::Value value, int64_t ModelLimit::*which, LimitSet &limits) {
    if (Wrong wrong = check_rows_of_models(value, "must be an object of models and numbers")) {
        return wrong;
    }
    for (ModelLimit &limit : limits.models) {
        limit.*which = kNoLimit;
    }
    for (auto [name, number] : value.members()) {
        if (Wrong wrong = read_limit(number, limits.of_model(plain(name)).*which)) {
            return wrong;
        }
    }
    drop_empty_rows(limits);
    return nullptr;
}

Wrong take_model_limits(json::Value object, LimitSet &limits, std::string &metadata,
                        std::string &param) {
    json::Value from = object["metadata"];
    bool has_any = false;
    for (const auto &[name, which] : kOfMetadata) {
        json::Value given = from.is_object() ? from[name] : json::Value();
        json::Value beside = object[name];
        has_any = has_any || !given.absent();
        if (given.absent() || (says_nothing(given) && !beside.absent())) {
            continue;
        }
        param = name;
        LimitSet taken = limits;
        if (Wrong wrong = read_model_limits(given, which, taken)) {
            return wrong;
        }
        if (!beside.absent() && !says_nothing(beside) &&
            rows_of(taken, which) != rows_of(limits, which)) {
            return "is not what stands in metadata";
        }
        limits = std::move(taken);
    }
    if (!has_any) {
        return nullptr;
    }
    param = "metadata";
    if (!json::duplicate_key(from).empty()) {
        return "says something twice";
    }
    metadata = without_model_limits(from);
    return nullptr;
}

Wrong read_model_budgets(json::Value value, LimitSet &limits) {
    if (Wrong wrong = check_rows_of_models(value, "must be an object of models and budgets")) {
        return wrong;
    }
    for (ModelLimit &limit : limits.models) {
        limit.budgets.clear();
    }
    for (auto [name, given] : value.members()) {
        std::vector<Budget> budgets;
        if (given.is_array() && given.size() > kMaxBudgets) {
            return "is too long";
        }
        if (given.is_array()) {
            for (json::Value item : given.items()) {
                if (Wrong wrong = read_model_budget(item, budgets.emplace_back())) {
                    return wrong;
                }
            }
        } else if (!given.is_null()) {
            if (Wrong wrong = read_model_budget(given, budgets.emplace_back())) {
                return wrong;
            }
        }
        if (has_twin(budgets)) {
            return "has two budgets of a model for one time_period";
        }
        limits.of_model(plain(name)).budgets = std::move(budgets);
    }
    drop_empty_rows(limits);
    return nullptr;
}

void write_limits(const LimitSet &limits, Members &m) {
    m.number("rpm_limit", limits.rpm);
    m.number("tpm_limit", limits.tpm);
    m.number("max_parallel_requests", limits.max_parallel_requests);
    if (limits.tokens != TokenKind::total) {
        m.text("tpm_limit_type", std::string(kTokenWords[size_t(limits.tokens)]));
    }
    if (limits.on_outage) {
        m.text("on_outage", std::string(name(*limits.on_outage)));
    }
    size_t own_budgets = limits.own_budgets();
    const Budget *own = own_budgets == 0 ? nullptr : &limits.budgets[0];
    m.dollars("max_budget", own != nullptr ? own->nanos : kNoLimit);
    std::string next = render_period(limits.next_period);
    m.text("budget_duration", own != nullptr ? render_period(own->period)
                              : m.is_shown() ? next
                                             : "");
    if (!m.is_shown()) {
        m.text(kNextDuration, next);
    }
    if (m.begin("budget_limits", limits.budgets.size() > own_budgets)) {
        json::Writer &w = m.writer().array();
        for (size_t i = own_budgets; i < limits.budgets.size(); i++) {
            write_budget(limits.budgets[i], "max_budget", "budget_duration", w);
        }
        w.end();
    }
    m.dollars("soft_budget", limits.soft_budget);
    write_model_limits("model_rpm_limit", limits.models, &ModelLimit::rpm, m);
    write_model_limits("model_tpm_limit", limits.models, &ModelLimit::tpm, m);
    write_model_limits("model_max_parallel_requests", limits.models,
                       &ModelLimit::max_parallel_requests, m);
    write_model_budgets(limits.models, m);
}

}  // namespace llm
