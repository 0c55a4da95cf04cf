// See json_stream.hpp.
#include "translators/dialect/json_stream.hpp"

namespace llm {

Status JsonStream::on_frame(const wire::SseEvent &frame) {
    std::string_view data = frame.data;
    size_t first = data.find_first_not_of(" \t\r\n");
    if (!frame.has_data || first == std::string_view::npos) {
        return {};
    }
    data = data.substr(first, data.find_last_not_of(" \t\r\n") + 1 - first);
    if (data != "[DONE]") {
        return on_frame(data, frame.name == "error");
    }
    on_done_mark();
    return state();
}

Status JsonStream::on_frame(std::string_view data, bool is_error) {
    arena_.reset();
    json::Limits limits;
    limits.allow_lone_surrogates = true;
    Result<json::Value> root = reader_.parse(data, limits);
    if (root || (is_error && !is_draining_)) {
        on_json(root ? *root : json::Value(), data, is_error);
    } else if (!is_draining_) {
        fail("a frame of the provider's stream is not JSON");
    }
    return state();
}

// An error stops the splitter.
Status JsonStream::state() const {
    if (is_ended_) {
        return Error{Errc::upstream_protocol, "the stream is over", {}, 0};
    }
    return {};
}

void JsonStream::fail(ir::ErrorClass error_class, JsonText message, JsonText code) {
    if (is_ended_) {
        return;
    }
    is_ended_ = true;
    ir::StreamEvent event;
    event.kind = ir::EventKind::error;
    event.error_class = error_class;
    event.text = message;
    event.name = code;
    emit(event);
}

bool is_error_value(json::Value error) {
    return (error.is_object() && error.size() > 0) || (error.is_string() && !error.text().empty());
}

ApiError error_of(const ir::StreamEvent &event) {
    ApiError error;
    error.error_class = event.error_class;
    error.message = event.text;
    error.code = event.name;
    return error;
}

}  // namespace llm
