// Stream of streamGenerateContent?alt=sse -> ir events: frames here, what they say in
// gemini_answer.cpp. There is no sentinel: the answer is complete when the input ends after every
// candidate had its finishReason, or after the prompt was blocked. An end before that is a cut
// stream, whatever came. An error object in place of an answer is terminal.
#include "translators/dialect/gemini_answer.hpp"

namespace llm::gemini {

namespace {

using json::Value;

constexpr json::Limits kLimits = {.max_depth = 512, .allow_lone_surrogates = true};

class GeminiDecoder final : public Decoder, private wire::SseHandler {
  public:
    void feed(std::string_view bytes, ir::EventSink &sink) override {
        if (is_ended_) {
            return;
        }
        sink_ = &sink;
        if (!splitter_.feed(bytes, *this) && !is_ended_) {
            fail(ir::ErrorClass::upstream_protocol, "the stream cannot be split into events");
        }
    }

    void finish(ir::EventSink &sink) override {
        if (is_ended_) {
            return;
        }
        sink_ = &sink;
        is_last_ = true;
        static_cast<void>(splitter_.finish(*this));  // half a frame is as good as none
        if (is_ended_) {
            return;
        }
        if (!answer_.is_finished()) {
            fail(ir::ErrorClass::stream_truncated, "the stream ended before the answer did");
            return;
        }
        answer_.complete(sink);
        is_ended_ = true;
        ir::StreamEvent end;
        end.kind = ir::EventKind::end;
        sink.on_event(end);
    }

    bool ended() const override { return is_ended_; }
    size_t memory() const override { return splitter_.memory() + answer_.memory(); }

  private:
    Status on_sse(const wire::SseEvent &frame) override {
        if (is_ended_) {
            return {};
        }
        std::string_view data = frame.data;
        size_t first = data.find_first_not_of(" \t\r\n");
        if (!frame.has_data || first == std::string_view::npos) {
            ir::StreamEvent ping;
            sink_->on_event(ping);
            return {};
        }
        if (data.substr(first, data.find_last_not_of(" \t\r\n") + 1 - first) == "[DONE]") {
            return {};
        }
        Result<Value> root = reader_.parse(data, kLimits);
        if (!root) {
            if (!is_last_) {
                fail(ir::ErrorClass::upstream_protocol, "an event of the stream is not JSON");
            }
            return {};
        }
        if (root->is_array()) {
            for (Value item : root->items()) {
                on_object(item, data);
            }
        } else {
            on_object(*root, data);
        }
        arena_.reset();
        return {};
    }

    void on_object(Value object, std::string_view body) {
        if (is_ended_ || !object.is_object()) {
            return;
        }
        if (Value error = object.find("error"); error.is_object() || error.is_string()) {
            fail(read_error(0, object, body, arena_));
        } else if (!answer_.read(object, *sink_)) {
            fail(ir::ErrorClass::upstream_protocol, answer_.failure());
        }
    }

    void fail(ir::ErrorClass error_class, std::string_view message) {
        ApiError error;
        error.error_class = error_class;
        error.message = {message};
        fail(error);
    }

    // What was used until here is known all the same.
    void fail(const ApiError &error) {
        answer_.report_usage(*sink_);
        is_ended_ = true;
        ir::StreamEvent event;
        event.kind = ir::EventKind::error;
        event.error_class = error.error_class;
        event.text = error.message;
        event.name = error.code;
        sink_->on_event(event);
    }

    wire::SseSplitter splitter_;
    json::Reader reader_;
    Arena arena_;  // one frame's
    AnswerReader answer_{arena_};
    ir::EventSink *sink_ = nullptr;
    bool is_last_ = false;
    bool is_ended_ = false;
};

}  // namespace

std::unique_ptr<Decoder> make_decoder() {
    return std::make_unique<GeminiDecoder>();
}

}  // namespace llm::gemini
