// A load generator for an LLM gateway: HTTP/1.1 over loopback, one thread, one JSON line as result.
//
// Entry points: main(); LoadGenerator::run() is the event loop; options are in load_options.hpp.
// Each slot is one client that runs exchange after exchange: connect, send, read, judge. The modes
// differ only in what ends an exchange: closed (the answer's end), hold and slow (nothing: the
// client stays, reading or not), cancel (a random moment).
// Invariants: every run is bounded in count and time; an answer counts as good only when status,
// HTTP framing and the dialect's own end marker are; epoll events carry the slot's generation, so
// that an event of a closed connection is never taken for one of its successor.
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <array>
#include <cstdio>
#include <memory>
#include <queue>
#include <string>
#include <string_view>
#include <vector>

#include "bench_http.hpp"
#include "load_options.hpp"
#include "load_response.hpp"

namespace bench {
namespace {

constexpr size_t kReadBufferBytes = 256 * 1024;
// So many clients of hold and slow wait for their first event at once: a listen queue is finite.
constexpr size_t kOpeningWindow = 256;
// Without one success among so many failures there is nothing to measure.
constexpr uint64_t kHopelessErrors = 1000;

volatile sig_atomic_t g_stop_asked = 0;

void on_stop_signal(int) {
    g_stop_asked = 1;
}

struct Counts {
    uint64_t issued = 0;
    uint64_t good = 0;
    uint64_t non_200 = 0;
    uint64_t errors = 0;  // no whole answer, or not one of its dialect
    uint64_t short_streams = 0;
    uint64_t reconnects = 0;  // the server had closed a connection that was to be used again
    uint64_t bytes_in = 0;
    uint64_t bytes_out = 0;
    uint64_t events = 0;
    uint64_t content_events = 0;
    uint64_t ready = 0;    // hold, slow: had their first event
    uint64_t dropped = 0;  // hold, slow: the server ended it afterwards
    uint64_t cancelled_fin = 0;
    uint64_t cancelled_rst = 0;
    uint64_t cancelled_unanswered = 0;  // of both: before a byte of the answer had come
};

enum class State { off, connecting, sending, waiting, holding, stalled };

struct Slot {
    int fd = -1;
    uint32_t generation = 0;
    State state = State::off;
    bool is_opening = false;  // counts in the window of hold and slow
    bool is_reused = false;   // the connection has served an exchange before
    bool leaves_with_rst = false;
    size_t sent = 0;
    uint64_t received = 0;
    int64_t start_ns = 0;
    int64_t active_ns = 0;
    bool has_first_event = false;
    ResponseReader reader;
};

enum class TimerKind { start, send, cancel };

struct Timer {
    int64_t due_ns;
    size_t slot;
    uint32_t generation;
    TimerKind kind;
    bool operator>(const Timer &other) const { return due_ns > other.due_ns; }
};

class LoadGenerator {
  public:
    explicit LoadGenerator(const Options &options)
        : options_(options),
          request_(make_request(options)),
          slots_(static_cast<size_t>(options.connections)),
          random_(static_cast<uint64_t>(options.seed) * 0x9e3779b97f4a7c15ULL + 1) {
        read_buffer_.resize(kReadBufferBytes);
    }

    int run();

  private:
    bool is_over();
    bool may_issue() const;
    void schedule_starts();
    void fill_opening_window();
    void run_timers();
    void run_restarts();
    void check_timeouts();
    void start_exchange(size_t index);
    void open_connection(size_t index);
    void begin_sending(size_t index);
    void on_event(size_t index, uint32_t events);
    void send_request(size_t index);
    void on_readable(size_t index);
    void on_progress(size_t index, ResponseReader::Progress progress, int64_t now_ns);
    void on_first_event(size_t index, int64_t now_ns);
    void on_lost(size_t index, const char *what);
    void finish_response(size_t index, int64_t now_ns);
    void fail(size_t index, const std::string &what);
    void end_exchange(size_t index, bool keeps_connection);
    void cancel(size_t index);
    void count_events(Slot &slot);
    void close_slot(Slot &slot);
    void set_interest(size_t index, uint32_t interest);
    void note_ready();
    void note_problem(const std::string &what);
    uint64_t next_random();
    void print_ready() const;
    void print_result(int64_t now_ns) const;

