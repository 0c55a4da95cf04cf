// Server-sent events out of bytes that are cut anywhere. An event ends behind its blank line; a
// carriage return at the very end of what is known stays undecided until the next byte, so that
// CRLF is never torn (and every cut gives the same events). Two of them in a row do not wait:
// whoever writes so does not write CRLF, and a line feed behind them is one more blank line, which
// means nothing. Whole events are handed out as views into the fed bytes; an unfinished tail waits
// in pending_.
//
// Entry points: feed, finish. Invariants: every byte is searched for line ends once while it
// waits; the raws in order are exactly the input; pending_ never holds a whole event.
#include "translators/wire/sse.hpp"

#include <cstring>

#include "translators/json/reader.hpp"

namespace llm::wire {

namespace {

constexpr size_t kNone = static_cast<size_t>(-1);
constexpr size_t kKeepCapacity = 256u << 10;
constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";

// Finds line ends in one buffer, going forward only. The next LF and CR are remembered, so a
// stream without any CR is searched for them once and not once a line.
class LineEnds {
  public:
    explicit LineEnds(std::string_view bytes) : bytes_(bytes) {}

    // Position of the first CR or LF at or behind `from`, or kNone.
    size_t next(size_t from) {
        if (lf_ != kNone && (lf_ < from || !is_started_)) {
            lf_ = find('\n', from);
        }
        if (cr_ != kNone && (cr_ < from || !is_started_)) {
            cr_ = find('\r', from);
        }
        is_started_ = true;
        return lf_ < cr_ ? lf_ : cr_;
    }

  private:
    size_t find(char c, size_t from) const {
        if (from >= bytes_.size()) {
            return kNone;
        }
        const void *found = memchr(bytes_.data() + from, c, bytes_.size() - from);
        return found == nullptr
                   ? kNone
                   : static_cast<size_t>(static_cast<const char *>(found) - bytes_.data());
    }

    std::string_view bytes_;
    size_t lf_ = 0;
    size_t cr_ = 0;
    bool is_started_ = false;
};

bool is_line_end(char c) {
    return c == '\n' || c == '\r';
}

struct EventEnd {
    size_t end;     // one past the blank line, or kNone
    size_t resume;  // where to go on searching when there is none
};

// The end of the event that starts at `start`. `first_line` is `start`, or behind a byte order
// mark. `is_cut` says that nothing is known of what follows the bytes.
EventEnd find_event_end(std::string_view bytes, size_t first_line, size_t from, bool is_cut,
                        LineEnds &line_ends) {
    for (;;) {
        size_t at = line_ends.next(from);
        if (at == kNone) {
            return {kNone, bytes.size()};
        }
        size_t behind = at + 1;
        bool is_second_cr = at > first_line && bytes[at] == '\r' && bytes[at - 1] == '\r';
        if (bytes[at] == '\r' && !is_second_cr) {
            if (behind == bytes.size() && is_cut) {
                return {kNone, at};
            }
            if (behind < bytes.size() && bytes[behind] == '\n') {
                ++behind;
            }
        }
        if (at == first_line || (at > first_line && is_line_end(bytes[at - 1]))) {
            return {behind, behind};
        }
        from = behind;
    }
}

// The value of `line` when it is the field `name`.
bool read_field(std::string_view line, std::string_view name, std::string_view &value) {
    if (line.size() < name.size() || memcmp(line.data(), name.data(), name.size()) != 0) {
        return false;
    }
    line.remove_prefix(name.size());
    if (line.empty()) {
        value = line;
        return true;
    }
    if (line[0] != ':') {
        return false;
    }
    line.remove_prefix(line.size() > 1 && line[1] == ' ' ? 2 : 1);
    value = line;
    return true;
}

// Where the first line of an event starts: a byte order mark is no part of it.
size_t first_line(std::string_view bytes, bool is_at_start) {
    return is_at_start && bytes.starts_with(kByteOrderMark) ? kByteOrderMark.size() : 0;
}

Error too_large() {
    return Error{Errc::too_large, "event over the size limit", {}, 0};
}

}  // namespace

Status SseSplitter::feed(std::string_view bytes, SseHandler &handler) {
    size_t at = 0;
    LineEnds line_ends(bytes);

    // Finish the event that began in earlier bytes, a line at a time: only it is copied.
    while (!pending_.empty()) {
        bool is_cut = at == bytes.size() || bytes[at] == '\n';
        if (is_pending_whole(is_cut)) {
            LLM_TRY(dispatch_pending(handler));
            break;
        }
        if (at == bytes.size()) {
            return {};
        }
        size_t end = line_ends.next(at);
        end = end == kNone ? bytes.size() : end + 1;
        bool is_second_cr = end - 1 == at && pending_.back() == '\r';
        if (bytes[end - 1] == '\r' && !is_second_cr && end < bytes.size() && bytes[end] == '\n') {
            ++end;
        }
        if (pending_.size() + (end - at) > max_event_) {
            return too_large();
        }
        pending_.append(bytes.substr(at, end - at));
        at = end;
    }

    size_t resume = at;
    while (at < bytes.size()) {
        size_t line = at + first_line(bytes.substr(at), at_start_);
        EventEnd found = find_event_end(bytes, line, line, true, line_ends);
        if (found.end == kNone) {
            resume = found.resume;
            break;
        }
        if (found.end - at > max_event_) {
            return too_large();
        }
        LLM_TRY(dispatch(bytes.substr(at, found.end - at), handler));
        at = found.end;
    }

    if (bytes.size() - at > max_event_) {
        return too_large();
    }
    if (at < bytes.size()) {
        pending_.assign(bytes.substr(at));
        scanned_ = resume - at;
    }
    return {};
}

Status SseSplitter::finish(SseHandler &handler) {
    return pending_.empty() ? Status() : dispatch_pending(handler);
}

bool SseSplitter::is_pending_whole(bool is_cut) {
    LineEnds line_ends(pending_);
    EventEnd found =
        find_event_end(pending_, first_line(pending_, at_start_), scanned_, is_cut, line_ends);
    scanned_ = found.resume;
    return found.end != kNone;
}

Status SseSplitter::dispatch_pending(SseHandler &handler) {
    pending_.reserve(pending_.size() + json::kPadding);
    Status status = dispatch(pending_, handler);
    pending_.clear();
    scanned_ = 0;
    if (pending_.capacity() > kKeepCapacity) {
        std::string().swap(pending_);
    }
    return status;
}

Status SseSplitter::dispatch(std::string_view raw, SseHandler &handler) {
    SseEvent event;
    event.raw = raw;
    size_t at = first_line(raw, at_start_);
    at_start_ = false;

    size_t data_lines = 0;
    LineEnds line_ends(raw);
    while (at < raw.size()) {
        size_t end = line_ends.next(at);
        end = end == kNone ? raw.size() : end;
        std::string_view line = raw.substr(at, end - at);
        at = end + 1;  // the LF of a CRLF counts as an empty line, which means nothing here
        std::string_view value;
        if (read_field(line, "data", value)) {
            if (data_lines++ == 0) {
                event.data = value;
                continue;
            }
            if (data_lines == 2) {
                joined_.assign(event.data);
            }
            joined_.append(1, '\n').append(value);
        } else if (read_field(line, "event", value)) {
            event.name = value;
        }
    }
    event.has_data = data_lines > 0;
    if (data_lines > 1) {
        joined_.reserve(joined_.size() + json::kPadding);
        event.data = joined_;
    }
    Status status = handler.on_sse(event);
    if (joined_.capacity() > kKeepCapacity) {
        std::string().swap(joined_);
    }
    return status;
}

}  // namespace llm::wire
