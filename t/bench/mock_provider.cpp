// A mock LLM provider for measurements: OpenAI chat completions and Anthropic messages over
// HTTP/1.1, whole answers and SSE streams, thousands of connections in one thread.
//
// Entry points: main() reads the options (kUsage), MockProvider::run() is the event loop.
// POST .../chat/completions and POST .../messages answer; a first path segment like
// /e=300,g=20,b=1,t=40/ overrides the options for one request; GET /stats tells the counters.
// Invariants: one burst at most is made ahead of the socket (a slow peer stops the production), a
// connection is looked up by descriptor and generation (a reused descriptor is never mistaken for
// the old one), request bodies are counted and scanned but not kept.
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <array>
#include <cstdio>
#include <map>
#include <memory>
#include <queue>
#include <string>
#include <string_view>
#include <vector>

#include "bench_args.hpp"
#include "bench_http.hpp"
#include "mock_answers.hpp"
#include "mock_request.hpp"

namespace bench {
namespace {

constexpr char kUsage[] =
    "usage: mock_provider [options]\n"
    "  --port N        listen on 127.0.0.1:N (default 0: the kernel chooses); prints \"port N\"\n"
    "  --events N      content events in a stream (300)             path: e=N\n"
    "  --gap-ms N      time between two sends (0: as fast as read)  path: g=N\n"
    "  --burst N       content events per send (1)                  path: b=N\n"
    "  --text-bytes N  text in one content event (24)               path: t=N\n"
    "  --whole-bytes N text in an answer that is no stream (160)    path: w=N\n"
    "  --stamp         put CLOCK_MONOTONIC ns into each text        path: n=1\n"
    "  --idle          one content event, then silence              path: i=1\n"
    "  --sndbuf N      SO_SNDBUF of each connection (kernel's own)\n"
    "  --lifetime S    end by itself after S seconds (3600)\n"
    "  --die-with-parent  end when the process that started it ends\n"
    "path: POST /e=300,g=20/v1/chat/completions; also .../messages; GET /stats\n";

constexpr size_t kReadBufferBytes = 256 * 1024;
constexpr size_t kFillBytes = 32 * 1024;        // a stream without gaps is made in pieces like this
constexpr size_t kTurnBytes = 8 * kFillBytes;   // then it is another connection's turn
constexpr int kListenBacklog = 4096;

volatile sig_atomic_t g_stop_asked = 0;

void on_stop_signal(int) { g_stop_asked = 1; }

struct Stats {
    uint64_t opened = 0;
    uint64_t closed = 0;
    uint64_t requests = 0;
    uint64_t chat_requests = 0;
    uint64_t messages_requests = 0;
    uint64_t bad_requests = 0;
    uint64_t requests_cut = 0;
    uint64_t whole_answers = 0;
    uint64_t answers_cut = 0;
    uint64_t streams_open = 0;
    uint64_t streams_finished = 0;
    uint64_t streams_aborted = 0;
    uint64_t events_made = 0;
    uint64_t request_bytes = 0;
    uint64_t bytes_sent = 0;
};

enum class Phase { head, body, answer };
enum class Target { none, chat, messages, stats };

struct Connection {
    int fd = -1;
    uint32_t generation = 0;
    uint32_t interest = 0;
    Phase phase = Phase::head;
    std::string input;  // an unfinished head, or what came while an answer is being sent

    // the request
    Target target = Target::none;
    Behaviour behaviour;
    BodyScan scan;
    ChunkedDecoder chunked_body;
    uint64_t body_left = 0;
    bool is_chunked_body = false;
    bool is_bad_request = false;
    bool keeps_alive = true;
    bool is_http10 = false;
    bool is_admin = false;  // asked for /stats: does not count as a connection

