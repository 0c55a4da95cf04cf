// What the load generator understands of an answer: one HTTP response, and the SSE events in it.
//
// Entry points: ResponseReader::feed() and on_eof() (one response, however it is cut), EventCounter
// (events of both dialects, their time stamps, whether the end and any error was seen), Histogram
// (percentiles to better than half a percent).
// A stream counts as complete only when both its HTTP body and its dialect ended as they should:
// a proxy that loses the tail of a stream is not to look fast.
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <string>
#include <string_view>

#include "bench_http.hpp"
#include "mock_answers.hpp"

namespace bench {

// Buckets of equal width within each power of two: 256 of them keep the error below 0.4 %.
class Histogram {
public:
    void add(int64_t value) {
        auto number = static_cast<uint64_t>(std::max<int64_t>(0, value));
        buckets_[index_of(number)]++;
        count_++;
        max_ = std::max(max_, number);
    }

    uint64_t count() const { return count_; }
    double max() const { return static_cast<double>(max_); }

    // The value that `share` (0 to 1) of all values do not exceed; 0 when there are none.
    double percentile(double share) const {
        auto rank = static_cast<uint64_t>(share * static_cast<double>(count_));
        uint64_t seen = 0;
        for (size_t i = 0; i < buckets_.size(); i++) {
            seen += buckets_[i];
            if (seen > rank || (seen == count_ && count_ > 0)) {
                return middle_of(i);
            }
        }
        return 0;
    }

private:
    static constexpr int kSubBits = 8;
    static constexpr uint64_t kSubBuckets = 1 << kSubBits;

    static size_t index_of(uint64_t value) {
        if (value < kSubBuckets) {
            return value;
        }
        int shift = std::bit_width(value) - kSubBits - 1;
        return (static_cast<uint64_t>(shift) + 1) * kSubBuckets + (value >> shift) - kSubBuckets;
    }

    static double middle_of(size_t index) {
        if (index < kSubBuckets) {
            return static_cast<double>(index);
        }
        size_t shift = index / kSubBuckets - 1;
        auto width = static_cast<double>(1ULL << shift);
        return (static_cast<double>(index % kSubBuckets + kSubBuckets) + 0.5) * width;
    }

    std::array<uint64_t, (64 - kSubBits + 1) * kSubBuckets> buckets_ = {};
    uint64_t count_ = 0;
    uint64_t max_ = 0;
};

// Counts the server-sent events of one stream. Lines that one read brings whole are looked at where
// they are; only a cut line is copied.
class EventCounter {
public:
    void reset() {
        line_.clear();
        events = content_events = 0;
        has_data_ = saw_end = saw_error = false;
    }

    void feed(std::string_view piece, int64_t now_ns, Histogram& delays) {
        while (!piece.empty()) {
            const void* hit = memchr(piece.data(), '\n', piece.size());
            if (hit == nullptr) {
                line_.append(piece);
                return;
            }
            auto size = static_cast<size_t>(static_cast<const char*>(hit) - piece.data());
            if (line_.empty()) {
                on_line(piece.substr(0, size), now_ns, delays);
            } else {
                line_.append(piece.substr(0, size));
                on_line(line_, now_ns, delays);
                line_.clear();
            }
            piece.remove_prefix(size + 1);
        }
    }

    uint64_t events = 0;          // everything with data, the end marker too
    uint64_t content_events = 0;  // those that bring text
    bool saw_end = false;         // [DONE] or message_stop
    bool saw_error = false;

private:
    void on_line(std::string_view line, int64_t now_ns, Histogram& delays) {
        if (!line.empty() && line.back() == '\r') {
            line.remove_suffix(1);
        }
        if (line.empty()) {
            events += has_data_ ? 1 : 0;
            has_data_ = false;
        } else if (line.starts_with("data:")) {
            has_data_ = true;
            on_data(trimmed(line.substr(5)), now_ns, delays);
        } else if (line.starts_with("event:")) {
            std::string_view name = trimmed(line.substr(6));
            saw_end = saw_end || name == "message_stop";
            saw_error = saw_error || name == "error";
        }
    }

    void on_data(std::string_view data, int64_t now_ns, Histogram& delays) {
        if (data == "[DONE]") {
            saw_end = true;
            return;
        }
        if (data.starts_with("{\"error\"") || data.starts_with("{\"type\":\"error\"")) {
            saw_error = true;
            return;
        }
        if (!brings_text(data, "\"content\"") && !brings_text(data, "\"text\"")) {
            return;
        }
        content_events++;
        size_t at = data.find(kStampPrefix);
        uint64_t stamp_ns = 0;
        // 18 digits reach to the year 30 after boot; the first of the 19 is always zero.
        if (at != std::string_view::npos &&
            data.size() >= at + kStampPrefix.size() + kStampDigits &&
            parse_decimal(data.substr(at + kStampPrefix.size() + 1, kStampDigits - 1), stamp_ns)) {
            delays.add(now_ns - static_cast<int64_t>(stamp_ns));
        }
    }

