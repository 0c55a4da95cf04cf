// Local time of a named zone, read from the system's TZif files when the configuration is: no
// environment, no locale, no call that may block afterwards. Also where calendar periods begin.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "ngx_llm_module/conf/limits.hpp"

namespace llm {

// One end of daylight saving time, as in a POSIX rule: M3.5.0/2, J60, 59.
struct ZoneSwitch {
    enum class Kind : uint8_t { month_week_day, julian_without_leap, julian } kind;
    int month = 0, week = 0, day = 0;
    int32_t seconds = 7200;  // local time of the switch
};

class TimeZone {
  public:
    // UTC.
    TimeZone() = default;
    // The content of a TZif file (RFC 8536). False: it is not one.
    bool parse(std::string_view file);

    // Seconds east of UTC at that moment.
    int32_t offset(int64_t utc) const;
    // The first moment whose local time is `local` (seconds since 1970 as if it were UTC) or later.
    int64_t first_at(int64_t local) const;

  private:
    struct Change {
        int64_t at;
        int32_t offset;  // from then on
    };
    struct Rule {
        int32_t standard = 0;
        bool has_summer = false;
        int32_t summer = 0;
        ZoneSwitch begin, end;
    };

    int32_t by_rule(int64_t utc) const;
    bool parse_rule(std::string_view text);

    int32_t first_offset_ = 0;  // before the first change
    std::vector<Change> changes_;
    bool has_rule_ = false;
    Rule rule_;  // after the last change
};

// When the calendar period that holds `utc` began and when the next one begins.
struct PeriodBounds {
    int64_t begin = 0;
    int64_t end = 0;
};
PeriodBounds calendar_bounds(const TimeZone &zone, const Period &period, int64_t utc);

// Days since 1970-01-01 of the Gregorian calendar, and back.
int64_t days_from_civil(int64_t year, int month, int day);
struct CivilDay {
    int64_t year;
    int month, day;
};
CivilDay civil_from_days(int64_t days);

}  // namespace llm
