// InvokeModelWithResponseStream for messages: an AWS event stream whose chunks hold one event of
// the messages API each, turned into the server-sent events that the API itself would have sent.
// Decoder and observer of that dialect read the result.
//
//   anthropic::InvokeStream stream;
//   stream.feed(bytes, out);   // out.view() is readable json::kPadding past its end
//
// Exceptions and streams that cannot be read become an `error` event, which is terminal: what
// follows is ignored. A stream that is cut ends without message_stop, as it would have elsewhere.
#pragma once

#include "translators/core/arena.hpp"
#include "translators/json/reader.hpp"
#include "translators/json/writer.hpp"
#include "translators/wire/aws_eventstream.hpp"

namespace llm::anthropic {

// What CountTokens is asked: the body of the call that is to be counted.
void render_invoke_count(std::string_view body, json::Writer &writer);

class InvokeStream final : private wire::AwsHandler {
  public:
    // Bytes as they came, cut anywhere, readable json::kPadding past their end; what they are worth
    // is appended to `out`.
    void feed(std::string_view bytes, ByteBuffer &out);
    bool has_failed() const { return has_failed_; }
    size_t memory() const { return splitter_.memory() + event_.size(); }

  private:
    Status on_aws(const wire::AwsMessage &message) override;
    void fail(std::string_view what);

    wire::AwsSplitter splitter_;
    json::Reader reader_;
    Arena arena_;  // one message's
    ByteBuffer event_;
    ByteBuffer *out_ = nullptr;  // of the feed that runs
    bool has_failed_ = false;
};

}  // namespace llm::anthropic
