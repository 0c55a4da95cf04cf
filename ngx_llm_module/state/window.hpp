// How amounts are counted over time: pure arithmetic, the same rules for shared memory and Redis.
//
// A sliding window keeps its period as 12 steps (and one more, that is just leaving). A step
// remembers what was added in it and when last, and counts until that last time is one period old.
// So nothing leaves before its time: no stretch of one period ever holds more than the limit,
// wherever it begins. What came at one moment leaves at one moment, exactly a period later; what
// came one after the other within a step (5 s of a minute) leaves with the last of it.
//
// A calendar period counts in one sum that begins anew at midnight, on Monday or on the first of
// the month in a time zone (time_zone.hpp); forever is a sum that never does.
#pragma once

#include <cstdint>

#include "ngx_llm_module/conf/limits.hpp"

namespace llm {

constexpr int kWindowSteps = 12;
// At the seam the oldest step still counts while the newest has begun.
constexpr int kKeptSteps = kWindowSteps + 1;

// All zeros: empty. Lives in shared memory.
struct Window {
    int64_t newest;  // number of the newest step since the clock's zero
    int64_t amounts[kKeptSteps];
    uint32_t lasts[kKeptSteps];  // when something was added last, in ms since the step began
};

constexpr int64_t step_ms(const Period &period) {
    return (int64_t(period.seconds) * 1000 + kWindowSteps - 1) / kWindowSteps;
}

// `now` is in ms on a clock that does not go back; a little is forgiven.
void window_add(Window &window, const Period &period, int64_t now, int64_t amount);
// What was used a while ago leaves when it would have left had it been counted then.
void window_add_late(Window &window, const Period &period, int64_t at, int64_t amount);
int64_t window_sum(const Window &window, const Period &period, int64_t now);
// In how many ms at least `amount` of what counts now will have left; -1: there is not so much.
int64_t window_frees(const Window &window, const Period &period, int64_t now, int64_t amount);

// What still counts, the oldest first; how many there are. For saving: adding them again in this
// order, at their times, makes the same window.
struct WindowStep {
    int64_t last;  // on the window's clock
    int64_t amount;
};
int window_steps(const Window &window, const Period &period, int64_t now,
                 WindowStep (&steps)[kKeptSteps]);

// Whether a demand fits, and what it then holds; see Demand.
struct Room {
    bool fits = false;
    int64_t held = 0;
};

constexpr Room room_for(int64_t amount, int64_t limit, int64_t used, int64_t reserved) {
    if (used >= limit) {
        return {};
    }
    int64_t left = limit - used;  // above 0
    if (reserved > 0 && (reserved > left || amount > left - reserved)) {
        return {};
    }
    left -= reserved;
    return {true, amount < left ? amount : left};
}

// How much must leave before it fits, 0: nothing.
constexpr int64_t excess_of(int64_t amount, int64_t limit, int64_t used, int64_t reserved) {
    if (room_for(amount, limit, used, reserved).fits) {
        return 0;
    }
    int64_t wanted = reserved == 0 ? 1 : reserved + amount;
    return used + wanted - limit;
}

}  // namespace llm
