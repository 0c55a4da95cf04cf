// Errors as a chat client reads them: {"error":{"message","type","param","code"}}, all four
// members always.
//
// Entry points: render_error (a body and its status), render_error_frame (in a stream). The class
// decides status, type and code; the provider's own code stays where clients test for none.
#include "translators/dialect/openai.hpp"

namespace llm::openai {

namespace {

// Clients test for the code of these classes: it must be the usual one, whoever refused.
bool has_fixed_code(ErrorClass error_class) {
    switch (error_class) {
        case ErrorClass::context_length:
        case ErrorClass::content_policy:
        case ErrorClass::authentication:
        case ErrorClass::billing:
        case ErrorClass::permission:
        case ErrorClass::not_found:
        case ErrorClass::rate_limit:
        case ErrorClass::stream_truncated:
            return true;
        case ErrorClass::invalid_request:
        case ErrorClass::unsupported:
        case ErrorClass::too_large:
        case ErrorClass::timeout:
        case ErrorClass::overloaded:
        case ErrorClass::upstream:
        case ErrorClass::upstream_protocol:
            break;
    }
    return false;
}

}  // namespace

void write_error_code(const ApiError &error, json::Writer &writer) {
    if (!error.own.empty()) {
        writer.plain(error.own);
        return;
    }
    const ErrorSpelling &as = spelling(error.error_class);
    // A path that does not exist says nothing about models.
    bool is_path = error.code.bytes == "unknown_url";
    bool is_fixed = has_fixed_code(error.error_class) && !as.openai_code.empty() && !is_path;
    if (!is_fixed && !error.code.empty()) {
        writer.text(error.code);
    } else if (!as.openai_code.empty()) {
        writer.plain(as.openai_code);
    } else {
        writer.null();
    }
}

void write_error_param(const ApiError &error, std::string_view prompt, json::Writer &writer) {
    if (error.error_class == ErrorClass::context_length) {
        writer.plain(prompt);  // whatever the provider calls it
    } else if (!error.param.empty()) {
        writer.text(error.param);
    } else {
        writer.null();
    }
}

uint16_t write_error(const ApiError &error, std::string_view prompt, json::Writer &writer) {
    const ErrorSpelling &as = spelling(error.error_class);
    writer.object().key("error").object();
    writer.key("message").text(error.message);
    writer.key("type").plain(error.own.empty() ? as.openai_type : error.own);
    writer.key("param");
    write_error_param(error, prompt, writer);
    writer.key("code");
    write_error_code(error, writer);
    writer.end().end();
    bool is_own_500 = error.error_class == ErrorClass::upstream && error.status == 500;
    return is_own_500 ? uint16_t{500} : as.openai_status;
}

uint16_t render_error(const ApiError &error, std::string_view, json::Writer &writer) {
    return write_error(error, "messages", writer);
}

void render_error_frame(const ApiError &error, ByteBuffer &out) {
    out.append("data: ");
    json::Writer writer(out);
    write_error(error, "messages", writer);
    out.append("\n\n");
}

}  // namespace llm::openai
