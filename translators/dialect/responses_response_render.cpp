// ir::Response -> the body that a Responses client gets. It is built by the stream's encoder from
// the events that a stream of the same answer would have: the two forms cannot disagree.
#include "translators/dialect/responses.hpp"
#include "translators/dialect/responses_encoder.hpp"

namespace llm::responses {

namespace {

struct Collector final : ir::EventSink {
    explicit Collector(ResponsesEncoder &to) : encoder(to) {}
    void on_event(const ir::StreamEvent &event) override { encoder.event(event, nothing); }

    ResponsesEncoder &encoder;
    ByteBuffer nothing;
};

}  // namespace

void render_response(const ir::Response &response, const ClientView &view, Arena &,
                     json::Writer &writer) {
    ResponsesEncoder encoder(view, ResponsesEncoder::Form::body);
    Collector collector(encoder);
    ir::replay(response, collector);
    encoder.write_body(writer);
}

void render_counted(int64_t tokens, json::Writer &writer) {
    writer.object().key("object").plain("response.input_tokens");
    writer.key("input_tokens").number(tokens).end();
}

}  // namespace llm::responses
