// One try of one deployment. Two kinds exist: NetAttempt talks HTTP to a provider, MockAttempt
// plays an answer by itself. Each tells the AnswerSink of its request what came; the sink decides
// what it means. Destroying an attempt closes whatever it holds, at once.
#pragma once

#include <memory>
#include <string_view>

#include "ngx_llm_module/route/candidates.hpp"
#include "ngx_llm_module/route/next_step.hpp"
#include "translators/core/errors.hpp"
#include "translators/wire/http1.hpp"

namespace llm {

class LlmRequest;

// Why an attempt has no answer, or lost it half way.
enum class Broken : uint8_t {
    no_connection,  // of our own
    no_address,
    connect,
    tls,
    reset,
    closed,
    malformed,
    connect_timeout,
    first_token_timeout,
    idle_timeout,
    call_timeout,
    cut,
};

// The class that a caller sees, and static text for the log and the error body.
ErrorClass class_of(Broken why);
// What it means for further attempts.
Failure failure_of(Broken why);
std::string_view describe(Broken why);

// What an attempt tells. Every function may end the attempt: when it returns false (or for the
// void ones always), the attempt may be gone and its code must return without touching `this`.
class AnswerSink {
  public:
    virtual bool on_head(const wire::HttpHead &head) = 0;
    virtual bool on_body(std::string_view bytes) = 0;  // readable json::kPadding past its end
    // All that one read brought was told: what it became leaves in one write.
    virtual bool on_pause() = 0;
    virtual void on_end() = 0;  // the body is complete
    virtual void on_broken(Broken why) = 0;
    // A connection that was kept idle died under the request before a byte of the answer came:
    // not the deployment's fault, a new connection is tried.
    virtual void on_stale() = 0;
    // For answers that are made here: events (then a pause) or a whole answer instead of bytes.
    virtual void on_event(const ir::StreamEvent &event) = 0;
    virtual void on_response(const ir::Response &response) = 0;
    virtual void on_error(const ApiError &error) = 0;
    // False: the client is slow, read no further until resume().
    virtual bool wants_more() const = 0;

  protected:
    ~AnswerSink() = default;
};

class Attempt {
  public:
    virtual ~Attempt() = default;
    virtual void start() = 0;
    // The client took what there was: read on.
    virtual void resume() = 0;
    // The first content is out: from here on silence is measured, not the time to first content.
    virtual void on_first_content() = 0;
    // The provider may have begun with what it was asked.
    virtual bool was_asked() const = 0;
    // The sink needs nothing more: the connection is kept for others where that is possible.
    virtual void finish() = 0;
};

struct OutgoingRequest;

std::unique_ptr<Attempt> make_attempt(LlmRequest &request, const Candidate &candidate,
                                      OutgoingRequest outgoing, AnswerSink &sink);

}  // namespace llm
