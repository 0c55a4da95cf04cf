// Sliding windows; see the header for their rule.
#include "ngx_llm_module/state/window.hpp"

#include <algorithm>

namespace llm {
namespace {

int slot_of(int64_t step) {
    return int(step % kKeptSteps);
}

// The moment from which on a step does not count any more.
int64_t end_of(const Window &window, const Period &period, int64_t step) {
    return step * step_ms(period) + window.lasts[slot_of(step)] + int64_t(period.seconds) * 1000;
}

// Calls see(step, amount) for what still counts, the oldest first.
template <class See>
void each_living(const Window &window, const Period &period, int64_t now, See see) {
    for (int64_t step = std::max<int64_t>(window.newest - kWindowSteps, 0); step <= window.newest;
         step++) {
        int64_t amount = window.amounts[slot_of(step)];
        if (amount > 0 && now < end_of(window, period, step)) {
            see(step, amount);
        }
    }
}

void begin_step(Window &window, int64_t step) {
    if (step <= window.newest) {
        return;
    }
    int64_t first = std::max(window.newest + 1, step - kWindowSteps);
    for (int64_t passed = first; passed <= step; passed++) {
        window.amounts[slot_of(passed)] = 0;
        window.lasts[slot_of(passed)] = 0;
    }
    window.newest = step;
}

void add_to_step(Window &window, const Period &period, int64_t step, int64_t at, int64_t amount) {
    uint32_t &last = window.lasts[slot_of(step)];
    last = std::max(last, uint32_t(std::max<int64_t>(at - step * step_ms(period), 0)));
    window.amounts[slot_of(step)] += amount;
}

}  // namespace

void window_add(Window &window, const Period &period, int64_t now, int64_t amount) {
    begin_step(window, now / step_ms(period));
    // Another process's clock may be a little ahead of ours.
    add_to_step(window, period, window.newest, now, amount);
}

void window_add_late(Window &window, const Period &period, int64_t at, int64_t amount) {
    int64_t step = at / step_ms(period);
    begin_step(window, step);
    if (window.newest - step <= kWindowSteps) {
        add_to_step(window, period, step, at, amount);
    }
}

int64_t window_sum(const Window &window, const Period &period, int64_t now) {
    int64_t sum = 0;
    each_living(window, period, now, [&](int64_t, int64_t amount) { sum += amount; });
    return sum;
}

int64_t window_frees(const Window &window, const Period &period, int64_t now, int64_t amount) {
    int64_t wait = amount > 0 ? -1 : 0;
    each_living(window, period, now, [&](int64_t step, int64_t in_step) {
        if (amount > 0) {
            amount -= in_step;
            if (amount <= 0) {
                wait = end_of(window, period, step) - now;
            }
        }
    });
    return wait;
}

int window_steps(const Window &window, const Period &period, int64_t now,
                 WindowStep (&steps)[kKeptSteps]) {
    int count = 0;
    each_living(window, period, now, [&](int64_t step, int64_t amount) {
        steps[count++] = {end_of(window, period, step) - int64_t(period.seconds) * 1000, amount};
    });
    return count;
}

}  // namespace llm
