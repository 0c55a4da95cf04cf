// Which kind of attempt a candidate gets, and what its failures mean.
#include "ngx_llm_module/upstream/attempt.hpp"

#include <utility>

#include "ngx_llm_module/request/llm_request.hpp"
#include "ngx_llm_module/upstream/mock_attempt.hpp"
#include "ngx_llm_module/upstream/net_attempt.hpp"

namespace llm {

namespace {

ngx_resolver_t *resolver_of(ngx_http_request_t *r, const Config &config) {
    auto *core = static_cast<ngx_http_core_loc_conf_t *>(
        ngx_http_get_module_loc_conf(r, ngx_http_core_module));
    if (core->resolver != nullptr && core->resolver->connections.nelts > 0) {
        return core->resolver;
    }
    return config.resolver;
}

}  // namespace

std::unique_ptr<Attempt> make_attempt(LlmRequest &request, const Candidate &candidate,
                                      OutgoingRequest outgoing, AnswerSink &sink) {
    if (outgoing.endpoint == nullptr) {
        return std::make_unique<MockAttempt>(request, candidate, sink);
    }
    NetContext context;
    context.r = request.r;
    context.log = request.r->connection->log;
    context.resolver = resolver_of(request.r, request.config);
    context.timeouts = request.timeouts();
    context.earlier_states = request.earlier_states;
    context.may_reuse = !std::exchange(request.wants_new_connection, false);
    return std::make_unique<NetAttempt>(context, std::move(outgoing), sink);
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
        case Broken::no_connection:
            return ErrorClass::overloaded;
        case Broken::no_address:
        case Broken::connect:
        case Broken::tls:
        case Broken::reset:
        case Broken::closed:
            break;
    }
    return ErrorClass::upstream;
}

Failure failure_of(Broken why) {
    switch (why) {
        case Broken::no_connection:
            return Failure::no_connection;
        case Broken::no_address:
        case Broken::connect:
        case Broken::tls:
            return Failure::unreachable;
        case Broken::connect_timeout:
            return Failure::connect_timeout;
        case Broken::first_token_timeout:
        case Broken::idle_timeout:
            return Failure::silent;
        case Broken::call_timeout:
            return Failure::deadline;
        case Broken::malformed:
            return Failure::malformed;
        case Broken::cut:
            return Failure::truncated;
        case Broken::reset:
        case Broken::closed:
            break;
    }
    return Failure::reset;
}

std::string_view describe(Broken why) {
    switch (why) {
        case Broken::no_connection:
            return "the gateway has no connection left";
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
