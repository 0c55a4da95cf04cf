// Carries a streamed answer from the provider's bytes to the client's. THIS is where a stream
// event is translated: TranslatingRelay runs decoder -> tap -> encoder, PassRelay forwards the
// provider's own events with an observer beside them. Both only append to out(); when those bytes
// leave is decided in answer.cpp.
#pragma once

#include <memory>
#include <string>

#include "ngx_llm_module/upstream/attempt.hpp"
#include "translators/dialect/dialect.hpp"

namespace llm {

class Relay {
  public:
    virtual ~Relay() = default;

    virtual void feed(std::string_view bytes) = 0;  // the provider's bytes
    virtual void event(const ir::StreamEvent &) {}  // an answer made here
    virtual void finish() = 0;                      // the provider's last byte was fed
    // Appends the error frame that ends the client's stream.
    virtual void append_error(const ApiError &error) = 0;
    virtual void append_ping() = 0;
    virtual const Usage &usage() const = 0;
    virtual std::string_view upstream_model() const = 0;
    virtual std::string_view finish_reason() const = 0;

    // Content, that is: the commit point was reached.
    bool has_content() const { return has_content_; }
    // The answer is complete in the client's dialect.
    bool is_complete() const { return is_complete_; }
    // The provider's answer broke: nothing more will come. Text in it is owned by the relay.
    const ApiError *failure() const { return has_failed_ ? &failure_ : nullptr; }

    // About how much content there was so far, and whether the provider counted along with it.
    virtual uint64_t content_bytes() const = 0;
    bool is_usage_current() const { return usage().output > first_output_; }

    ByteBuffer &out() { return out_; }

  protected:
    void fail(const ApiError &error);
    void fail(ErrorClass error_class, std::string_view plain);
    void forget_failure() { has_failed_ = false; }

    ByteBuffer out_;
    bool has_content_ = false;
    int64_t first_output_ = 0;  // of the usage that came with the first content or before
    bool is_complete_ = false;

  private:
    ApiError failure_;
    std::string failure_text_;
    std::string failure_code_;
    bool has_failed_ = false;
};

// Writes the client's names of an answer in the place of the provider's (views into `text`).
struct AnswerNames {
    virtual void append_renamed(std::string_view text, std::string_view id,
                                std::string_view previous, ByteBuffer &out) = 0;

  protected:
    ~AnswerNames() = default;
};

// `provider` is null for answers that come as events.
std::unique_ptr<Relay> make_translating_relay(const Dialect *provider, const Dialect &client,
                                              const ClientView &view);
std::unique_ptr<Relay> make_pass_relay(const Dialect &dialect, const ClientView &view,
                                       AnswerNames *names = nullptr);

}  // namespace llm
