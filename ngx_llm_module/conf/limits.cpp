// The words for periods, amounts and times, as the configuration and the admin API write them.
#include "ngx_llm_module/conf/limits.hpp"

#include <charconv>
#include <chrono>
#include <cstdio>

#include "translators/pricing/price_file.hpp"

namespace llm {
namespace {

constexpr int64_t kDay = 86400;
constexpr int64_t kMonth = 30 * kDay;  // usually
constexpr int64_t kLongest = 100 * 366 * kDay;
constexpr int64_t kLatest = 253402300799;  // the end of the year 9999

struct Unit {
    std::string_view name;
    int64_t seconds;
};

constexpr Unit kUnits[] = {{"s", 1},    {"m", 60},       {"h", 3600},
                           {"d", kDay}, {"w", 7 * kDay}, {"mo", kMonth}};

// NUMBER UNIT. False: unreadable, nothing, or too long.
bool parse_length(std::string_view text, int64_t &number, Unit &unit) {
    auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (code != std::errc() || number <= 0 || number > kLongest) {
        return false;
    }
    std::string_view name = text.substr(size_t(end - text.data()));
    for (const Unit &known : kUnits) {
        if (known.name == name) {
            unit = known;
            return number <= kLongest / known.seconds;
        }
    }
    return false;
}

bool parse_digits(std::string_view text, size_t at, size_t count, int &number) {
    number = 0;
    for (size_t i = at; i < at + count; i++) {
        if (i >= text.size() || text[i] < '0' || text[i] > '9') {
            return false;
        }
        number = number * 10 + (text[i] - '0');
    }
    return true;
}

// "Z", "+02:00" or nothing, which is UTC.
bool parse_offset(std::string_view text, int64_t &seconds) {
    seconds = 0;
    if (text.empty() || text == "Z" || text == "z") {
        return true;
    }
    int hours = 0, minutes = 0;
    if ((text[0] != '+' && text[0] != '-') || text.size() != 6 || text[3] != ':' ||
        !parse_digits(text, 1, 2, hours) || !parse_digits(text, 4, 2, minutes) || hours > 23 ||
        minutes > 59) {
        return false;
    }
    seconds = (hours * 3600 + minutes * 60) * (text[0] == '-' ? -1 : 1);
    return true;
}

}  // namespace

std::string_view name(OnOutage on_outage) {
    switch (on_outage) {
        case OnOutage::local:
            return "local";
        case OnOutage::allow:
            return "allow";
        case OnOutage::deny:
            return "deny";
    }
    return {};
}

bool parse_on_outage(std::string_view text, OnOutage &on_outage) {
    for (OnOutage known : {OnOutage::local, OnOutage::allow, OnOutage::deny}) {
        if (name(known) == text) {
            on_outage = known;
            return true;
        }
    }
    return false;
}

bool parse_period(std::string_view text, Period &period) {
    constexpr std::string_view kRolling = "/rolling";
    bool is_rolling = text.ends_with(kRolling);
    if (is_rolling) {
        text.remove_suffix(kRolling.size());
    }
    int64_t number = 0;
    Unit unit{};
    if (!parse_length(text, number, unit)) {
        return false;
    }
    period = Period();
    period.seconds = uint32_t(number * unit.seconds);
    if (is_rolling || unit.seconds < kDay) {
        period.kind = PeriodKind::sliding;
        return true;
    }
    period.kind = PeriodKind::calendar;
    if (unit.seconds == kMonth || (unit.seconds == kDay && number == 30)) {
        period.unit = CalendarUnit::month;
        period.count = unit.seconds == kMonth ? uint32_t(number) : 1;
    } else if (unit.seconds == 7 * kDay || (unit.seconds == kDay && number == 7)) {
        period.unit = CalendarUnit::week;
        period.count = unit.seconds == kDay ? 1 : uint32_t(number);
    } else {
        period.unit = CalendarUnit::day;
        period.count = uint32_t(number);
    }
    return true;
}

std::string render_period(const Period &period) {
    auto length = [](int64_t seconds) {
        return seconds % kDay == 0   ? std::to_string(seconds / kDay) + "d"
               : seconds % 3600 == 0 ? std::to_string(seconds / 3600) + "h"
               : seconds % 60 == 0   ? std::to_string(seconds / 60) + "m"
                                     : std::to_string(seconds) + "s";
    };
    switch (period.kind) {
        case PeriodKind::forever:
            return {};
        case PeriodKind::sliding:
            return length(period.seconds) + (period.seconds % kDay == 0 ? "/rolling" : "");
        case PeriodKind::calendar:
            break;
    }
    switch (period.unit) {
        case CalendarUnit::day:
            return std::to_string(period.count) + "d";
        case CalendarUnit::week:
            return period.count == 1 ? "7d" : std::to_string(period.count) + "w";
        case CalendarUnit::month:
            break;
    }
    return period.count == 1 ? "30d" : std::to_string(period.count) + "mo";
}

int64_t parse_duration(std::string_view text) {
    int64_t number = 0;
    Unit unit{};
    return parse_length(text, number, unit) ? number * unit.seconds : -1;
}

int64_t parse_dollars(std::string_view text) {
    constexpr int kNano = 9;
    int64_t nanos = parse_amount(text, kNano);
    bool is_zero = text.substr(0, text.find_first_of("eE")).find_first_of("123456789") == text.npos;
    return nanos == 0 && !is_zero ? 1 : nanos;
}

int64_t parse_time(std::string_view text) {
    int64_t seconds = 0;
    auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), seconds);
    if (code == std::errc() && end == text.data() + text.size() && !text.empty()) {
        return seconds >= 0 && seconds <= kLatest ? seconds : -1;
    }
    int year = 0, month = 0, day = 0, hour = 23, minute = 59, second = 59;
    if (!parse_digits(text, 0, 4, year) || !parse_digits(text, 5, 2, month) ||
        !parse_digits(text, 8, 2, day) || text[4] != '-' || text[7] != '-') {
        return -1;
    }
    int64_t offset = 0;
    bool has_time = text.size() > 10;
    if (has_time) {
        if ((text[10] != 'T' && text[10] != 't' && text[10] != ' ') ||
            !parse_digits(text, 11, 2, hour) || !parse_digits(text, 14, 2, minute) ||
            !parse_digits(text, 17, 2, second) || text[13] != ':' || text[16] != ':') {
            return -1;
        }
        std::string_view rest = text.substr(19);
        if (rest.starts_with('.')) {
            rest.remove_prefix(1);
            while (!rest.empty() && rest[0] >= '0' && rest[0] <= '9') {
                rest.remove_prefix(1);
            }
        }
        if (!parse_offset(rest, offset)) {
            return -1;
        }
    }
    std::chrono::year_month_day date{std::chrono::year(year), std::chrono::month(unsigned(month)),
                                     std::chrono::day(unsigned(day))};
    if (!date.ok() || hour > 23 || minute > 59 || second > 59) {
        return -1;
    }
    int64_t days = std::chrono::sys_days(date).time_since_epoch().count();
    int64_t time = days * kDay + hour * 3600 + minute * 60 + second - offset;
    return time >= 0 && time <= kLatest ? time : -1;
}

