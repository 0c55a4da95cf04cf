// Errors as a Gemini client reads them: {"error":{"code","message","status"}}, the code being the
// HTTP status. Statuses and names come from error_map.def alone; the provider's words are kept. A
// bad parameter and what the provider called the error stand in `details`, in Google's own types.
#include "translators/dialect/gemini.hpp"

namespace llm::gemini {

namespace {

void write(const ApiError &error, json::Writer &writer) {
    const ErrorSpelling &how = spelling(error.error_class);
    writer.object().key("error").object();
    writer.key("code").number(how.gemini_status);
    writer.key("message");
    if (error.message.empty()) {
        writer.plain(how.name);
    } else {
        writer.text(error.message);
    }
    writer.key("status").plain(how.gemini_name);
    if (!error.param.empty()) {
        writer.key("details").array().object();
        writer.key("@type").plain("type.googleapis.com/google.rpc.BadRequest");
        writer.key("fieldViolations").array().object();
        writer.key("field").text(error.param).key("description");
        if (error.message.empty()) {
            writer.plain(how.name);
        } else {
            writer.text(error.message);
        }
        writer.end().end().end().end();
    }
    writer.end().end();
}

}  // namespace

uint16_t render_error(const ApiError &error, std::string_view, json::Writer &writer) {
    write(error, writer);
    return spelling(error.error_class).gemini_status;
}

void render_error_frame(const ApiError &error, ByteBuffer &out) {
    out.append("data: ");
    json::Writer writer(out);
    write(error, writer);
    out.append("\r\n\r\n");
}

void render_counted(int64_t tokens, json::Writer &writer) {
    writer.object().key("totalTokens").number(tokens).end();
}

}  // namespace llm::gemini
