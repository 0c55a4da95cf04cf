// Sliding windows: no stretch of one period ever sees more than the limit, nothing stays longer
// than it must, and the time until there is room is exact.
#include <gtest/gtest.h>

#include <deque>
#include <random>
#include <utility>

#include "ngx_llm_module/state/window.hpp"

namespace llm {
namespace {

constexpr int64_t kMinuteMs = 60000;

struct Limited {
    Window window{};
    Period period = kOneMinute;

    bool ask(int64_t now, int64_t amount, int64_t limit) {
        Room room = room_for(amount, limit, window_sum(window, period, now), 0);
        if (room.fits) {
            window_add(window, period, now, amount);
        }
        return room.fits;
    }
};

TEST(Window, BurstLeavesExactlyOnePeriodLater) {
    for (int64_t begin : {0, 4999, 5000, 123456789}) {
        Limited limited;
        for (int i = 0; i < 10; i++) {
            EXPECT_TRUE(limited.ask(begin, 1, 10));
        }
        EXPECT_FALSE(limited.ask(begin, 1, 10));
        EXPECT_EQ(window_frees(limited.window, kOneMinute, begin, 1), kMinuteMs);
        EXPECT_FALSE(limited.ask(begin + kMinuteMs - 1, 1, 10)) << begin;
        EXPECT_EQ(window_sum(limited.window, kOneMinute, begin + kMinuteMs), 0) << begin;
        EXPECT_TRUE(limited.ask(begin + kMinuteMs, 1, 10)) << begin;
    }
}

TEST(Window, NoBurstOfTwiceTheLimitAtTheSeam) {
    Limited limited;
    for (int i = 0; i < 10; i++) {
        EXPECT_TRUE(limited.ask(kMinuteMs - 1, 1, 10));
    }
    EXPECT_FALSE(limited.ask(kMinuteMs, 1, 10));
    EXPECT_FALSE(limited.ask(kMinuteMs + 5000, 1, 10));
}

// Against a list of every event: random gaps, random amounts.
TEST(Window, NoMinuteEverSeesMoreThanTheLimit) {
    std::mt19937 random(7);
    for (int round = 0; round < 20; round++) {
        Limited limited;
        std::deque<std::pair<int64_t, int64_t>> passed;
        int64_t now = int64_t(random() % 1000000), limit = 1 + int64_t(random() % 200), seen = 0;
        int64_t all = 0;
        for (int i = 0; i < 5000; i++) {
            now += int64_t(random() % (1 + random() % 3000));
            int64_t amount = 1 + int64_t(random() % 5);
            while (!passed.empty() && passed.front().first + kMinuteMs <= now) {
                seen -= passed.front().second;
                passed.pop_front();
            }
            Window &window = limited.window;
            int64_t used = window_sum(window, kOneMinute, now);
            ASSERT_GE(used, seen);  // never less than what the true window holds
            Room room = room_for(amount, limit, used, 0);
            if (room.fits) {
                window_add(window, kOneMinute, now, room.held);
                passed.emplace_back(now, room.held);
                seen += room.held;
                all += room.held;
                ASSERT_LE(seen, limit);
            } else {
                int64_t wait =
                    window_frees(window, kOneMinute, now, excess_of(amount, limit, used, 0));
                ASSERT_GT(wait, 0);
                ASSERT_LE(wait, kMinuteMs);
                EXPECT_FALSE(
                    room_for(amount, limit, window_sum(window, kOneMinute, now + wait - 1), 0)
                        .fits);
                EXPECT_TRUE(
                    room_for(amount, limit, window_sum(window, kOneMinute, now + wait), 0).fits);
            }
        }
        EXPECT_GT(all, limit);
    }
}

// What is counted too long is counted so by one step at most.
TEST(Window, NothingStaysLongerThanAStep) {
    Limited limited;
    for (int64_t now = 0; now < 300000; now += 100) {
        window_add(limited.window, kOneMinute, now, 1);
        int64_t used = window_sum(limited.window, kOneMinute, now);
        EXPECT_LE(used, (kMinuteMs + 5000) / 100) << now;
        EXPECT_GE(used, std::min<int64_t>(now / 100 + 1, 600)) << now;
    }
}

TEST(Window, LongAndShortPeriods) {
    for (uint32_t seconds : {1u, 7u, 60u, 86400u, 30u * 86400u}) {
        Period period{PeriodKind::sliding, seconds};
        Window window{};
        int64_t length = int64_t(seconds) * 1000;
        for (int64_t begin : {int64_t(12345), 3 * length + 17}) {
            window = {};
            window_add(window, period, begin, 5);
            EXPECT_EQ(window_sum(window, period, begin + length - 1), 5) << seconds;
            EXPECT_EQ(window_sum(window, period, begin + length), 0) << seconds;
        }
    }
}

TEST(Window, ForgivesAClockThatIsALittleBehind) {
    Window window{};
    window_add(window, kOneMinute, 100000, 1);
    window_add(window, kOneMinute, 99990, 1);
    window_add(window, kOneMinute, 94990, 1);
    EXPECT_EQ(window_sum(window, kOneMinute, 99990), 3);
    EXPECT_EQ(window_sum(window, kOneMinute, 159999), 3);
    EXPECT_EQ(window_sum(window, kOneMinute, 160000), 0);
}

// Whatever the order: as if each had been counted at its time.
TEST(Window, WhatComesLateLeavesInItsTime) {
    for (int64_t begin : {int64_t(0), int64_t(1000000)}) {
        Window window{}, again{};
        for (int64_t at : {41000, 1000, 21000, 2000, 43000}) {
            window_add_late(window, kOneMinute, begin + at, at);
        }
        for (int64_t at : {1000, 2000, 21000, 41000, 43000}) {
            window_add(again, kOneMinute, begin + at, at);
        }
        for (int64_t now = begin + 43000; now < begin + 110000; now += 500) {
            ASSERT_EQ(window_sum(window, kOneMinute, now), window_sum(again, kOneMinute, now))
                << now;
        }
    }
    Window window{};
    window_add(window, kOneMinute, 200000, 1);
    window_add_late(window, kOneMinute, 100000, 5);
    EXPECT_EQ(window_sum(window, kOneMinute, 200000), 1) << "it is gone already";
}

TEST(Window, FreesInTheOrderOfComing) {
    Window window{};
    window_add(window, kOneMinute, 1000, 4);
    window_add(window, kOneMinute, 21000, 4);
    window_add(window, kOneMinute, 41000, 4);
    EXPECT_EQ(window_frees(window, kOneMinute, 50000, 0), 0);
    EXPECT_EQ(window_frees(window, kOneMinute, 50000, 4), 11000);
    EXPECT_EQ(window_frees(window, kOneMinute, 50000, 5), 31000);
    EXPECT_EQ(window_frees(window, kOneMinute, 50000, 12), 51000);
    EXPECT_EQ(window_frees(window, kOneMinute, 50000, 13), -1);
}

TEST(Window, SavedStepsMakeTheSameWindow) {
    Window window{}, again{};
    Period period{PeriodKind::sliding, 86400};
    for (int64_t now = 0; now < 100000000; now += 777777) {
        window_add(window, period, now, 3);
    }
    int64_t now = 100000000;
    WindowStep steps[kKeptSteps];
    int count = window_steps(window, period, now, steps);
    for (int i = 0; i < count; i++) {
        window_add(again, period, steps[i].last, steps[i].amount);
    }
    for (; now < 200000000; now += 333333) {
        ASSERT_EQ(window_sum(window, period, now), window_sum(again, period, now)) << now;
    }
}

TEST(Room, OfWhatIsLeft) {
    EXPECT_TRUE(room_for(1, 1, 0, 0).fits);
    EXPECT_FALSE(room_for(1, 1, 1, 0).fits);
    EXPECT_FALSE(room_for(1, 1, 0, 1).fits);
    EXPECT_FALSE(room_for(1, 0, 0, 0).fits);
    // Larger than the limit: alone it passes, and holds all that is left.
    EXPECT_EQ(room_for(500, 100, 40, 0).held, 60);
    EXPECT_FALSE(room_for(500, 100, 40, 1).fits);
    EXPECT_FALSE(room_for(30, 100, 40, 31).fits);
    EXPECT_TRUE(room_for(30, 100, 40, 30).fits);
    // Costs nothing: refused where nothing is left.
    EXPECT_FALSE(room_for(0, 100, 100, 0).fits);
    EXPECT_TRUE(room_for(0, 100, 99, 0).fits);
    EXPECT_TRUE(room_for(1000, std::numeric_limits<int64_t>::max(), 5, 5).fits);
}

}  // namespace
}  // namespace llm
