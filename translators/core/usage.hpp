// Token counts of one answer, in one convention whatever the dialect: `input` counts every input
// token, cached ones included; `output` counts every output token, reasoning included.
#pragma once

#include <cstdint>

namespace llm {

// Of a text whose tokens nobody counted: four bytes each. One reading for clients, limits, cost and
// the log.
constexpr int64_t estimate_tokens(uint64_t bytes) {
    return static_cast<int64_t>(bytes / 4 + (bytes % 4 != 0 ? 1 : 0));
}

struct Usage {
    int64_t input = 0;
    int64_t cache_read = 0;
    int64_t cache_write = 0;  // all of it; the two below are parts of it where known
    int64_t cache_write_5m = 0;
    int64_t cache_write_1h = 0;
    int64_t output = 0;
    int64_t reasoning = 0;
    int64_t audio_in = 0;
    int64_t audio_out = 0;
    int64_t web_searches = 0;  // that the provider ran and bills by number
    int64_t audio_ms = 0;      // of speech, where it is billed by time
    bool known = false;        // the provider said something
    bool estimated = false;    // the numbers are ours

    int64_t total() const { return input + output; }

    // Providers contradict themselves at times (more cached tokens than tokens): cut the parts
    // so that no difference gets negative.
    void normalise() {
        auto floor_at_zero = [](int64_t &n) { n = n < 0 ? 0 : n; };
        for (int64_t *n : {&input, &cache_read, &cache_write, &cache_write_5m, &cache_write_1h,
                           &output, &reasoning, &audio_in, &audio_out, &web_searches, &audio_ms}) {
            floor_at_zero(*n);
        }
        if (cache_write > input) {
            cache_write = input;
        }
        if (cache_read > input - cache_write) {
            cache_read = input - cache_write;
        }
        if (reasoning > output) {
            reasoning = output;
        }
    }
};

}  // namespace llm
