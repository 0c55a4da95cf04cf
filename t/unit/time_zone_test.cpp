// Local time and calendar periods, against the C library's and against dates looked up by hand.
#include <gtest/gtest.h>

#include <cstdlib>
#include <ctime>
#include <fstream>
#include <sstream>

#include "ngx_llm_module/conf/time_zone.hpp"

namespace llm {
namespace {

constexpr int64_t kDay = 86400;

std::string file_of(const std::string &name) {
    std::ifstream file("/usr/share/zoneinfo/" + name, std::ios::binary);
    std::stringstream content;
    content << file.rdbuf();
    return content.str();
}

TimeZone zone_of(const std::string &name) {
    TimeZone zone;
    EXPECT_TRUE(zone.parse(file_of(name))) << name;
    return zone;
}

int64_t utc(int64_t year, int month, int day, int hour = 0, int minute = 0) {
    return days_from_civil(year, month, day) * kDay + hour * 3600 + minute * 60;
}

Period calendar(CalendarUnit unit, uint32_t count = 1) {
    return {PeriodKind::calendar, 0, unit, count};
}

const char *const kZones[] = {"Europe/Berlin",       "America/New_York", "Asia/Kolkata",
                              "Australia/Lord_Howe", "Pacific/Apia",     "America/Sao_Paulo",
                              "Asia/Tehran",         "Africa/Casablanca"};

TEST(TimeZone, OffsetsAreThoseOfTheCLibrary) {
    const char *before = getenv("TZ");
    std::string saved = before != nullptr ? before : "";
    for (const char *name : kZones) {
        TimeZone zone = zone_of(name);
        setenv("TZ", name, 1);
        tzset();
        for (int64_t at = utc(1995, 1, 1); at < utc(2060, 1, 1); at += 7 * kDay / 2 + 977) {
            time_t moment = time_t(at);
            struct tm local;
            localtime_r(&moment, &local);
            ASSERT_EQ(zone.offset(at), local.tm_gmtoff) << name << " " << at;
        }
    }
    saved.empty() ? unsetenv("TZ") : setenv("TZ", saved.c_str(), 1);
    tzset();
}

TEST(TimeZone, DatesThereAndBack) {
    for (int64_t day = -200000; day < 200000; day += 13) {
        CivilDay date = civil_from_days(day);
        ASSERT_EQ(days_from_civil(date.year, date.month, date.day), day);
    }
    EXPECT_EQ(days_from_civil(1970, 1, 1), 0);
    EXPECT_EQ(days_from_civil(2024, 2, 29) + 1, days_from_civil(2024, 3, 1));
}

TEST(TimeZone, DaysBeginAtLocalMidnight) {
    TimeZone berlin = zone_of("Europe/Berlin");
    PeriodBounds winter =
        calendar_bounds(berlin, calendar(CalendarUnit::day), utc(2026, 1, 15, 12));
    EXPECT_EQ(winter.begin, utc(2026, 1, 14, 23));
    EXPECT_EQ(winter.end, utc(2026, 1, 15, 23));
    // The clocks go forward on 29 March 2026: 23 hours; back on 25 October: 25.
    PeriodBounds spring =
        calendar_bounds(berlin, calendar(CalendarUnit::day), utc(2026, 3, 29, 12));
    EXPECT_EQ(spring.end - spring.begin, 23 * 3600);
    PeriodBounds autumn =
        calendar_bounds(berlin, calendar(CalendarUnit::day), utc(2026, 10, 25, 12));
    EXPECT_EQ(autumn.end - autumn.begin, 25 * 3600);
    EXPECT_EQ(autumn.begin, utc(2026, 10, 24, 22));
}

TEST(TimeZone, WeeksBeginOnMondayAndMonthsOnTheFirst) {
    TimeZone utc_zone;
    PeriodBounds week = calendar_bounds(utc_zone, calendar(CalendarUnit::week), utc(2026, 11, 21));
    EXPECT_EQ(week.begin, utc(2026, 11, 16));
    EXPECT_EQ(week.end, utc(2026, 11, 23));
    TimeZone york = zone_of("America/New_York");
    PeriodBounds month = calendar_bounds(york, calendar(CalendarUnit::month), utc(2026, 12, 1, 4));
    EXPECT_EQ(month.begin, utc(2026, 11, 1, 4));  // still daylight saving time
    EXPECT_EQ(month.end, utc(2026, 12, 1, 5));
    PeriodBounds quarter =
        calendar_bounds(utc_zone, calendar(CalendarUnit::month, 3), utc(2026, 11, 21));
    EXPECT_EQ(quarter.begin, utc(2026, 10, 1));
    EXPECT_EQ(quarter.end, utc(2027, 1, 1));
}

// Periods follow each other without a gap, and every moment lies in its own.
TEST(TimeZone, PeriodsFillAllTime) {
    for (const char *name : kZones) {
        TimeZone zone = zone_of(name);
        for (CalendarUnit unit : {CalendarUnit::day, CalendarUnit::week, CalendarUnit::month}) {
            for (uint32_t count : {1u, 2u, 7u}) {
                Period period = calendar(unit, count);
                int64_t at = utc(2017, 1, 1);
                PeriodBounds bounds = calendar_bounds(zone, period, at);
                while (at < utc(2040, 1, 1)) {
                    ASSERT_LE(bounds.begin, at) << name;
                    ASSERT_GT(bounds.end, at) << name;
                    PeriodBounds last = calendar_bounds(zone, period, bounds.end - 1);
                    ASSERT_EQ(last.begin, bounds.begin) << name << " " << at;
                    ASSERT_EQ(last.end, bounds.end) << name << " " << at;
                    PeriodBounds next = calendar_bounds(zone, period, bounds.end);
                    ASSERT_EQ(next.begin, bounds.end) << name << " " << at;
                    at = bounds.end;
                    bounds = next;
                }
            }
        }
    }
}

TEST(TimeZone, RefusesWhatIsNoZoneFile) {
    std::string good = file_of("Europe/Berlin");
    TimeZone zone;
    EXPECT_FALSE(zone.parse(""));
    EXPECT_FALSE(zone.parse("TZif"));
    EXPECT_FALSE(zone.parse(std::string(100, 'x')));
    for (size_t size = 0; size < good.size(); size++) {
        (void)zone.parse(std::string_view(good).substr(0, size));
    }
    for (size_t at = 0; at < good.size(); at++) {
        std::string bad = good;
        bad[at] = char(bad[at] ^ 0xff);
        if (zone.parse(bad)) {
            (void)calendar_bounds(zone, calendar(CalendarUnit::day), utc(2026, 11, 21));
        }
    }
}

}  // namespace
}  // namespace llm
