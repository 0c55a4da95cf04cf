// Errors in the messages dialect: {"type":"error","error":{"type","message"},"request_id"} as the
// body of an answer, and the same as an `event: error` frame, after which nothing follows.
// Statuses and types come from error_map.def alone. The provider's words are kept: clients match
// on them. Two things are added: "prompt is too long", by which agents know that they must compact,
// and, as the API does it, the name of the member at fault in front, which has no other place.
#include "translators/dialect/anthropic.hpp"

namespace llm::anthropic {

namespace {

bool contains(std::string_view text, std::string_view phrase) {
    return text.find(phrase) != std::string_view::npos;
}

// Of a member, and not some text of the client's that stood where a name should.
bool is_name(std::string_view text) {
    constexpr size_t kLongest = 64;
    return !text.empty() && text.size() <= kLongest &&
           text.find_first_not_of(
               "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-"
               "[]") == std::string_view::npos;
}

void write_error(const ApiError &error, json::Writer &writer) {
    const ErrorSpelling &how = spelling(error.error_class);
    writer.key("type").plain("error").key("error").object();
    writer.key("type").plain(how.anthropic_type).key("message").open_text();
    if (error.error_class == ErrorClass::context_length &&
        !contains(error.message.bytes, "rompt is too long")) {
        writer.piece_plain(error.message.empty() ? "prompt is too long" : "prompt is too long: ");
    }
    if (is_name(error.param.bytes) && !contains(error.message.bytes, error.param.bytes)) {
        writer.piece(error.param).piece_plain(": ");
    }
    if (!error.message.empty()) {
        writer.piece(error.message);
    } else if (error.error_class != ErrorClass::context_length) {
        writer.piece_plain(how.name);
    }
    writer.close_text().end();
}

}  // namespace

uint16_t render_error(const ApiError &error, std::string_view request_id, json::Writer &writer) {
    writer.object();
    write_error(error, writer);
    if (!request_id.empty()) {
        writer.key("request_id").plain(request_id);
    }
    writer.end();
    return spelling(error.error_class).anthropic_status;
}

void render_error_frame(const ApiError &error, ByteBuffer &out) {
    out.append("event: error\ndata: ");
    json::Writer writer(out);
    writer.object();
    write_error(error, writer);
    writer.end();
    out.append("\n\n");
}

}  // namespace llm::anthropic
