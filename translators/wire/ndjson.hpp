// Splits a byte stream into the lines of newline-delimited JSON, however the bytes are cut.
//
//   wire::NdjsonSplitter splitter;
//   splitter.feed(bytes, handler);    // handler.on_line(line) for each line
//   splitter.finish(handler);         // at end of input
//
// Only a line feed ends a line; a carriage return before it is no part of it, and lines of nothing
// but white space are passed over. A line that lies whole in the bytes fed is given as a view into
// them: those bytes must be readable json::kPadding past their end. Only the tail of an unfinished
// line is copied, into one buffer that is used again and limited by max_line.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "translators/core/result.hpp"

namespace llm::wire {

class NdjsonHandler {
  public:
    // Readable json::kPadding past its end, valid during the call. An error stops the feed.
    virtual Status on_line(std::string_view line) = 0;

  protected:
    ~NdjsonHandler() = default;
};

class NdjsonSplitter {
  public:
    explicit NdjsonSplitter(size_t max_line = 16u << 20) : max_line_(max_line) {}

    Status feed(std::string_view bytes, NdjsonHandler &handler);
    // Hands out a last line whose line feed is missing. It may be half a line: the caller decides
    // (JSON that parses is taken, anything else counts as cut).
    Status finish(NdjsonHandler &handler);
    // True when the last byte fed ended a line (or nothing was fed).
    bool at_boundary() const { return pending_.empty(); }
    size_t memory() const { return pending_.capacity(); }

  private:
    Status dispatch_pending(NdjsonHandler &handler);

    std::string pending_;  // bytes of the unfinished line
    size_t max_line_;
};

}  // namespace llm::wire