    // True when `key` has a string that is not empty.
    static bool brings_text(std::string_view data, std::string_view key) {
        const void* hit = memmem(data.data(), data.size(), key.data(), key.size());
        if (hit == nullptr) {
            return false;
        }
        auto at = static_cast<size_t>(static_cast<const char*>(hit) - data.data()) + key.size();
        while (at < data.size() && (data[at] == ':' || data[at] == ' ')) {
            at++;
        }
        return at + 1 < data.size() && data[at] == '"' && data[at + 1] != '"';
    }

    std::string line_;
    bool has_data_ = false;
};

class ResponseReader {
public:
    enum class Progress { more, done, bad };

    void reset() {
        head_.clear();
        body_start_.clear();
        counter.reset();
        chunked_.reset();
        framing_ = Framing::none;
        body_left_ = 0;
        status = 0;
        is_stream = false;
        keeps_alive = false;
    }

    bool has_begun() const { return !head_.empty() || framing_ != Framing::none; }
    std::string_view body_start() const { return body_start_; }

    Progress feed(std::string_view input, int64_t now_ns, Histogram& delays) {
        if (framing_ == Framing::none) {
            Progress progress = take_head(input);
            if (progress == Progress::bad || framing_ == Framing::none) {
                return progress;
            }
        }
        auto sink = [&](std::string_view piece) { on_body(piece, now_ns, delays); };
        bool is_whole = false;
        if (framing_ == Framing::chunked) {
            input.remove_prefix(chunked_.feed(input, sink));
            if (chunked_.is_bad()) {
                return Progress::bad;
            }
            is_whole = chunked_.is_done();
        } else if (framing_ == Framing::length) {
            auto size = static_cast<size_t>(std::min<uint64_t>(body_left_, input.size()));
            sink(input.substr(0, size));
            body_left_ -= size;
            input.remove_prefix(size);
            is_whole = body_left_ == 0;
        } else {
            sink(input);
            input = {};
        }
        if (!is_whole) {
            return Progress::more;
        }
        // Nobody pipelines here: bytes behind the answer belong to nothing.
        return input.empty() ? Progress::done : Progress::bad;
    }

    // A close ends only such a body properly that has no other end.
    Progress on_eof() const {
        return framing_ == Framing::until_close ? Progress::done : Progress::bad;
    }

    // Whether a response that is whole as HTTP is also a whole answer of its dialect.
    bool is_good_answer(Dialect dialect) const {
        if (is_stream) {
            return counter.saw_end && !counter.saw_error;
        }
        const char* key = dialect == Dialect::chat ? "\"choices\"" : "\"content\"";
        return body_start_.find(key) != std::string::npos;
    }

    int status = 0;
    bool is_stream = false;
    bool keeps_alive = false;
    EventCounter counter;

private:
    enum class Framing { none, length, chunked, until_close };
    static constexpr size_t kBodyStartBytes = 4096;

    // Takes the head from the front of `input`, which is left at the body.
    Progress take_head(std::string_view& input) {
        for (;;) {
            size_t before = head_.size();
            head_.append(input);
            size_t end = head_.find("\r\n\r\n", before < 3 ? 0 : before - 3);
            if (end == std::string::npos) {
                return head_.size() > kMaxHeadBytes ? Progress::bad : Progress::more;
            }
            input.remove_prefix(end + 4 - before);
            head_.resize(end + 2);
            uint64_t code = 0;
            if (head_.size() < 12 || !head_.starts_with("HTTP/1.") ||
                !parse_decimal(std::string_view(head_).substr(9, 3), code)) {
                return Progress::bad;
            }
            if (code >= 200) {
                return on_head(static_cast<int>(code));
            }
            head_.clear();  // 100 Continue and its like: the real one follows
        }
    }

    Progress on_head(int code) {
        status = code;
        keeps_alive = head_.starts_with("HTTP/1.1") &&
                      !header_has_token(header_value(head_, "connection"), "close");
        is_stream = header_value(head_, "content-type").starts_with("text/event-stream");
        std::string_view length = header_value(head_, "content-length");
        if (header_has_token(header_value(head_, "transfer-encoding"), "chunked")) {
            framing_ = Framing::chunked;
        } else if (!length.empty()) {
            framing_ = Framing::length;
            return parse_decimal(length, body_left_) ? Progress::more : Progress::bad;
        } else {
            framing_ = Framing::until_close;
            keeps_alive = false;
        }
        return Progress::more;
    }

    void on_body(std::string_view piece, int64_t now_ns, Histogram& delays) {
        if (is_stream) {
            counter.feed(piece, now_ns, delays);
        } else if (body_start_.size() < kBodyStartBytes) {
            body_start_.append(piece.substr(0, kBodyStartBytes - body_start_.size()));
        }
    }

    std::string head_;
    std::string body_start_;
    ChunkedDecoder chunked_;
    Framing framing_ = Framing::none;
    uint64_t body_left_ = 0;
};

}  // namespace bench
