// What a provider's answer becomes: the commit point stands here. Until the first content is in
// hand nothing has been sent, and every failure means another attempt or a true status. After it
// the answer belongs to the client and ends in its dialect, whatever happens.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "ngx_llm_module/stream/raw_events.hpp"
#include "ngx_llm_module/stream/recoverable_relay.hpp"
#include "ngx_llm_module/upstream/attempt.hpp"
#include "ngx_llm_module/upstream/inflate.hpp"
#include "translators/dialect/anthropic_invoke.hpp"
#include "translators/dialect/unread_usage.hpp"

namespace llm {

// What of an answer belongs to one attempt. While a hedge runs there are two; see
// request/hedge.hpp.
class AttemptAnswer {
  protected:
    enum class Mode : uint8_t { head, error, whole, stream, raw };

    std::unique_ptr<Relay> relay_;
    RecoverableRelay *recoverable_ = nullptr;  // the same, where llm_recover applies
    std::unique_ptr<Inflate> inflate_;
    std::unique_ptr<anthropic::InvokeStream> invoke_;  // messages in an event stream of AWS
    std::unique_ptr<UnreadUsage> unread_usage_;        // of what is forwarded unread
    ByteBuffer unwrapped_;                             // what one read of it brought
    ByteBuffer whole_;  // an error or whole body, padded for the JSON reader
    uint16_t status_ = 0;
    Mode mode_ = Mode::head;
    bool is_continued_ = false;  // it goes on from the text that was sent
    bool is_ended_ = false;      // the provider said all it will say
};

class Answer final : public AnswerSink, private AnswerNames, private AttemptAnswer {
  public:
    explicit Answer(LlmRequest &request) : request_(request) {}

    // The attempt that is spoken of is another one from here.
    void exchange(AttemptAnswer &other) { std::swap(static_cast<AttemptAnswer &>(*this), other); }
    // Nobody will see what the attempt said so far: what that cost goes into the ledger.
    void record_lost();

    // Before each attempt.
    void reset();

    bool on_head(const wire::HttpHead &head) override;
    bool on_body(std::string_view bytes) override;
    bool on_pause() override;
    void on_end() override;
    void on_broken(Broken why) override;
    void on_stale() override;
    void on_event(const ir::StreamEvent &event) override;
    void on_response(const ir::Response &response) override;
    void on_error(const ApiError &error) override { fail(error); }
    bool wants_more() const override;

    void on_drained(bool has_ended);  // the client took everything
    void send_ping();
    // The call's own time is over.
    void on_deadline();
    bool is_committed() const { return is_committed_; }
    // It is forwarded as it comes.
    bool is_unread() const { return mode_ == Mode::raw; }
    // What the attempt used is among the ledger's earlier ones.
    bool is_counted() const { return is_counted_; }
    bool is_complete() const { return relay_ != nullptr && relay_->is_complete(); }
    void record();  // usage and names into the ledger
    // The answer has begun, and this worker ends: the client is told so, where that is possible.
    void end_at_shutdown();
    // No other attempt will go on with the broken stream: the client is told.
    void give_up();
    // The text that the current attempt is to continue, plain; empty: it is asked from the start.
    std::string_view prefill(const Dialect &dialect, const ModelTraits &traits);

  private:
    void append_renamed(std::string_view text, std::string_view id, std::string_view previous,
                        ByteBuffer &out) override;
    void end_kept(json::Value root, size_t size);
    void end_other(json::Value root, size_t size);
    bool take(std::string_view bytes);  // decompressed body bytes
    bool deliver();                     // the relay may have something; false: we are gone
    bool commit();
    void fail(const ApiError &error, std::optional<Failure> failure = {});
    void fail(Broken why);
    void fail(ErrorClass error_class, std::string_view what, uint16_t status = 0);
    bool recover(const ApiError &error, Failure failure);
    void end_broken(const ApiError &error);
    void end_error();
    void end_whole();
    void end_count(json::Value root, size_t size);
    void fail_unread(json::Value root, std::string_view body);
    void reply(ByteBuffer body);
    void replay_as_stream(const ir::Response &response);
    void cut();
    bool start_raw(const wire::HttpHead &head);
    void start_relay();
    bool is_recoverable() const;
    std::string_view stream_type() const;

    LlmRequest &request_;
    ApiError break_;  // the first, once the stream broke behind the commit point
    std::string break_text_;
    std::string break_code_;
    ByteBuffer raw_;
    RawEvents raw_events_;
    bool is_committed_ = false;
    bool is_broken_ = false;   // break_ stands; another answer is looked for
    bool is_waiting_ = false;  // for its first content
    bool is_refused_ = false;  // the current deployment does not continue a text
    bool is_counted_ = false;
};

}  // namespace llm
