// What the mock provider and the load generator both need of HTTP/1.1 and of the kernel.
//
// Entry points: monotonic_ns(), wait_events(), raise_fd_limit(), die_with_parent(),
// header_value(), header_has_token() and ChunkedDecoder, which takes a chunked body apart however
// it is cut. Both ends of the bench are ours, but what lies between them is not: everything that
// comes from the wire is bounded, and malformed input is an answer ("bad"), not a crash.
#pragma once

#include <errno.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace bench {

constexpr int64_t kNsPerMs = 1000 * 1000;
constexpr int64_t kNsPerSecond = 1000 * kNsPerMs;

// A head larger than this is refused on either side.
constexpr size_t kMaxHeadBytes = 64 * 1024;

inline int64_t monotonic_ns() {
    timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * kNsPerSecond + now.tv_nsec;
}

// Thousands of connections need more descriptors than the usual soft limit of 1,024.
inline void raise_fd_limit() {
    rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

// A script that is killed hard cannot clean up; the kernel then ends its children for it.
inline void die_with_parent() {
    pid_t parent = getppid();
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent) {
        _exit(1);
    }
}

// Like epoll_wait() with a time-out in ns, so that a beat of some milliseconds is kept exactly.
inline int wait_events(int epoll_fd, epoll_event* events, size_t size, int64_t timeout_ns) {
    timeout_ns = std::max<int64_t>(0, timeout_ns);
    timespec span;
    span.tv_sec = timeout_ns / kNsPerSecond;
    span.tv_nsec = timeout_ns % kNsPerSecond;
    int count = epoll_pwait2(epoll_fd, events, static_cast<int>(size), &span, nullptr);
    if (count < 0 && errno == ENOSYS) {
        auto timeout_ms = std::min<int64_t>((timeout_ns + kNsPerMs - 1) / kNsPerMs, 60 * 1000);
        count = epoll_wait(epoll_fd, events, static_cast<int>(size), static_cast<int>(timeout_ms));
    }
    return count;
}

inline char lower_ascii(char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c;
}

inline bool equal_ignoring_case(std::string_view a, std::string_view b) {
    return a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin(), [](char x, char y) {
               return lower_ascii(x) == lower_ascii(y);
           });
}

inline std::string_view trimmed(std::string_view text) {
    while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) {
        text.remove_prefix(1);
    }
    while (!text.empty() && (text.back() == ' ' || text.back() == '\t' || text.back() == '\r')) {
        text.remove_suffix(1);
    }
    return text;
}

// The value of the first header called `name` in a head (start line and headers), or empty.
inline std::string_view header_value(std::string_view head, std::string_view name) {
    size_t at = head.find('\n');
    while (at != std::string_view::npos && at + 1 < head.size()) {
        size_t begin = at + 1;
        at = head.find('\n', begin);
        std::string_view line = head.substr(begin, at == std::string_view::npos ? at : at - begin);
        size_t colon = line.find(':');
        if (colon != std::string_view::npos && equal_ignoring_case(line.substr(0, colon), name)) {
            return trimmed(line.substr(colon + 1));
        }
    }
    return {};
}

inline bool header_has_token(std::string_view value, std::string_view token) {
    while (!value.empty()) {
        size_t comma = std::min(value.find(','), value.size());
        if (equal_ignoring_case(trimmed(value.substr(0, comma)), token)) {
            return true;
        }
        value.remove_prefix(std::min(comma + 1, value.size()));
    }
    return false;
}

// Reads decimal digits only; false when there is anything else or too many of them.
inline bool parse_decimal(std::string_view text, uint64_t& value) {
    if (text.empty() || text.size() > 18) {
        return false;
    }
    value = 0;
    for (char c : text) {
        if (c < '0' || c > '9') {
            return false;
        }
        value = value * 10 + static_cast<uint64_t>(c - '0');
    }
    return true;
}

class ChunkedDecoder {
public:
    void reset() { *this = ChunkedDecoder(); }
    bool is_done() const { return state_ == State::done; }
    bool is_bad() const { return state_ == State::bad; }

    // Hands the data in `input` to sink(string_view), as far as the body goes, and returns how many
    // bytes were used; fewer than given only when the body is done or bad.
    template <class Sink>
    size_t feed(std::string_view input, Sink&& sink) {
        size_t at = 0;
        while (at < input.size() && state_ != State::done && state_ != State::bad) {
            if (state_ == State::data) {
                size_t size = static_cast<size_t>(std::min<uint64_t>(left_, input.size() - at));
                sink(input.substr(at, size));
                at += size;
                left_ -= size;
                if (left_ == 0) {
                    state_ = State::data_end;
                }
                continue;
            }
            step(input[at++]);
        }
        return at;
    }

private:
    enum class State { size, extension, data, data_end, trailer_start, trailer, done, bad };

    void step(char c) {
        switch (state_) {
        case State::size:
            on_size_char(c);
            return;
        case State::extension:
            if (c == '\n') {
                begin_data();
            }
            return;
        case State::data_end:
            if (c == '\n') {
                state_ = State::size;
                digits_ = 0;
            } else if (c != '\r') {
                state_ = State::bad;
            }
            return;
        case State::trailer_start:
            if (c == '\n') {
                state_ = State::done;
            } else if (c != '\r') {
                state_ = State::trailer;
            }
            return;
        case State::trailer:
            if (c == '\n') {
                state_ = State::trailer_start;
            }
            return;
        case State::data:
        case State::done:
        case State::bad:
            return;
        }
    }

    void on_size_char(char c) {
        int digit = -1;
        if (c >= '0' && c <= '9') {
            digit = c - '0';
        } else if (lower_ascii(c) >= 'a' && lower_ascii(c) <= 'f') {
            digit = lower_ascii(c) - 'a' + 10;
        }
        if (digit >= 0 && digits_ < 15) {
            left_ = left_ * 16 + static_cast<uint64_t>(digit);
            digits_++;
        } else if (digits_ == 0 || digit >= 0) {
            state_ = State::bad;
        } else if (c == '\n') {
            begin_data();
        } else {
            state_ = State::extension;
        }
    }

    void begin_data() { state_ = left_ == 0 ? State::trailer_start : State::data; }

    State state_ = State::size;
    int digits_ = 0;
    uint64_t left_ = 0;
};

}  // namespace bench