    const Options options_;
    const std::string request_;
    std::vector<Slot> slots_;
    uint64_t random_;
    int epoll_fd_ = -1;
    int64_t begin_ns_ = 0;
    int64_t last_answer_ns_ = 0;
    int64_t stop_issuing_ns_ = INT64_MAX;
    int64_t leave_ns_ = INT64_MAX;  // hold, slow: known when all are ready
    size_t running_ = 0;            // slots that are in an exchange or will be
    size_t next_to_open_ = 0;
    size_t opening_ = 0;
    bool is_ready_told_ = false;
    Counts counts_;
    Histogram latency_;
    Histogram first_event_;
    Histogram delay_;
    std::string first_problem_;
    std::string read_buffer_;
    std::vector<size_t> restarts_;
    std::priority_queue<Timer, std::vector<Timer>, std::greater<Timer>> timers_;
};

int LoadGenerator::run() {
    epoll_fd_ = epoll_create1(EPOLL_CLOEXEC);
    begin_ns_ = last_answer_ns_ = monotonic_ns();
    if (!options_.stays() && options_.duration_s > 0) {
        stop_issuing_ns_ = begin_ns_ + options_.duration_s * kNsPerSecond;
    }
    schedule_starts();
    int64_t next_check_ns = begin_ns_ + kNsPerSecond;
    while (!is_over()) {
        int64_t until_ns = std::min(next_check_ns, leave_ns_);
        if (!timers_.empty()) {
            until_ns = std::min(until_ns, timers_.top().due_ns);
        }
        std::array<epoll_event, 512> events;
        int count = wait_events(epoll_fd_, events.data(), events.size(),
                                restarts_.empty() ? until_ns - monotonic_ns() : 0);
        for (int i = 0; i < count; i++) {
            const epoll_event &event = events[static_cast<size_t>(i)];
            size_t index = event.data.u64 & 0xffffffff;
            if (slots_[index].fd >= 0 && slots_[index].generation == event.data.u64 >> 32) {
                on_event(index, event.events);
            }
        }
        run_timers();
        run_restarts();
        if (options_.stays()) {
            fill_opening_window();
            note_ready();
        }
        if (monotonic_ns() >= next_check_ns) {
            check_timeouts();
            next_check_ns = monotonic_ns() + kNsPerSecond;
        }
    }
    int64_t end_ns = options_.stays() ? monotonic_ns() : last_answer_ns_;
    for (Slot &slot : slots_) {
        if (slot.fd >= 0) {
            bool is_unfinished = slot.state == State::connecting || slot.state == State::sending ||
                                 slot.state == State::waiting;
            counts_.errors += is_unfinished ? 1 : 0;
            if (is_unfinished) {
                note_problem("unfinished at the end");
            }
            count_events(slot);
            close_slot(slot);
        }
    }
    print_result(end_ns);
    return counts_.errors + counts_.non_200 + counts_.short_streams + counts_.dropped == 0 ? 0 : 1;
}

bool LoadGenerator::is_over() {
    int64_t now_ns = monotonic_ns();
    if (g_stop_asked || now_ns >= leave_ns_ ||
        now_ns >= begin_ns_ + options_.max_seconds * kNsPerSecond) {
        return true;
    }
    if (counts_.errors >= kHopelessErrors && counts_.good + counts_.ready == 0) {
        return true;
    }
    return running_ == 0 && next_to_open_ >= slots_.size();
}

bool LoadGenerator::may_issue() const {
    if (options_.stays()) {
        return false;  // each client has one exchange
    }
    return (options_.requests == 0 || counts_.issued < static_cast<uint64_t>(options_.requests)) &&
           monotonic_ns() < stop_issuing_ns_;
}

void LoadGenerator::schedule_starts() {
    if (options_.stays()) {
        fill_opening_window();
        return;
    }
    next_to_open_ = slots_.size();
    auto spread_ns = static_cast<size_t>(options_.start_spread_ms * kNsPerMs);
    for (size_t i = 0; i < slots_.size(); i++) {
        running_++;
        auto offset_ns = static_cast<int64_t>(spread_ns * i / slots_.size());
        timers_.push(Timer{begin_ns_ + offset_ns, i, 0, TimerKind::start});
    }
}

void LoadGenerator::fill_opening_window() {
    while (opening_ < kOpeningWindow && next_to_open_ < slots_.size()) {
        size_t index = next_to_open_++;
        running_++;
        opening_++;
        slots_[index].is_opening = true;
        start_exchange(index);
    }
}

void LoadGenerator::run_timers() {
    while (!timers_.empty() && timers_.top().due_ns <= monotonic_ns()) {
        Timer timer = timers_.top();
        timers_.pop();
        Slot &slot = slots_[timer.slot];
        if (timer.kind == TimerKind::start) {
            restarts_.push_back(timer.slot);
        } else if (timer.kind == TimerKind::send) {
            if (slot.fd >= 0 && slot.generation == timer.generation) {
                send_request(timer.slot);
            }
        } else if (slot.fd >= 0 && slot.generation == timer.generation) {
            cancel(timer.slot);
        }
    }
}

// Exchanges begin here and not where the one before ended, so that a server which refuses
// everything at once does not make us recurse.
void LoadGenerator::run_restarts() {
    std::vector<size_t> indexes;
    indexes.swap(restarts_);
    for (size_t index : indexes) {
        if (may_issue()) {
            start_exchange(index);
        } else {
            close_slot(slots_[index]);
            running_--;
        }
    }
}

void LoadGenerator::check_timeouts() {
    int64_t oldest_ns = monotonic_ns() - options_.timeout_s * kNsPerSecond;
    for (size_t i = 0; i < slots_.size(); i++) {
        Slot &slot = slots_[i];
        bool is_waiting = slot.state == State::connecting || slot.state == State::sending ||
                          slot.state == State::waiting;
        if (slot.fd >= 0 && is_waiting && slot.active_ns < oldest_ns) {
            fail(i, "timeout");
        }
    }
}

void LoadGenerator::start_exchange(size_t index) {
    Slot &slot = slots_[index];
    counts_.issued++;
    slot.start_ns = slot.active_ns = monotonic_ns();
    if (slot.fd >= 0) {
        slot.is_reused = true;
        begin_sending(index);
        return;
    }
    slot.is_reused = false;
    open_connection(index);
}

void LoadGenerator::open_connection(size_t index) {
    Slot &slot = slots_[index];
    slot.generation++;
    slot.fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (slot.fd < 0) {
        fail(index, std::string("socket: ") + strerror(errno));
        return;
    }
    int on = 1;
    setsockopt(slot.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (options_.rcvbuf > 0) {
        int size = static_cast<int>(options_.rcvbuf);
        setsockopt(slot.fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
    }
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<uint16_t>(options_.port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (connect(slot.fd, reinterpret_cast<sockaddr *>(&address), sizeof(address)) != 0 &&
        errno != EINPROGRESS) {
        fail(index, std::string("connect: ") + strerror(errno));
        return;
    }
    slot.state = State::connecting;
    epoll_event event = {};
    event.events = EPOLLOUT;
    event.data.u64 = static_cast<uint64_t>(slot.generation) << 32 | index;
    epoll_ctl(epoll_fd_, EPOLL_CTL_ADD, slot.fd, &event);
    if (options_.mode == Mode::cancel) {
        auto limit_ns = static_cast<uint64_t>(options_.cancel_ms * kNsPerMs);
        auto after_ns = static_cast<int64_t>(next_random() % (limit_ns + 1));
        slot.leaves_with_rst = options_.cancel_with == "rst" ||
                               (options_.cancel_with == "mix" && (next_random() >> 32) % 2 == 0);
        timers_.push(Timer{slot.start_ns + after_ns, index, slot.generation, TimerKind::cancel});
    }
}

void LoadGenerator::begin_sending(size_t index) {
    Slot &slot = slots_[index];
    slot.state = State::sending;
    slot.sent = 0;
    slot.received = 0;
    slot.has_first_event = false;
    slot.reader.reset();
    send_request(index);
}

void LoadGenerator::on_event(size_t index, uint32_t events) {
    Slot &slot = slots_[index];
    if (slot.state == State::connecting) {
        int error = 0;
        socklen_t size = sizeof(error);
        getsockopt(slot.fd, SOL_SOCKET, SO_ERROR, &error, &size);
        if (error != 0) {
            fail(index, std::string("connect: ") + strerror(error));
            return;
        }
        set_interest(index, EPOLLIN);
        begin_sending(index);
        return;
    }
    if (slot.state == State::stalled) {
        on_lost(index, "dropped");
        return;
    }
    if ((events & EPOLLOUT) != 0 && slot.state == State::sending) {
        uint32_t generation = slot.generation;
        send_request(index);
        if (slot.fd < 0 || slot.generation != generation) {
            return;
        }
    }
    if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0) {
        on_readable(index);
    }
}

void LoadGenerator::send_request(size_t index) {
    Slot &slot = slots_[index];
    auto rate = static_cast<size_t>(options_.body_rate) * 1024;
    size_t end = rate == 0 ? request_.size() : std::min(request_.size(), slot.sent + rate);
    while (slot.sent < end) {
        ssize_t size = send(slot.fd, request_.data() + slot.sent, end - slot.sent, MSG_NOSIGNAL);
        if (size < 0 && errno == EINTR) {
            continue;
        }
        if (size < 0 && errno == EAGAIN) {
            set_interest(index, EPOLLIN | EPOLLOUT);
            return;
        }
        if (size < 0) {
            on_lost(index, "reset while sending");
            return;
        }
        slot.sent += static_cast<size_t>(size);
        slot.active_ns = monotonic_ns();
        counts_.bytes_out += static_cast<uint64_t>(size);
    }
    if (slot.sent < request_.size()) {
        set_interest(index, EPOLLIN);
        int64_t due_ns = monotonic_ns() + 10 * static_cast<int64_t>(kNsPerMs);
        timers_.push(Timer{due_ns, index, slot.generation, TimerKind::send});
        return;
    }
    if (request_.size() > kReadBufferBytes / 4) {
        set_interest(index, EPOLLIN);  // only such a request can have waited for EPOLLOUT
    }
    slot.state = State::waiting;
}

void LoadGenerator::on_readable(size_t index) {
    Slot &slot = slots_[index];
    // One read per turn is enough: epoll tells again, and no client can starve the others.
    size_t limit = read_buffer_.size();
    if (options_.mode == Mode::slow) {
        limit = 1024;
    }
    ssize_t size = recv(slot.fd, read_buffer_.data(), limit, 0);
    int64_t now_ns = monotonic_ns();
    if (size < 0 && (errno == EINTR || errno == EAGAIN)) {
        return;
    }
    if (size < 0) {
        on_lost(index, "reset");
        return;
    }
    if (size == 0) {
        if (slot.reader.has_begun() && slot.reader.on_eof() == ResponseReader::Progress::done) {
            on_progress(index, ResponseReader::Progress::done, now_ns);
        } else {
            on_lost(index, "closed before the end");
        }
        return;
    }
    auto received = static_cast<size_t>(size);
    slot.active_ns = now_ns;
    slot.received += received;
    counts_.bytes_in += received;
    on_progress(index,
                slot.reader.feed(std::string_view(read_buffer_.data(), received), now_ns, delay_),
                now_ns);
}

void LoadGenerator::on_progress(size_t index, ResponseReader::Progress progress, int64_t now_ns) {
    Slot &slot = slots_[index];
    if (progress == ResponseReader::Progress::bad) {
        fail(index, "not HTTP, or more than one answer");
        return;
    }
    if (!slot.has_first_event && slot.reader.counter.content_events > 0) {
        slot.has_first_event = true;
        on_first_event(index, now_ns);
    }
    if (options_.mode == Mode::slow && slot.has_first_event && slot.state == State::waiting &&
        slot.received >= static_cast<uint64_t>(options_.read_bytes)) {
        slot.state = State::stalled;
        set_interest(index, EPOLLRDHUP);
        if (slot.is_opening) {
            slot.is_opening = false;
            opening_--;
            counts_.ready++;
        }
        return;
    }
    if (progress == ResponseReader::Progress::done) {
        finish_response(index, now_ns);
    }
}

void LoadGenerator::on_first_event(size_t index, int64_t now_ns) {
    Slot &slot = slots_[index];
    first_event_.add(now_ns - slot.start_ns);
    if (options_.mode == Mode::hold && slot.state == State::waiting) {
        slot.state = State::holding;
        slot.is_opening = false;
        opening_--;
        counts_.ready++;
    }
}

// The server ended the connection where there was more to come.
void LoadGenerator::on_lost(size_t index, const char *what) {
    Slot &slot = slots_[index];
    if (slot.state == State::holding || slot.state == State::stalled) {
        counts_.dropped++;
        note_problem("dropped by the server");
        end_exchange(index, false);
        return;
    }
    if (slot.is_reused && !slot.reader.has_begun()) {
        // It was closed while it lay idle, which any server may do: ask again on a new one.
        counts_.reconnects++;
        close_slot(slot);
        slot.is_reused = false;
        open_connection(index);
        return;
    }
    fail(index, what);
}

void LoadGenerator::finish_response(size_t index, int64_t now_ns) {
    Slot &slot = slots_[index];
    last_answer_ns_ = now_ns;
    if (slot.reader.status != 200) {
        counts_.non_200++;
        note_problem("status " + std::to_string(slot.reader.status) + ": " +
                     std::string(slot.reader.body_start().substr(0, 300)));
        // Let nobody spin on a server that only refuses.
        if (counts_.non_200 >= kHopelessErrors && counts_.good == 0) {
            stop_issuing_ns_ = 0;
        }
        end_exchange(index, slot.reader.keeps_alive && slot.sent == request_.size());
        return;
    }
    if (slot.state == State::holding) {
        counts_.dropped++;
        note_problem("a stream ended that was to stay open");
        end_exchange(index, false);
        return;
    }
    if (slot.reader.is_stream != options_.is_stream ||
        !slot.reader.is_good_answer(options_.dialect)) {
        fail(index, options_.is_stream
                        ? "a stream without its end, or with an error"
                        : "not an answer: " + std::string(slot.reader.body_start().substr(0, 200)));
        return;
    }
    auto content_events = static_cast<long long>(slot.reader.counter.content_events);
    if (options_.is_stream && options_.expect_events > 0 &&
        content_events != options_.expect_events) {
        counts_.short_streams++;
        note_problem("a stream of " + std::to_string(content_events) + " content events");
    } else {
        counts_.good++;
    }
    latency_.add(now_ns - slot.start_ns);
    end_exchange(index, slot.reader.keeps_alive && slot.sent == request_.size());
}

void LoadGenerator::fail(size_t index, const std::string &what) {
    counts_.errors++;
    note_problem(what);
    last_answer_ns_ = monotonic_ns();
    end_exchange(index, false);
}

void LoadGenerator::end_exchange(size_t index, bool keeps_connection) {
    Slot &slot = slots_[index];
    count_events(slot);
    if (!keeps_connection || options_.mode == Mode::cancel) {
        close_slot(slot);
    }
    if (slot.is_opening) {
        slot.is_opening = false;
        opening_--;
    }
    slot.state = State::off;
    if (options_.stays()) {
        close_slot(slot);
        running_--;
    } else {
        restarts_.push_back(index);
    }
}

void LoadGenerator::cancel(size_t index) {
    Slot &slot = slots_[index];
    counts_.cancelled_unanswered += slot.received == 0 ? 1 : 0;
    last_answer_ns_ = monotonic_ns();
    if (slot.leaves_with_rst) {
        counts_.cancelled_rst++;
        linger now = {1, 0};
        setsockopt(slot.fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    } else {
        // close() with unread bytes would send a reset: say goodbye first, then drain.
        counts_.cancelled_fin++;
        shutdown(slot.fd, SHUT_WR);
        while (recv(slot.fd, read_buffer_.data(), read_buffer_.size(), 0) > 0) {
        }
    }
    end_exchange(index, false);
}

void LoadGenerator::count_events(Slot &slot) {
    counts_.events += slot.reader.counter.events;
    counts_.content_events += slot.reader.counter.content_events;
    slot.reader.counter.reset();
}

void LoadGenerator::close_slot(Slot &slot) {
    if (slot.fd >= 0) {
        close(slot.fd);
        slot.fd = -1;
    }
}

void LoadGenerator::set_interest(size_t index, uint32_t interest) {
    epoll_event event = {};
    event.events = interest;
    event.data.u64 = static_cast<uint64_t>(slots_[index].generation) << 32 | index;
    epoll_ctl(epoll_fd_, EPOLL_CTL_MOD, slots_[index].fd, &event);
}

void LoadGenerator::note_problem(const std::string &what) {
    if (first_problem_.empty()) {
        first_problem_ = what;
    }
}

void LoadGenerator::note_ready() {
    if (is_ready_told_ || opening_ > 0 || next_to_open_ < slots_.size()) {
        return;
    }
    is_ready_told_ = true;
    if (options_.duration_s > 0) {
        leave_ns_ = monotonic_ns() + options_.duration_s * kNsPerSecond;
    }
    print_ready();
}

uint64_t LoadGenerator::next_random() {
    random_ ^= random_ << 13;
    random_ ^= random_ >> 7;
    random_ ^= random_ << 17;
    return random_;
}

void LoadGenerator::print_ready() const {
    printf(
        "{\"state\":\"ready\",\"ready\":%llu,\"errors\":%llu,\"non_200\":%llu,"
        "\"first_problem\":%s}\n",
        static_cast<unsigned long long>(counts_.ready),
        static_cast<unsigned long long>(counts_.errors),
        static_cast<unsigned long long>(counts_.non_200), json_text(first_problem_).c_str());
    fflush(stdout);
}

void LoadGenerator::print_result(int64_t now_ns) const {
    struct Row {
        const char *name;
        double value;
        int decimals;
    };
    constexpr double kUs = 1000.0;
    auto number = [](auto value) { return static_cast<double>(value); };
    double seconds = number(std::max<int64_t>(1, now_ns - begin_ns_)) / number(kNsPerSecond);
    const Row rows[] = {
        {"connections", number(options_.connections), 0},
        {"requests", number(counts_.issued), 0},
        {"good", number(counts_.good), 0},
        {"non_200", number(counts_.non_200), 0},
        {"errors", number(counts_.errors), 0},
        {"short_streams", number(counts_.short_streams), 0},
        {"reconnects", number(counts_.reconnects), 0},
        {"seconds", seconds, 3},
        {"per_second", number(counts_.good) / seconds, 1},
        {"bytes_in", number(counts_.bytes_in), 0},
        {"bytes_out", number(counts_.bytes_out), 0},
        {"p50_us", latency_.percentile(0.50) / kUs, 1},
        {"p90_us", latency_.percentile(0.90) / kUs, 1},
        {"p99_us", latency_.percentile(0.99) / kUs, 1},
        {"max_us", latency_.max() / kUs, 1},
        {"events", number(counts_.events), 0},
        {"content_events", number(counts_.content_events), 0},
        {"first_event_p50_us", first_event_.percentile(0.50) / kUs, 1},
        {"first_event_p99_us", first_event_.percentile(0.99) / kUs, 1},
        {"stamped_events", number(delay_.count()), 0},
        {"delay_p50_us", delay_.percentile(0.50) / kUs, 1},
        {"delay_p90_us", delay_.percentile(0.90) / kUs, 1},
        {"delay_p99_us", delay_.percentile(0.99) / kUs, 1},
        {"delay_max_us", delay_.max() / kUs, 1},
        {"ready", number(counts_.ready), 0},
        {"dropped", number(counts_.dropped), 0},
        {"cancelled_fin", number(counts_.cancelled_fin), 0},
        {"cancelled_rst", number(counts_.cancelled_rst), 0},
        {"cancelled_unanswered", number(counts_.cancelled_unanswered), 0},
    };
    printf("{\"mode\":%s", json_text(options_.mode_name).c_str());
    for (const Row &row : rows) {
        printf(",\"%s\":%.*f", row.name, row.decimals, row.value);
    }
    printf(",\"first_problem\":%s}\n", json_text(first_problem_).c_str());
    fflush(stdout);
}

}  // namespace
}  // namespace bench

int main(int argc, char **argv) {
    using namespace bench;
    Options options = read_options(argc, argv);
    if (options.dies_with_parent) {
        die_with_parent();
    }
    raise_fd_limit();
    signal(SIGTERM, on_stop_signal);
    signal(SIGINT, on_stop_signal);
    signal(SIGPIPE, SIG_IGN);
    // The histograms make the generator too large for the stack of an unusual limit.
    auto generator = std::make_unique<LoadGenerator>(options);
    return generator->run();
}
