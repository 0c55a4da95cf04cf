// How much somebody may use: the words of llm_key, llm_team, llm_limit, a deployment and the admin
// API. What is counted against them lives in policy/. Plain data without nginx.
#pragma once

#include <cstdint>
#include <string>
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

// Which tokens tpm counts.
enum class TokenKind : uint8_t { total, input, output };

struct Budget {
    int64_t nanos = 0;  // nano-dollars
    Period period;
};

// Of one model within a key or team. The name may end in *.
struct ModelLimit {
    std::string model;
    int64_t rpm = kNoLimit;
    int64_t tpm = kNoLimit;
};

struct LimitSet {
    int64_t rpm = kNoLimit;
    int64_t tpm = kNoLimit;
    int64_t max_parallel_requests = kNoLimit;
    TokenKind tokens = TokenKind::total;
    std::vector<Budget> budgets;     // all of them hold
    int64_t soft_budget = kNoLimit;  // nano-dollars: only reported
    std::vector<ModelLimit> models;
};

}  // namespace llm