    // the answer
    std::string out;
    size_t out_at = 0;
    const StreamScript* script = nullptr;  // null: a whole answer
    long long events_left = 0;
    int64_t due_ns = 0;
    bool is_timer_set = false;
    bool is_complete = false;  // everything has been made; what remains is in `out`
};

struct Timer {
    int64_t due_ns;
    int fd;
    uint32_t generation;
    bool operator>(const Timer& other) const { return due_ns > other.due_ns; }
};

class MockProvider {
public:
    MockProvider(const Behaviour& defaults, int sndbuf) : defaults_(defaults), sndbuf_(sndbuf) {
        read_buffer_.resize(kReadBufferBytes);
    }

    bool open(int port);
    int run(int64_t lifetime_ns);

private:
    void wait_once(int64_t until_ns);
    void run_timers();
    void accept_all();
    void on_event(Connection& c, uint32_t events);
    bool on_readable(Connection& c);
    bool consume(Connection& c, std::string_view input);
    bool on_head(Connection& c, std::string_view head);
    void read_target(Connection& c, std::string_view method, std::string_view path);
    void begin_answer(Connection& c);
    void begin_whole(Connection& c, int status, const char* reason, std::string_view body);
    void begin_stream(Connection& c);
    bool pump(Connection& c);
    bool send_out(Connection& c);
    bool make_more(Connection& c);
    void make_burst(Connection& c);
    void append_piece(Connection& c, std::string_view piece);
    void end_answer(Connection& c);
    void set_timer(Connection& c);
    void set_interest(Connection& c, uint32_t interest);
    void close_connection(Connection& c);
    Connection* find(int fd, uint32_t generation);
    const StreamScript* script_of(const StreamShape& shape);
    const std::string& whole_of(Dialect dialect, long long text_bytes);
    std::string stats_json() const;

