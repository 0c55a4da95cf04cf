// Newline-delimited JSON out of bytes that are cut anywhere. Whole lines are handed out as views
// into the fed bytes; an unfinished tail waits in pending_.
//
// Entry points: feed, finish. Invariants: every byte is searched for a line feed once; pending_
// never holds one; nothing is allocated for a line that came whole.
#include "translators/wire/ndjson.hpp"

#include "translators/json/reader.hpp"

namespace llm::wire {

namespace {

constexpr size_t kKeepCapacity = 256u << 10;

Error too_large() {
    return Error{Errc::too_large, "line over the size limit", {}, 0};
}

// The line without the carriage return of its end; nothing for one that says nothing.
Status dispatch(std::string_view line, NdjsonHandler &handler) {
    if (line.find_first_not_of(" \t\r") == std::string_view::npos) {
        return {};
    }
    if (line.back() == '\r') {
        line.remove_suffix(1);
    }
    return handler.on_line(line);
}

}  // namespace

Status NdjsonSplitter::feed(std::string_view bytes, NdjsonHandler &handler) {
    size_t at = 0;
    if (!pending_.empty() && !bytes.empty()) {
        size_t end = bytes.find('\n');
        size_t size = end == std::string_view::npos ? bytes.size() : end;
        if (pending_.size() + size > max_line_) {
            return too_large();
        }
        pending_.append(bytes.substr(0, size));
        if (end == std::string_view::npos) {
            return {};
        }
        LLM_TRY(dispatch_pending(handler));
        at = end + 1;
    }
    while (at < bytes.size()) {
        size_t end = bytes.find('\n', at);
        if (end == std::string_view::npos) {
            break;
        }
        if (end - at > max_line_) {
            return too_large();
        }
        LLM_TRY(dispatch(bytes.substr(at, end - at), handler));
        at = end + 1;
    }
    if (bytes.size() - at > max_line_) {
        return too_large();
    }
    pending_.append(bytes.substr(at));
    return {};
}

Status NdjsonSplitter::finish(NdjsonHandler &handler) {
    return pending_.empty() ? Status() : dispatch_pending(handler);
}

Status NdjsonSplitter::dispatch_pending(NdjsonHandler &handler) {
    pending_.reserve(pending_.size() + json::kPadding);
    Status status = dispatch(pending_, handler);
    pending_.clear();
    if (pending_.capacity() > kKeepCapacity) {
        std::string().swap(pending_);
    }
    return status;
}

}  // namespace llm::wire
