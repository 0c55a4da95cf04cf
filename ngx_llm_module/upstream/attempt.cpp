// Which kind of attempt a candidate gets, and what its failures mean.
#include "ngx_llm_module/upstream/attempt.hpp"

#include "ngx_llm_module/upstream/mock_attempt.hpp"
#include "ngx_llm_module/upstream/net_attempt.hpp"

namespace llm {

std::unique_ptr<Attempt> make_attempt(LlmRequest &request, const Candidate &candidate,
                                      OutgoingRequest outgoing, AnswerSink &sink) {
    if (outgoing.endpoint == nullptr) {
        return std::make_unique<MockAttempt>(request, candidate, sink);
    }
    return std::make_unique<NetAttempt>(request, std::move(outgoing), sink);
}

ErrorClass class_of(Broken why) {
    switch (why) {
        case Broken::connect_timeout:
        case Broken::first_token_timeout:
        case Broken::idle_timeout:
        case Broken::call_timeout:
            return ErrorClass::timeout;
        case Broken::malformed:
            return ErrorClass::upstream_protocol;
        case Broken::cut:
            return ErrorClass::stream_truncated;
        case Broken::no_address:
        case Broken::connect:
        case Broken::tls:
        case Broken::reset:
        case Broken::closed:
            break;
    }
    return ErrorClass::upstream;
}

std::string_view describe(Broken why) {
    switch (why) {
        case Broken::no_address:
            return "the provider's address is not known";
        case Broken::connect:
            return "the provider could not be reached";
        case Broken::tls:
            return "no trusted connection to the provider";
        case Broken::reset:
            return "the provider reset the connection";
        case Broken::closed:
            return "the provider closed the connection without an answer";
        case Broken::malformed:
            return "the provider's answer is malformed";
        case Broken::connect_timeout:
            return "the provider did not accept the connection in time";
        case Broken::first_token_timeout:
            return "the provider sent no content in time";
        case Broken::idle_timeout:
            return "the provider was silent for too long";
        case Broken::call_timeout:
            return "the call took too long";
        case Broken::cut:
            return "the provider's answer ended early";
    }
    return "";
}

}  // namespace llm
