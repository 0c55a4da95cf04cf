// What decoders of streams have in common whose frames are JSON: pieces in, one parsed value at a
// time, and how such a stream ends. A decoder derives, says how its frames are split, and reads the
// values.
#pragma once

#include "translators/dialect/dialect.hpp"

namespace llm {

class JsonStream : public Decoder {
  public:
    bool ended() const final { return is_ended_; }

  protected:
    // One value, the text that it was, and whether the frame calls itself an error: then the value
    // may be absent, since the text is no JSON.
    // Decoders that parse their frames themselves have none.
    virtual void on_json(json::Value, std::string_view, bool) {}
    // [DONE], which is no end where the dialect has another.
    virtual void on_done_mark() { fail_truncated(); }
    // The input is over, and nothing said that the answer is.
    virtual void on_input_end() { fail_truncated(); }

    // The two calls of a Decoder. `split` gives the splitter what there is, and this for its
    // frames.
    template <class Split>
    void feed_by(Split &&split, ir::EventSink &sink) {
        if (is_ended_) {
            return;
        }
        sink_ = &sink;
        Status status = split();
        if (!status && !is_ended_) {
            fail(status.error().what);
        }
    }
    template <class Split>
    void finish_by(Split &&split, ir::EventSink &sink) {
        if (is_ended_) {
            return;
        }
        sink_ = &sink;
        is_draining_ = true;
        is_cut_ = !split();
        if (!is_ended_) {
            on_input_end();
        }
    }

    // For the handlers: one frame.
    Status on_frame(const wire::SseEvent &frame);
    Status on_frame(std::string_view data, bool is_error);

    // The input is over: half a frame is no malformed one.
    bool is_draining() const { return is_draining_; }
    void emit(const ir::StreamEvent &event) { sink_->on_event(event); }
    void fail(ir::ErrorClass error_class, JsonText message, JsonText code = {});
    void fail(std::string_view message) { fail(ir::ErrorClass::upstream_protocol, {message}); }
    void fail(const ApiError &error) { fail(error.error_class, error.message, error.code); }
    void fail_truncated() {
        fail(ir::ErrorClass::stream_truncated, {"the provider's stream ended early"});
    }

    json::Reader reader_;
    Arena arena_;  // one frame's
    ir::EventSink *sink_ = nullptr;
    bool is_ended_ = false;
    bool is_cut_ = false;  // in the middle of a frame

  private:
    Status state() const;

    bool is_draining_ = false;
};

// Is there anything in a member `error`?
bool is_error_value(json::Value error);

// What an encoder tells its client of an error event.
ApiError error_of(const ir::StreamEvent &event);

}  // namespace llm