    Behaviour defaults_;
    int sndbuf_;
    int listen_fd_ = -1;
    int epoll_fd_ = -1;
    bool is_accepting_ = true;
    uint32_t last_generation_ = 0;
    Stats stats_;
    std::string read_buffer_;
    std::vector<std::unique_ptr<Connection>> connections_;
    std::priority_queue<Timer, std::vector<Timer>, std::greater<Timer>> timers_;
    std::map<StreamShape, StreamScript> scripts_;
    std::map<std::pair<Dialect, long long>, std::string> wholes_;
};

bool MockProvider::open(int port) {
    listen_fd_ = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int on = 1;
    setsockopt(listen_fd_, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address);
    if (bind(listen_fd_, reinterpret_cast<sockaddr*>(&address), size) != 0 ||
        listen(listen_fd_, kListenBacklog) != 0 ||
        getsockname(listen_fd_, reinterpret_cast<sockaddr*>(&address), &size) != 0) {
        perror("mock_provider: listen");
        return false;
    }
    epoll_fd_ = epoll_create1(EPOLL_CLOEXEC);
    epoll_event event = {};
    event.events = EPOLLIN;
    event.data.u64 = static_cast<uint64_t>(listen_fd_);
    if (epoll_ctl(epoll_fd_, EPOLL_CTL_ADD, listen_fd_, &event) != 0) {
        perror("mock_provider: epoll");
        return false;
    }
    printf("port %d\n", ntohs(address.sin_port));
    fflush(stdout);
    return true;
}

int MockProvider::run(int64_t lifetime_ns) {
    int64_t end_ns = monotonic_ns() + lifetime_ns;
    while (!g_stop_asked && monotonic_ns() < end_ns) {
        wait_once(end_ns);
        run_timers();
    }
    return 0;
}

void MockProvider::wait_once(int64_t until_ns) {
    if (!timers_.empty()) {
        until_ns = std::min(until_ns, timers_.top().due_ns);
    }
    std::array<epoll_event, 512> events;
    int count = wait_events(epoll_fd_, events.data(), events.size(), until_ns - monotonic_ns());
    for (int i = 0; i < count; i++) {
        const epoll_event& event = events[static_cast<size_t>(i)];
        int fd = static_cast<int>(event.data.u64 & 0xffffffff);
        if (fd == listen_fd_) {
            accept_all();
        } else if (Connection* c = find(fd, static_cast<uint32_t>(event.data.u64 >> 32))) {
            on_event(*c, event.events);
        }
    }
}

void MockProvider::run_timers() {
    while (!timers_.empty() && timers_.top().due_ns <= monotonic_ns()) {
        Timer timer = timers_.top();
        timers_.pop();
        if (Connection* c = find(timer.fd, timer.generation)) {
            c->is_timer_set = false;
            if (c->phase == Phase::answer) {
                pump(*c);
            }
        }
    }
}

void MockProvider::accept_all() {
    for (;;) {
        int fd = accept4(listen_fd_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) {
            if (errno == EMFILE || errno == ENFILE) {
                // Nothing can be taken now; listening on would turn the loop into a busy one.
                epoll_ctl(epoll_fd_, EPOLL_CTL_DEL, listen_fd_, nullptr);
                is_accepting_ = false;
                fprintf(stderr, "mock_provider: out of descriptors\n");
            }
            return;
        }
        int on = 1;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        if (sndbuf_ > 0) {
            setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &sndbuf_, sizeof(sndbuf_));
        }
        auto index = static_cast<size_t>(fd);
        if (index >= connections_.size()) {
            connections_.resize(index + 256);
        }
        connections_[index] = std::make_unique<Connection>();
        Connection& c = *connections_[index];
        c.fd = fd;
        c.generation = ++last_generation_;
        stats_.opened++;
        epoll_event event = {};
        event.events = c.interest = EPOLLIN | EPOLLRDHUP;
        event.data.u64 = static_cast<uint64_t>(c.generation) << 32 | static_cast<uint64_t>(fd);
        epoll_ctl(epoll_fd_, EPOLL_CTL_ADD, fd, &event);
    }
}

void MockProvider::on_event(Connection& c, uint32_t events) {
    if (c.phase == Phase::answer) {
        // A peer that closes its sending side no longer waits for an answer: that is how a proxy
        // whose client left looks from here.
        if ((events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0) {
            close_connection(c);
            return;
        }
        if ((events & EPOLLIN) != 0) {
            set_interest(c, c.interest & ~static_cast<uint32_t>(EPOLLIN));
        }
        if ((events & EPOLLOUT) != 0) {
            pump(c);
        }
        return;
    }
    if ((events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0) {
        on_readable(c);
    }
}

// False: the connection is gone.
bool MockProvider::on_readable(Connection& c) {
    while (c.phase != Phase::answer) {
        ssize_t size = recv(c.fd, read_buffer_.data(), read_buffer_.size(), 0);
        if (size < 0 && errno == EINTR) {
            continue;
        }
        if (size < 0 && errno == EAGAIN) {
            return true;
        }
        if (size <= 0) {
            close_connection(c);
            return false;
        }
        auto received = static_cast<size_t>(size);
        if (!consume(c, std::string_view(read_buffer_.data(), received))) {
            return false;
        }
        if (received < read_buffer_.size()) {
            return true;
        }
    }
    return true;
}

// Takes the input as far as the present request goes; the rest waits in c.input for its turn.
bool MockProvider::consume(Connection& c, std::string_view input) {
    while (!input.empty()) {
        if (c.phase == Phase::answer) {
            c.input.append(input);
            return true;
        }
        if (c.phase == Phase::head) {
            size_t before = c.input.size();
            c.input.append(input);
            size_t end = c.input.find("\r\n\r\n", before < 3 ? 0 : before - 3);
            if (end == std::string::npos) {
                if (c.input.size() > kMaxHeadBytes) {
                    close_connection(c);
                    return false;
                }
                return true;
            }
            input.remove_prefix(end + 4 - before);
            std::string head = c.input.substr(0, end + 2);
            c.input.clear();
            if (!on_head(c, head)) {
                return false;
            }
        } else if (c.is_chunked_body) {
            size_t used = c.chunked_body.feed(input, [&](std::string_view piece) {
                stats_.request_bytes += piece.size();
                c.scan.feed(piece);
            });
            input.remove_prefix(used);
            if (c.chunked_body.is_bad()) {
                close_connection(c);
                return false;
            }
        } else {
            auto size = static_cast<size_t>(std::min<uint64_t>(c.body_left, input.size()));
            stats_.request_bytes += size;
            c.scan.feed(input.substr(0, size));
            c.body_left -= size;
            input.remove_prefix(size);
        }
        bool is_whole = c.is_chunked_body ? c.chunked_body.is_done() : c.body_left == 0;
        if (c.phase == Phase::body && is_whole) {
            begin_answer(c);
            if (!pump(c)) {
                return false;
            }
        }
    }
    return true;
}

bool MockProvider::on_head(Connection& c, std::string_view head) {
    std::string_view line = head.substr(0, head.find("\r\n"));
    size_t method_end = std::min(line.find(' '), line.size());
    size_t path_end = std::max(line.rfind(' '), method_end);
    c.phase = Phase::body;
    c.is_bad_request = method_end == line.size() || path_end == method_end;
    std::string_view version = line.substr(std::min(path_end + 1, line.size()));
    c.is_http10 = version == "HTTP/1.0";
    std::string_view connection = header_value(head, "connection");
    c.keeps_alive = c.is_http10 ? header_has_token(connection, "keep-alive")
                                : !header_has_token(connection, "close");
    c.scan.reset();
    c.chunked_body.reset();
    c.is_chunked_body = header_has_token(header_value(head, "transfer-encoding"), "chunked");
    c.body_left = 0;
    std::string_view length = header_value(head, "content-length");
    if (!c.is_chunked_body && !length.empty() && !parse_decimal(length, c.body_left)) {
        close_connection(c);  // where the next request begins cannot be known
        return false;
    }
    c.behaviour = defaults_;
    c.target = Target::none;
    if (!c.is_bad_request) {
        std::string_view path = line.substr(method_end + 1, path_end - method_end - 1);
        read_target(c, line.substr(0, method_end), path);
    }
    if (equal_ignoring_case(header_value(head, "expect"), "100-continue")) {
        constexpr std::string_view kGoOn = "HTTP/1.1 100 Continue\r\n\r\n";
        send(c.fd, kGoOn.data(), kGoOn.size(), MSG_NOSIGNAL);
    }
    if (!c.is_chunked_body && c.body_left == 0) {
        begin_answer(c);
        return pump(c);
    }
    return true;
}

void MockProvider::read_target(Connection& c, std::string_view method, std::string_view path) {
    path = path.substr(0, path.find('?'));
    if (method == "GET" && path == "/stats") {
        c.target = Target::stats;
        if (!c.is_admin) {
            c.is_admin = true;
            stats_.opened--;
        }
        return;
    }
    if (method != "POST") {
        return;
    }
    if (path.ends_with("/chat/completions")) {
        c.target = Target::chat;
    } else if (path.ends_with("/messages")) {
        c.target = Target::messages;
    }
    size_t segment_end = path.find('/', 1);
    if (segment_end != std::string_view::npos) {
        std::string_view segment = path.substr(1, segment_end - 1);
        if (segment.find('=') != std::string_view::npos &&
            !read_path_options(segment, c.behaviour)) {
            c.is_bad_request = true;
        }
    }
}

void MockProvider::begin_answer(Connection& c) {
    c.phase = Phase::answer;
    c.out.clear();
    c.out_at = 0;
    c.script = nullptr;
    c.is_complete = true;
    if (c.target == Target::stats) {
        begin_whole(c, 200, "OK", stats_json());
        return;
    }
    stats_.requests++;
    Dialect dialect = c.target == Target::messages ? Dialect::messages : Dialect::chat;
    if (c.is_bad_request || c.target == Target::none) {
        stats_.bad_requests++;
        begin_whole(c, c.is_bad_request ? 400 : 404, c.is_bad_request ? "Bad Request" : "Not Found",
                    make_error(dialect, "the mock does not know this path"));
        return;
    }
    (dialect == Dialect::chat ? stats_.chat_requests : stats_.messages_requests)++;
    if (c.scan.wants_stream()) {
        begin_stream(c);
    } else {
        begin_whole(c, 200, "OK", whole_of(dialect, c.behaviour.whole_bytes));
    }
}

void MockProvider::begin_whole(Connection& c, int status, const char* reason,
                               std::string_view body) {
    char head[512];
    snprintf(head, sizeof(head),
             "HTTP/1.1 %d %s\r\ncontent-type: application/json\r\ncontent-length: %zu\r\n"
             "x-request-id: req_bench0000000000000001\r\nrequest-id: req_bench0000000000000001\r\n"
             "openai-processing-ms: 1\r\nconnection: %s\r\n\r\n",
             status, reason, body.size(), c.keeps_alive ? "keep-alive" : "close");
    c.out = head;
    c.out.append(body);
}

void MockProvider::begin_stream(Connection& c) {
    StreamShape shape;
    shape.dialect = c.target == Target::chat ? Dialect::chat : Dialect::messages;
    shape.has_usage = shape.dialect == Dialect::chat && c.scan.wants_usage();
    shape.has_stamp = c.behaviour.has_stamp != 0;
    shape.text_bytes = static_cast<size_t>(c.behaviour.text_bytes);
    c.script = script_of(shape);
    c.events_left = c.behaviour.events;
    c.is_complete = false;
    c.keeps_alive = c.keeps_alive && !c.is_http10;
    stats_.streams_open++;
    c.out = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n"
            "cache-control: no-cache\r\nx-request-id: req_bench0000000000000001\r\n"
            "request-id: req_bench0000000000000001\r\nopenai-processing-ms: 1\r\n";
    c.out += c.is_http10 ? "" : "transfer-encoding: chunked\r\n";
    c.out += c.keeps_alive ? "connection: keep-alive\r\n\r\n" : "connection: close\r\n\r\n";
    append_piece(c, c.script->opening);
    if (c.behaviour.is_idle != 0) {
        // The one event comes with the opening: a gateway may hold everything back until then.
        append_piece(c, c.script->event);
        stats_.events_made++;
    }
    c.due_ns = monotonic_ns() + c.behaviour.gap_ms * kNsPerMs;
}

// Sends and makes what can be sent and made now. False: the connection is gone.
bool MockProvider::pump(Connection& c) {
    size_t before = stats_.bytes_sent;
    for (;;) {
        if (!send_out(c)) {
            return false;
        }
        if (c.out_at < c.out.size()) {
            set_interest(c, c.interest | EPOLLOUT);
            return true;
        }
        if (c.is_complete) {
            break;
        }
        if (c.behaviour.gap_ms == 0 && stats_.bytes_sent - before > kTurnBytes) {
            set_interest(c, c.interest | EPOLLOUT);
            return true;
        }
        if (!make_more(c)) {
            set_interest(c, c.interest & ~static_cast<uint32_t>(EPOLLOUT));
            return true;
        }
    }
    end_answer(c);
    if (!c.keeps_alive) {
        close_connection(c);
        return false;
    }
    set_interest(c, EPOLLIN | EPOLLRDHUP);
    if (!c.input.empty()) {
        std::string input = std::move(c.input);
        c.input.clear();
        return consume(c, input);
    }
    return true;
}

bool MockProvider::send_out(Connection& c) {
    while (c.out_at < c.out.size()) {
        ssize_t sent = send(c.fd, c.out.data() + c.out_at, c.out.size() - c.out_at, MSG_NOSIGNAL);
        if (sent < 0) {
            if (errno == EINTR) {
                continue;
            }
            if (errno == EAGAIN) {
                return true;
            }
            close_connection(c);
            return false;
        }
        c.out_at += static_cast<size_t>(sent);
        stats_.bytes_sent += static_cast<uint64_t>(sent);
    }
    return true;
}

// Fills the empty output of a stream; false when it is not yet time for more.
bool MockProvider::make_more(Connection& c) {
    if (c.behaviour.is_idle != 0) {
        return false;
    }
    c.out.clear();
    c.out_at = 0;
    if (c.behaviour.gap_ms == 0) {
        while (c.out.size() < kFillBytes && !c.is_complete) {
            make_burst(c);
        }
        return true;
    }
    int64_t now_ns = monotonic_ns();
    if (now_ns < c.due_ns) {
        set_timer(c);
        return false;
    }
    make_burst(c);
    // The beat is kept when we were a little late, and begun anew after a stall: a peer that was
    // slow for a second is not to be flooded with what it missed.
    int64_t gap_ns = c.behaviour.gap_ms * kNsPerMs;
    c.due_ns += gap_ns;
    if (c.due_ns < now_ns) {
        c.due_ns = now_ns + gap_ns;
    }
    return true;
}

void MockProvider::make_burst(Connection& c) {
    const StreamScript& script = *c.script;
    long long count = std::min(c.behaviour.burst, c.events_left);
    if (!c.is_http10) {
        char size_line[24];
        snprintf(size_line, sizeof(size_line), "%zx\r\n",
                 script.event.size() * static_cast<size_t>(count));
        c.out += size_line;
    }
    for (long long i = 0; i < count; i++) {
        size_t at = c.out.size();
        c.out += script.event;
        if (script.stamp_at != std::string::npos) {
            char digits[kStampDigits + 1];
            snprintf(digits, sizeof(digits), "%0*lld", static_cast<int>(kStampDigits),
                     static_cast<long long>(monotonic_ns()));
            c.out.replace(at + script.stamp_at, kStampDigits, digits, kStampDigits);
        }
    }
    c.out += c.is_http10 ? "" : "\r\n";
    stats_.events_made += static_cast<uint64_t>(count);
    c.events_left -= count;
    if (c.events_left == 0) {
        append_piece(c, script.closing);
        c.out += c.is_http10 ? "" : "0\r\n\r\n";
        c.is_complete = true;
    }
}

void MockProvider::append_piece(Connection& c, std::string_view piece) {
    if (c.is_http10) {
        c.out += piece;
        return;
    }
    char size_line[24];
    snprintf(size_line, sizeof(size_line), "%zx\r\n", piece.size());
    c.out += size_line;
    c.out += piece;
    c.out += "\r\n";
}

void MockProvider::end_answer(Connection& c) {
    if (c.script != nullptr) {
        stats_.streams_open--;
        stats_.streams_finished++;
    } else if (c.target != Target::stats) {
        stats_.whole_answers++;
    }
    c.phase = Phase::head;
    c.script = nullptr;
}

void MockProvider::set_timer(Connection& c) {
    if (!c.is_timer_set) {
        c.is_timer_set = true;
        timers_.push(Timer{c.due_ns, c.fd, c.generation});
    }
}

void MockProvider::set_interest(Connection& c, uint32_t interest) {
    if (c.interest == interest) {
        return;
    }
    c.interest = interest;
    epoll_event event = {};
    event.events = interest;
    event.data.u64 = static_cast<uint64_t>(c.generation) << 32 | static_cast<uint64_t>(c.fd);
    epoll_ctl(epoll_fd_, EPOLL_CTL_MOD, c.fd, &event);
}

void MockProvider::close_connection(Connection& c) {
    if (c.phase == Phase::answer && c.script != nullptr) {
        stats_.streams_open--;
        stats_.streams_aborted++;
    } else if (c.phase == Phase::answer && c.target != Target::stats) {
        stats_.answers_cut++;
    } else if (c.phase == Phase::body || !c.input.empty()) {
        stats_.requests_cut++;
    }
    if (!c.is_admin) {
        stats_.closed++;
    }
    int fd = c.fd;
    close(fd);
    connections_[static_cast<size_t>(fd)].reset();
    if (!is_accepting_) {
        epoll_event event = {};
        event.events = EPOLLIN;
        event.data.u64 = static_cast<uint64_t>(listen_fd_);
        is_accepting_ = epoll_ctl(epoll_fd_, EPOLL_CTL_ADD, listen_fd_, &event) == 0;
    }
}

Connection* MockProvider::find(int fd, uint32_t generation) {
    auto index = static_cast<size_t>(fd);
    if (index >= connections_.size() || connections_[index] == nullptr ||
        connections_[index]->generation != generation) {
        return nullptr;
    }
    return connections_[index].get();
}

const StreamScript* MockProvider::script_of(const StreamShape& shape) {
    auto found = scripts_.find(shape);
    if (found == scripts_.end()) {
        found = scripts_.emplace(shape, make_script(shape)).first;
    }
    return &found->second;
}

const std::string& MockProvider::whole_of(Dialect dialect, long long text_bytes) {
    std::string& answer = wholes_[{dialect, text_bytes}];
    if (answer.empty()) {
        answer = make_whole_answer(dialect, static_cast<size_t>(text_bytes));
    }
    return answer;
}

std::string MockProvider::stats_json() const {
    struct Row {
        const char* name;
        uint64_t value;
    };
    const Row rows[] = {
        {"connections_open", stats_.opened - stats_.closed},
        {"connections_opened", stats_.opened},
        {"connections_closed", stats_.closed},
        {"requests", stats_.requests},
        {"chat_requests", stats_.chat_requests},
        {"messages_requests", stats_.messages_requests},
        {"bad_requests", stats_.bad_requests},
        {"requests_cut", stats_.requests_cut},
        {"request_bytes", stats_.request_bytes},
        {"whole_answers", stats_.whole_answers},
        {"answers_cut", stats_.answers_cut},
        {"streams_open", stats_.streams_open},
        {"streams_finished", stats_.streams_finished},
        {"streams_aborted", stats_.streams_aborted},
        {"events_made", stats_.events_made},
        {"bytes_sent", stats_.bytes_sent},
    };
    std::string json = "{";
    for (const Row& row : rows) {
        char text[80];
        snprintf(text, sizeof(text), "%s\"%s\":%llu", json.size() > 1 ? "," : "", row.name,
                 static_cast<unsigned long long>(row.value));
        json += text;
    }
    return json + "}\n";
}

}  // namespace
}  // namespace bench

int main(int argc, char** argv) {
    using namespace bench;
    Behaviour behaviour;
    long long port = 0;
    long long sndbuf = 0;
    long long lifetime_s = 3600;
    ArgReader args(argc, argv);
    args.number("--port", port, 0, 65535);
    args.number("--events", behaviour.events, 1, 1000000000);
    args.number("--gap-ms", behaviour.gap_ms, 0, 3600000);
    args.number("--burst", behaviour.burst, 1, 10000);
    args.number("--text-bytes", behaviour.text_bytes, 1, 65536);
    args.number("--whole-bytes", behaviour.whole_bytes, 1, 4194304);
    args.number("--sndbuf", sndbuf, 0, 64 * 1024 * 1024);
    args.number("--lifetime", lifetime_s, 1, 7 * 24 * 3600);
    behaviour.has_stamp = args.flag("--stamp") ? 1 : 0;
    behaviour.is_idle = args.flag("--idle") ? 1 : 0;
    bool dies_with_parent = args.flag("--die-with-parent");
    args.finish(kUsage);

    if (dies_with_parent) {
        die_with_parent();
    }
    raise_fd_limit();
    signal(SIGTERM, on_stop_signal);
    signal(SIGINT, on_stop_signal);
    signal(SIGPIPE, SIG_IGN);
    MockProvider mock(behaviour, static_cast<int>(sndbuf));
    if (!mock.open(static_cast<int>(port))) {
        return 1;
    }
    return mock.run(lifetime_s * kNsPerSecond);
}