Moment parse_moment(std::string_view text) {
    Moment moment{std::max<int64_t>(0, parse_time(text)), 0};
    size_t point = text.find('.');
    if (moment.is_known() && point != std::string_view::npos) {
        std::string digits(text.substr(point + 1));
        digits.resize(std::min(digits.find_first_not_of("0123456789"), digits.size()));
        digits.resize(6, '0');
        std::from_chars(digits.data(), digits.data() + digits.size(), moment.micros);
    }
    return moment;
}

std::string render_moment(const Moment &moment) {
    std::string text = render_time(moment.time);
    if (moment.micros != 0) {
        char fraction[16];
        int size = snprintf(fraction, sizeof(fraction), ".%06d", int(moment.micros));
        text.insert(text.size() - 1, fraction, size_t(size));
    }
    return text;
}

std::string render_time(int64_t time) {
    std::chrono::sys_days days{std::chrono::days(time / kDay)};
    std::chrono::year_month_day date(days);
    int second = int(time % kDay);
    char text[32];
    int size = snprintf(text, sizeof(text), "%04d-%02u-%02uT%02d:%02d:%02dZ", int(date.year()),
                        unsigned(date.month()), unsigned(date.day()), second / 3600,
                        second / 60 % 60, second % 60);
    return std::string(text, size_t(size));
}

ModelLimit &LimitSet::of_model(std::string_view model) {
    for (ModelLimit &limit : models) {
        if (limit.model == model) {
            return limit;
        }
    }
    ModelLimit &limit = models.emplace_back();
    limit.model = model;
    return limit;
}

}  // namespace llm
