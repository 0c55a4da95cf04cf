// What the mock provider reads out of a request: how it is to behave, and whether to stream.
//
// Entry points: read_path_options() (the /e=300,g=20/ in front of a path), BodyScan (looks for two
// JSON keys while the body passes by; nothing of it is kept).
#pragma once

#include <algorithm>
#include <array>
#include <cstring>
#include <string>
#include <string_view>

#include "bench_http.hpp"

namespace bench {

struct Behaviour {
    long long events = 300;
    long long gap_ms = 0;
    long long burst = 1;
    long long text_bytes = 24;
    long long whole_bytes = 160;
    long long has_stamp = 0;
    long long is_idle = 0;
};

struct PathOption {
    char letter;
    long long Behaviour::*field;
    long long low;
    long long high;
};

constexpr std::array<PathOption, 7> kPathOptions = {{
    {'e', &Behaviour::events, 1, 1000000000},
    {'g', &Behaviour::gap_ms, 0, 3600000},
    {'b', &Behaviour::burst, 1, 10000},
    {'t', &Behaviour::text_bytes, 1, 65536},
    {'w', &Behaviour::whole_bytes, 1, 4194304},
    {'n', &Behaviour::has_stamp, 0, 1},
    {'i', &Behaviour::is_idle, 0, 1},
}};

// Reads "e=300,g=20" over `behaviour`; false when it is not of that form.
inline bool read_path_options(std::string_view segment, Behaviour& behaviour) {
    while (!segment.empty()) {
        size_t end = std::min(segment.find(','), segment.size());
        std::string_view pair = segment.substr(0, end);
        segment.remove_prefix(std::min(end + 1, segment.size()));
        uint64_t value = 0;
        if (pair.size() < 3 || pair[1] != '=' || !parse_decimal(pair.substr(2), value)) {
            return false;
        }
        bool is_known = false;
        for (const PathOption& option : kPathOptions) {
            auto number = static_cast<long long>(value);
            if (option.letter == pair[0] && number >= option.low && number <= option.high) {
                behaviour.*option.field = number;
                is_known = true;
            }
        }
        if (!is_known) {
            return false;
        }
    }
    return true;
}

// Looks for `"key": true` in a body that passes by in pieces. A quote inside a JSON string is
// escaped, so the bytes of a quoted key followed by a colon cannot be part of some text.
class BodyScan {
public:
    void reset() { *this = BodyScan(); }
    bool wants_stream() const { return wants_stream_; }
    bool wants_usage() const { return wants_usage_; }

    void feed(std::string_view piece) {
        if (!carry_.empty()) {
            look_into(carry_ + std::string(piece.substr(0, kCarryBytes)));
        }
        look_into(piece);
        carry_.append(piece.substr(piece.size() - std::min(piece.size(), kCarryBytes)));
        if (carry_.size() > kCarryBytes) {
            carry_.erase(0, carry_.size() - kCarryBytes);
        }
    }

private:
    static constexpr size_t kCarryBytes = 48;

    void look_into(std::string_view text) {
        wants_stream_ = wants_stream_ || has_true(text, "\"stream\"");
        wants_usage_ = wants_usage_ || has_true(text, "\"include_usage\"");
    }

    static bool has_true(std::string_view text, std::string_view key) {
        const char* end = text.data() + text.size();
        const char* at = text.data();
        while (at < end) {
            const void* hit =
                memmem(at, static_cast<size_t>(end - at), key.data(), key.size());
            if (hit == nullptr) {
                return false;
            }
            at = static_cast<const char*>(hit) + key.size();
            const char* value = skip_blanks(at, end);
            if (value < end && *value == ':') {
                value = skip_blanks(value + 1, end);
                if (end - value >= 4 && memcmp(value, "true", 4) == 0) {
                    return true;
                }
            }
        }
        return false;
    }

    static const char* skip_blanks(const char* at, const char* end) {
        while (at < end && (*at == ' ' || *at == '\t' || *at == '\n' || *at == '\r')) {
            at++;
        }
        return at;
    }

    std::string carry_;
    bool wants_stream_ = false;
    bool wants_usage_ = false;
};

}  // namespace bench
