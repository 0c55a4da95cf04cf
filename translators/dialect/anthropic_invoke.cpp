// Chunks of InvokeModelWithResponseStream as server-sent events of the messages API: base64 is
// undone, the name of the event is that of its `type`. What is inside is not looked at: JSON that
// cannot be read is the reader's to refuse.
#include "translators/dialect/anthropic_invoke.hpp"

#include "translators/core/base64.hpp"
#include "translators/dialect/anthropic.hpp"
#include "translators/dialect/bedrock_exception.hpp"

namespace llm::anthropic {

namespace {

constexpr json::Limits kLimits = {.max_depth = 512, .allow_lone_surrogates = true};
constexpr size_t kKeepSize = 256u << 10;

}  // namespace

void render_invoke_count(std::string_view body, json::Writer &writer) {
    ByteBuffer encoded;
    append_encoded(body, encoded);
    writer.object().key("input").object().key("invokeModel").object();
    writer.key("body").plain(encoded.view()).end().end().end();
}

void InvokeStream::feed(std::string_view bytes, ByteBuffer &out) {
    if (has_failed_) {
        return;
    }
    out_ = &out;
    if (Status status = splitter_.feed(bytes, *this); !status && !has_failed_) {
        fail(status.error().what);
    }
    out_ = nullptr;
    out.reserve(out.size() + json::kPadding);
}

Status InvokeStream::on_aws(const wire::AwsMessage &message) {
    if (has_failed_) {
        return {};
    }
    arena_.reset();
    if (message.kind != wire::AwsMessageKind::event) {
        ApiError error = bedrock::read_exception(message, reader_, arena_);
        has_failed_ = true;
        anthropic::render_error_frame(error, *out_);
        return {};
    }
    if (message.name != "chunk") {
        return {};
    }
    Result<json::Value> chunk = reader_.parse(message.payload, kLimits);
    if (!chunk) {
        fail("a chunk of the stream is not JSON");
        return {};
    }
    json::Value bytes = chunk->find("bytes");
    if (!bytes.is_string()) {
        return {};
    }
    if (event_.size() > kKeepSize) {
        event_ = {};
    }
    event_.clear();
    if (!append_decoded(json::unescape(bytes.text(), arena_), event_)) {
        fail("a chunk of the stream is not base64");
        return {};
    }
    event_.reserve(event_.size() + json::kPadding);
    Result<json::Value> event = reader_.parse(event_.view(), kLimits);
    JsonText type = event ? event->find("type").text() : JsonText{};
    if (!type.empty() && !type.has_escapes()) {
        out_->append("event: ");
        out_->append(type.bytes);
        out_->append('\n');
    }
    out_->append("data: ");
    // Line ends may stand between the tokens of JSON only, where a blank does as well.
    for (std::string_view left = event_.view(); !left.empty();) {
        size_t end = left.find_first_of("\r\n");
        out_->append(left.substr(0, end));
        if (end == std::string_view::npos) {
            break;
        }
        out_->append(' ');
        left.remove_prefix(end + 1);
    }
    out_->append("\n\n");
    return {};
}

void InvokeStream::fail(std::string_view what) {
    has_failed_ = true;
    ApiError error;
    error.error_class = ErrorClass::upstream_protocol;
    error.message = {what};
    anthropic::render_error_frame(error, *out_);
}

}  // namespace llm::anthropic
