// Reads TZif files and the POSIX rule at their end; calendar arithmetic.
#include "ngx_llm_module/conf/time_zone.hpp"

#include <algorithm>

namespace llm {
namespace {

constexpr int64_t kDay = 86400;
constexpr size_t kHeaderSize = 44;

int64_t floor_div(int64_t a, int64_t b) {
    int64_t quotient = a / b;
    return a % b < 0 ? quotient - 1 : quotient;
}

bool is_leap(int64_t year) {
    return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

int64_t big_endian(std::string_view bytes, size_t at, size_t size) {
    uint64_t value = 0;
    for (size_t i = 0; i < size; i++) {
        value = value << 8 | uint8_t(bytes[at + i]);
    }
    return size == 4 ? int64_t(int32_t(uint32_t(value))) : int64_t(value);
}

struct Counts {
    size_t ut, standard, leaps, changes, types, chars;
};

// False: no header, or counts that cannot be.
bool read_header(std::string_view file, size_t at, Counts &counts) {
    if (file.size() < at + kHeaderSize || file.substr(at, 4) != "TZif") {
        return false;
    }
    size_t *all[] = {&counts.ut,      &counts.standard, &counts.leaps,
                     &counts.changes, &counts.types,    &counts.chars};
    for (size_t i = 0; i < 6; i++) {
        int64_t count = big_endian(file, at + 20 + i * 4, 4);
        if (count < 0 || size_t(count) > file.size()) {
            return false;
        }
        *all[i] = size_t(count);
    }
    return counts.types > 0;
}

size_t data_size(const Counts &counts, size_t time_size) {
    return counts.changes * (time_size + 1) + counts.types * 6 + counts.chars +
           counts.leaps * (time_size + 4) + counts.standard + counts.ut;
}

// --- POSIX rules: CET-1CEST,M3.5.0,M10.5.0/3 --------------------------------------------------

struct RuleText {
    std::string_view rest;

    bool take(char c) {
        if (!rest.starts_with(c)) {
            return false;
        }
        rest.remove_prefix(1);
        return true;
    }
    bool name() {
        size_t size = 0;
        if (take('<')) {
            size = rest.find('>');
            if (size == std::string_view::npos) {
                return false;
            }
            rest.remove_prefix(size + 1);
            return true;
        }
        while (size < rest.size() && ((rest[size] | 0x20) >= 'a' && (rest[size] | 0x20) <= 'z')) {
            size++;
        }
        rest.remove_prefix(size);
        return size >= 3;
    }
    bool number(int &value) {
        size_t size = 0;
        value = 0;
        while (size < rest.size() && size < 4 && rest[size] >= '0' && rest[size] <= '9') {
            value = value * 10 + (rest[size++] - '0');
        }
        rest.remove_prefix(size);
        return size > 0;
    }
    // [+-]hh[:mm[:ss]]
    bool time(int32_t &seconds) {
        bool is_negative = take('-');
        if (!is_negative) {
            take('+');
        }
        int hours = 0, minutes = 0, rest_seconds = 0;
        if (!number(hours) || (take(':') && !number(minutes)) ||
            (take(':') && !number(rest_seconds))) {
            return false;
        }
        seconds = hours * 3600 + minutes * 60 + rest_seconds;
        seconds = is_negative ? -seconds : seconds;
        return true;
    }
    bool date(ZoneSwitch &when) {
        if (take('M')) {
            when.kind = ZoneSwitch::Kind::month_week_day;
            if (!number(when.month) || !take('.') || !number(when.week) || !take('.') ||
                !number(when.day)) {
                return false;
            }
            if (when.month < 1 || when.month > 12 || when.week < 1 || when.week > 5 ||
                when.day > 6) {
                return false;
            }
        } else {
            when.kind =
                take('J') ? ZoneSwitch::Kind::julian_without_leap : ZoneSwitch::Kind::julian;
            if (!number(when.day)) {
                return false;
            }
        }
        return !take('/') || time(when.seconds);
    }
};

// Local seconds since 1970 of a switch in that year.
int64_t local_of(const ZoneSwitch &when, int64_t year) {
    int64_t day = days_from_civil(year, 1, 1);
    switch (when.kind) {
        case ZoneSwitch::Kind::julian:
            day += when.day;
            break;
        case ZoneSwitch::Kind::julian_without_leap:
            day += when.day - 1 + (is_leap(year) && when.day >= 60 ? 1 : 0);
            break;
        case ZoneSwitch::Kind::month_week_day: {
            int64_t first = days_from_civil(year, when.month, 1);
            int64_t next = when.month == 12 ? days_from_civil(year + 1, 1, 1)
                                            : days_from_civil(year, when.month + 1, 1);
            int64_t weekday = (first + 4) % 7;  // 1970-01-01 was a Thursday
            weekday = weekday < 0 ? weekday + 7 : weekday;
            day = first + (when.day - weekday + 7) % 7 + (when.week - 1) * 7;
            day = day >= next ? day - 7 : day;
            break;
        }
    }
    return day * kDay + when.seconds;
}

}  // namespace

int64_t days_from_civil(int64_t year, int month, int day) {
    // Years that begin in March: the leap day is their last.
    year -= month <= 2 ? 1 : 0;
    int64_t era = floor_div(year, 400);
    int64_t of_era = year - era * 400;
    int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

CivilDay civil_from_days(int64_t days) {
    days += 719468;
    int64_t era = floor_div(days, 146097);
    int64_t of_era = days - era * 146097;
    int64_t year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    int64_t of_year = of_era - (365 * year + year / 4 - year / 100);
    int64_t month = (5 * of_year + 2) / 153;
    CivilDay result;
    result.day = int(of_year - (153 * month + 2) / 5 + 1);
    result.month = int(month < 10 ? month + 3 : month - 9);
    result.year = year + era * 400 + (result.month <= 2 ? 1 : 0);
    return result;
}

bool TimeZone::parse(std::string_view file) {
    *this = TimeZone();
    Counts counts{};
    if (!read_header(file, 0, counts)) {
        return false;
    }
    size_t at = kHeaderSize, time_size = 4;
    if (file[4] >= '2') {  // the same again, in 64 bits
        at += data_size(counts, 4);
        if (!read_header(file, at, counts)) {
            return false;
        }
        at += kHeaderSize;
        time_size = 8;
    }
    size_t size = data_size(counts, time_size);
    if (file.size() - at < size) {
        return false;
    }
    size_t indices = at + counts.changes * time_size;
    size_t types = indices + counts.changes;
    auto offset_of = [&](size_t type) { return int32_t(big_endian(file, types + type * 6, 4)); };
    first_offset_ = offset_of(0);
    for (size_t i = 0; i < counts.changes; i++) {
        auto type = size_t(uint8_t(file[indices + i]));
        if (type >= counts.types) {
            return false;
        }
        changes_.push_back({big_endian(file, at + i * time_size, time_size), offset_of(type)});
    }
    std::string_view footer = file.substr(at + size);
    if (time_size == 8 && footer.starts_with('\n')) {
        footer.remove_prefix(1);
        footer = footer.substr(0, footer.find('\n'));
        has_rule_ = !footer.empty();
        return !has_rule_ || parse_rule(footer);
    }
    return true;
}

bool TimeZone::parse_rule(std::string_view text) {
    RuleText rule{text};
    int32_t west = 0;
    if (!rule.name() || !rule.time(west)) {
        return false;
    }
    rule_.standard = -west;
    if (rule.rest.empty()) {
        return true;
    }
    rule_.has_summer = true;
    rule_.summer = rule_.standard + 3600;
    if (!rule.name()) {
        return false;
    }
    if (!rule.rest.starts_with(',')) {
        if (!rule.time(west)) {
            return false;
        }
        rule_.summer = -west;
    }
    return rule.take(',') && rule.date(rule_.begin) && rule.take(',') && rule.date(rule_.end) &&
           rule.rest.empty();
}

int32_t TimeZone::by_rule(int64_t utc) const {
    if (!rule_.has_summer) {
        return rule_.standard;
    }
    int64_t year = civil_from_days(floor_div(utc + rule_.standard, kDay)).year;
    int64_t begin = local_of(rule_.begin, year) - rule_.standard;
    int64_t end = local_of(rule_.end, year) - rule_.summer;
    bool is_summer = begin < end ? utc >= begin && utc < end : utc >= begin || utc < end;
    return is_summer ? rule_.summer : rule_.standard;
}

int32_t TimeZone::offset(int64_t utc) const {
    auto after = std::upper_bound(changes_.begin(), changes_.end(), utc,
                                  [](int64_t at, const Change &change) { return at < change.at; });
    if (after == changes_.end() && has_rule_) {
        return by_rule(utc);
    }
    return after == changes_.begin() ? first_offset_ : std::prev(after)->offset;
}

int64_t TimeZone::first_at(int64_t local) const {
    int32_t before = offset(local - kDay), after = offset(local + kDay);
    // Set forward over `local`: the moment of the switch. Set back over it: its first time.
    int64_t early = local - std::max(before, after), late = local - std::min(before, after);
    return early + offset(early) >= local ? early : late;
}

PeriodBounds calendar_bounds(const TimeZone &zone, const Period &period, int64_t utc) {
    int64_t count = std::max<int64_t>(period.count, 1);
    int64_t today = floor_div(utc + zone.offset(utc), kDay);
    int64_t begin = 0, end = 0;
    switch (period.unit) {
        case CalendarUnit::day:
            begin = floor_div(today, count) * count;
            end = begin + count;
            break;
        case CalendarUnit::week: {
            constexpr int64_t kFirstMonday = 4;  // 1970-01-05
            int64_t week = floor_div(today - kFirstMonday, 7);
            week = floor_div(week, count) * count;
            begin = week * 7 + kFirstMonday;
            end = begin + count * 7;
            break;
        }
        case CalendarUnit::month: {
            CivilDay day = civil_from_days(today);
            int64_t month = day.year * 12 + day.month - 1;
            month = floor_div(month, count) * count;
            begin = days_from_civil(floor_div(month, 12), int(month % 12) + 1, 1);
            month += count;
            end = days_from_civil(floor_div(month, 12), int(month % 12) + 1, 1);
            break;
        }
    }
    return {zone.first_at(begin * kDay), zone.first_at(end * kDay)};
}

}  // namespace llm
