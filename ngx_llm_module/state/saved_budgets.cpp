// Lines of numbers:
//   key SEED SEED
//   sum ID ID KIND BEGIN END AMOUNT                 of a calendar period or forever
//   window ID ID SECONDS COUNT [TIME AMOUNT]...     TIME in Unix milliseconds
//   end
#include "ngx_llm_module/state/saved_budgets.hpp"

#include <charconv>
#include <vector>

#include "ngx_llm_module/state/meters.hpp"
#include "ngx_llm_module/state/state_file.hpp"

namespace llm {
namespace {

constexpr uint32_t kPiece = 64;  // meters that are looked at under one lock

int64_t unix_ms() {
    return int64_t(ngx_timeofday()->sec) * 1000 + int64_t(ngx_timeofday()->msec);
}

template <class Number>
void put(std::string &out, Number number) {
    char text[24];
    out.push_back(' ');
    out.append(text, size_t(std::to_chars(text, text + sizeof(text), number).ptr - text));
}

// What is copied under the lock: it is written out afterwards.
struct Copy {
    MeterId id;
    PeriodKind period;
    uint32_t seconds;
    PeriodSum sum;
    Window window;
};

bool is_budget(const Meter &meter, const Clocks &clocks) {
    if (!meter.is_used || meter.is_parallel) {
        return false;
    }
    switch (meter.period) {
        case PeriodKind::sliding:
            return meter.seconds > kShortWindow;
        case PeriodKind::calendar:
            return meter.sum.amount > 0 && meter.sum.end > clocks.now;
        case PeriodKind::forever:
            return meter.sum.amount > 0;
    }
    return false;
}

void write_window(const Copy &copy, const Clocks &clocks, std::string &out) {
    WindowStep steps[kKeptSteps];
    Period period{PeriodKind::sliding, copy.seconds};
    int count = window_steps(copy.window, period, clocks.ms, steps);
    if (count == 0) {
        return;
    }
    out.append("window");
    put(out, copy.id.low);
    put(out, copy.id.high);
    put(out, copy.seconds);
    put(out, count);
    for (int i = 0; i < count; i++) {
        put(out, unix_ms() - (clocks.ms - steps[i].last));
        put(out, steps[i].amount);
    }
    out.push_back('\n');
}

void write_sum(const Copy &copy, std::string &out) {
    out.append("sum");
    put(out, copy.id.low);
    put(out, copy.id.high);
    put(out, int(copy.period));
    put(out, copy.sum.begin);
    put(out, copy.sum.end);
    put(out, copy.sum.amount);
    out.push_back('\n');
}

class Scanner {
  public:
    explicit Scanner(std::string_view text) : rest_(text) {}

    bool word(std::string_view wanted) {
        if (!rest_.starts_with(wanted)) {
            return false;
        }
        rest_.remove_prefix(wanted.size());
        return true;
    }
    template <class Number>
    bool number(Number &value) {
        if (!word(" ")) {
            return false;
        }
        auto [end, code] = std::from_chars(rest_.data(), rest_.data() + rest_.size(), value);
        rest_.remove_prefix(size_t(end - rest_.data()));
        return code == std::errc();
    }
    bool line_end() { return word("\n"); }
    bool is_over() const { return rest_.empty(); }

  private:
    std::string_view rest_;
};

bool read_sum(Scanner &in, Meters &table, const Clocks &clocks) {
    MeterKey key;
    int kind = 0;
    PeriodSum sum{};
    if (!in.number(key.id.low) || !in.number(key.id.high) || !in.number(kind) ||
        !in.number(sum.begin) || !in.number(sum.end) || !in.number(sum.amount) || !in.line_end() ||
        kind < 0 || kind > int(PeriodKind::calendar) || sum.amount < 0) {
        return false;
    }
    key.period.kind = PeriodKind(kind);
    uint32_t index = find_meter(table, key, clocks);
    if (index != kNoCell) {
        table.meters[index].sum = sum;
    }
    return true;
}

bool read_window(Scanner &in, Meters &table, const Clocks &clocks) {
    MeterKey key;
    int count = 0;
    key.period.kind = PeriodKind::sliding;
    if (!in.number(key.id.low) || !in.number(key.id.high) || !in.number(key.period.seconds) ||
        !in.number(count) || count < 0 || count > kKeptSteps || key.period.seconds == 0) {
        return false;
    }
    uint32_t index = find_meter(table, key, clocks);
    for (int i = 0; i < count; i++) {
        int64_t at = 0, amount = 0;
        if (!in.number(at) || !in.number(amount) || amount < 0) {
            return false;
        }
        at = clocks.ms - (unix_ms() - at);
        if (index != kNoCell && at >= 0 && at <= clocks.ms) {
            window_add(table.meters[index].window, key.period, at, amount);
        }
    }
    return in.line_end();
}

}  // namespace

uint64_t budgets_generation(const Config &config) {
    const Meters *table = find_meters(config);
    return table != nullptr ? table->budgets_changed.load() : 0;
}

void save_budgets(const Config &config, StateWriter &out) {
    Meters *table = find_meters(config);
    if (table == nullptr) {
        return;
    }
    Clocks clocks = clocks_now();
    std::string text("key");
    put(text, table->seed[0]);
    put(text, table->seed[1]);
    text.push_back('\n');
    std::vector<Copy> copies;
    copies.reserve(kPiece);
    // What counts something stays where it is, so none is missed or met twice.
    for (uint32_t seen = 0, end = 1; seen < end;) {
        copies.clear();
        {
            MetersLock lock(*table, zone_pool(config));
            end = table->fresh_meter;
            for (uint32_t i = 0; i < kPiece && seen < end; i++, seen++) {
                const Meter &meter = table->meters[seen];
                if (!is_budget(meter, clocks)) {
                    continue;
                }
                Copy &copy = copies.emplace_back();
                copy.id = meter.id;
                copy.period = meter.period;
                copy.seconds = meter.seconds;
                if (meter.period == PeriodKind::sliding) {
                    copy.window = meter.window;
                } else {
                    copy.sum = meter.sum;
                }
            }
        }
        for (const Copy &copy : copies) {
            if (copy.period == PeriodKind::sliding) {
                write_window(copy, clocks, text);
            } else {
                write_sum(copy, text);
            }
        }
        out.append(text);
        text.clear();
    }
    out.append("end\n");
}

bool load_budgets(const Config &config, std::string_view text) {
    Meters *table = find_meters(config);
    if (table == nullptr) {
        return true;
    }
    Clocks clocks = clocks_now();
    MetersLock lock(*table, zone_pool(config));
    Scanner in(text);
    if (!in.word("key") || !in.number(table->seed[0]) || !in.number(table->seed[1]) ||
        !in.line_end()) {
        return false;
    }
    for (;;) {
        bool is_good = in.word("sum")      ? read_sum(in, *table, clocks)
                       : in.word("window") ? read_window(in, *table, clocks)
                                           : false;
        if (!is_good) {
            return in.word("end\n") && in.is_over();
        }
    }
}

}  // namespace llm
