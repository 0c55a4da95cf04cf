// Errors as a Responses client reads them. As a body they are those of chat; in a stream they are
// an `error` event, flat, which the encoder follows up with response.failed.
#include "translators/dialect/openai.hpp"
#include "translators/dialect/responses.hpp"

namespace llm::responses {

uint16_t render_error(const ApiError &error, std::string_view, json::Writer &writer) {
    return openai::write_error(error, "input", writer);
}

void append_error_event(const ApiError &error, int64_t sequence, ByteBuffer &out) {
    out.append("event: error\ndata: ");
    json::Writer writer(out);
    writer.object().key("type").plain("error").key("sequence_number").number(sequence);
    writer.key("code");
    openai::write_error_code(error, writer);
    writer.key("message").text(error.message).key("param");
    openai::write_error_param(error, "input", writer);
    writer.end();
    out.append("\n\n");
}

// Nobody counted the events before it.
void render_error_frame(const ApiError &error, ByteBuffer &out) {
    append_error_event(error, 0, out);
}

std::string_view failure_code(ErrorClass error_class) {
    switch (error_class) {
        case ErrorClass::rate_limit:
        case ErrorClass::overloaded:
            return "rate_limit_exceeded";
        case ErrorClass::content_policy:
        case ErrorClass::invalid_request:
            return "invalid_prompt";
        case ErrorClass::unsupported:
        case ErrorClass::context_length:
        case ErrorClass::authentication:
        case ErrorClass::billing:
        case ErrorClass::permission:
        case ErrorClass::not_found:
        case ErrorClass::too_large:
        case ErrorClass::timeout:
        case ErrorClass::upstream:
        case ErrorClass::upstream_protocol:
        case ErrorClass::stream_truncated:
            break;
    }
    return "server_error";
}

}  // namespace llm::responses
