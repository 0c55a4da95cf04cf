// Splits application/vnd.amazon.eventstream into its messages, however the bytes are cut.
//
//   wire::AwsSplitter splitter;
//   splitter.feed(bytes, handler);   // handler.on_aws(const wire::AwsMessage &) for each message
//   splitter.finish();               // at end of input: stream_truncated inside a message
//
// Lengths are believed only behind the check sum of the prelude, and no memory is asked for before
// its bytes are there. A message that lies whole in the bytes fed is given as views into them:
// those bytes must be readable json::kPadding past their end. The tail of an unfinished one is
// copied into one buffer that is used again. There is no way back from an error: what follows is
// refused with the same error.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "translators/core/result.hpp"

namespace llm::wire {

enum class AwsMessageKind : uint8_t {
    event,
    exception,  // an error that the API's model knows: payload {"message":...}
    error,      // one that it does not know: code and text stand in headers
};

struct AwsMessage {
    AwsMessageKind kind = AwsMessageKind::event;
    std::string_view name;        // of the event or exception, or the error's code; may be empty
    std::string_view error_text;  // error: what it says
    std::string_view payload;     // readable json::kPadding past its end
    std::string_view raw;         // the whole message
};

class AwsHandler {
  public:
    virtual Status on_aws(const AwsMessage &message) = 0;  // an error stops the feed

  protected:
    ~AwsHandler() = default;
};

class AwsSplitter {
  public:
    explicit AwsSplitter(size_t max_message = 24u << 20) : max_message_(max_message) {}

    Status feed(std::string_view bytes, AwsHandler &handler);
    Status finish() const;
    // True when the last byte fed ended a message (or nothing was fed).
    bool at_boundary() const { return pending_.empty(); }
    size_t memory() const { return pending_.capacity(); }

  private:
    Status feed_good(std::string_view bytes, AwsHandler &handler);
    Result<size_t> message_size(std::string_view prelude) const;
    static Status dispatch(std::string_view raw, AwsHandler &handler);

    std::string pending_;  // bytes of the unfinished message
    size_t max_message_;
    Error error_;
    bool has_failed_ = false;
};

}  // namespace llm::wire
