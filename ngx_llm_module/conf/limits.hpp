// How much somebody may use: the words of llm_key, llm_team, llm_limit, a deployment and the admin
// API. What is counted against them lives in policy/. Plain data without nginx.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace llm {

constexpr int64_t kNoLimit = -1;

// Over which time something is counted.
enum class PeriodKind : uint8_t {
    forever,   // never begins anew
    sliding,   // the last `seconds`
    calendar,  // whole days, weeks or months in the zone's time zone
};

enum class CalendarUnit : uint8_t { day, week, month };

struct Period {
    PeriodKind kind = PeriodKind::forever;
    uint32_t seconds = 0;                   // sliding: its length; calendar: its usual length
    CalendarUnit unit = CalendarUnit::day;  // calendar
    uint32_t count = 1;                     // calendar: so many units

    bool operator==(const Period &) const = default;
};

constexpr Period kOneMinute{PeriodKind::sliding, 60};

// "1d", "7d" (also "1w"), "30d" (also "1mo"): the calendar's day, week, month; other whole days and
// weeks are counted from the calendar, too. "30d/rolling", seconds (s), minutes (m) and hours (h)
// slide. False: unreadable.
bool parse_period(std::string_view text, Period &period);
// As parse_period reads it; empty: forever.
std::string render_period(const Period &period);

// "90s", "15m", "12h", "30d", "2w", "1mo" in seconds; negative: unreadable.
int64_t parse_duration(std::string_view text);

// Dollars as nano-dollars, of which anything above zero is one at least: 0 lets nothing pass.
// Negative: unreadable, negative or too large.
int64_t parse_dollars(std::string_view text);

// Unix time of "2026-12-31" (its end in UTC), "2026-12-31T23:59:59Z" (or +02:00; without a zone it
// is UTC) or seconds; negative: unreadable.
int64_t parse_time(std::string_view text);
// "2026-12-31T23:59:59Z"
std::string render_time(int64_t time);

// When a record was made. Its order among others of one second is kept, too.
struct Moment {
    int64_t time = 0;  // Unix time; 0: not known
    int64_t micros = 0;

    bool is_known() const { return time != 0; }
    int64_t order() const { return time * 1000000 + micros; }
};
// "2026-12-31T23:59:59.000001Z"; without a fraction where there is none. Unreadable: not known.
Moment parse_moment(std::string_view text);
std::string render_moment(const Moment &moment);

// Which tokens tpm counts.
enum class TokenKind : uint8_t { total, input, output };

struct Budget {
    int64_t nanos = 0;  // nano-dollars
    Period period;
};

// Of one model within a key, team, user or customer. The name may end in *.
struct ModelLimit {
    std::string model;
    int64_t rpm = kNoLimit;
    int64_t tpm = kNoLimit;
    int64_t max_parallel_requests = kNoLimit;
    std::vector<Budget> budgets;  // all of them hold

    bool says_nothing() const {
        return rpm == kNoLimit && tpm == kNoLimit && max_parallel_requests == kNoLimit &&
               budgets.empty();
    }
};

// What a limit does while Redis cannot be asked.
enum class OnOutage : uint8_t {
    local,  // counts on this machine, reconciles later
    allow,
    deny,
};

std::string_view name(OnOutage on_outage);
// False: there is none of that name.
bool parse_on_outage(std::string_view text, OnOutage &on_outage);

struct LimitSet {
    int64_t rpm = kNoLimit;
    int64_t tpm = kNoLimit;
    int64_t max_parallel_requests = kNoLimit;
    TokenKind tokens = TokenKind::total;
    std::vector<Budget> budgets;   // all of them hold
    Period next_period;            // of max_budget, should there be one: budget_duration came first
    bool has_only_listed = false;  // max_budget is none of them: all are of budget_limits
    int64_t soft_budget = kNoLimit;  // nano-dollars: only reported
    std::vector<ModelLimit> models;
    std::optional<OnOutage> on_outage;  // none: as llm_redis says

    ModelLimit &of_model(std::string_view model);  // makes it when there is none
    // How many stand before those of budget_limits: 1 or 0.
    size_t own_budgets() const { return budgets.empty() || has_only_listed ? 0 : 1; }
};

}  // namespace llm
