// Splits a byte stream into server-sent events, however the bytes are cut: LF, CRLF and lone CR,
// comments, several data lines, no space behind the colon, a byte order mark, a last event
// without its blank line.
//
//   wire::SseSplitter splitter(limits);
//   splitter.feed(bytes, handler);    // handler.on_sse(const wire::SseEvent &) for each event
//   splitter.finish(handler);         // at end of input
//
// An event that lies whole in the bytes fed is given as views into them: those bytes must be
// readable json::kPadding past their end. Only the tail of an unfinished event is copied, into
// one buffer that is used again and limited by max_event.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "translators/core/result.hpp"

namespace llm::wire {

struct SseEvent {
    std::string_view name;  // empty when there was no `event:` line
    std::string_view data;  // joined with \n; readable json::kPadding past its end
    std::string_view raw;   // the event's own bytes, its blank line included
    bool has_data = false;  // false: only comments (a keep-alive) or nothing
};

class SseHandler {
  public:
    virtual Status on_sse(const SseEvent &event) = 0;  // an error stops the feed

  protected:
    ~SseHandler() = default;
};

class SseSplitter {
  public:
    explicit SseSplitter(size_t max_event = 16u << 20) : max_event_(max_event) {}

    Status feed(std::string_view bytes, SseHandler &handler);
    // Hands out a last event whose blank line is missing. Its data may be half an event: the
    // caller decides (JSON that parses is taken, anything else counts as cut).
    Status finish(SseHandler &handler);
    // True when the last byte fed ended an event (or nothing was fed).
    bool at_boundary() const { return pending_.empty(); }
    size_t memory() const { return pending_.capacity() + joined_.capacity(); }

  private:
    bool is_pending_whole(bool is_cut);
    Status dispatch_pending(SseHandler &handler);
    Status dispatch(std::string_view raw, SseHandler &handler);

    std::string pending_;  // bytes of the unfinished event
    size_t scanned_ = 0;   // how much of pending_ was searched for its end
    std::string joined_;   // several data lines as one
    size_t max_event_;
    bool at_start_ = true;  // a byte order mark may follow
};

}  // namespace llm::wire
