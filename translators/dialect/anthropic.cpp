// The row of the Anthropic messages dialect. Behaviour lives in the anthropic_*.cpp files beside
// this one; see anthropic.hpp for which does what.
#include "translators/dialect/anthropic.hpp"

namespace llm {

namespace anthropic {

// A client that did not enable thinking may choke on its blocks.
bool is_reasoning_wanted(const ir::Request &request) {
    return request.thinking.kind != ir::ThinkingKind::unset &&
           request.thinking.kind != ir::ThinkingKind::off;
}

}  // namespace anthropic

const Dialect kAnthropic = {
    .id = DialectId::anthropic,
    .name = "anthropic",
    .chat_path = "/messages",
    .read_envelope = anthropic::read_envelope,
    .parse_request = anthropic::parse_request,
    .render_request = anthropic::render_request,
    .splice_request = anthropic::splice_request,
    .parse_response = anthropic::parse_response,
    .render_response = anthropic::render_response,
    .observe_response = anthropic::observe_response,
    .make_decoder = anthropic::make_decoder,
    .make_encoder = anthropic::make_encoder,
    .make_observer = anthropic::make_observer,
    .render_error = anthropic::render_error,
    .render_error_frame = anthropic::render_error_frame,
    .ping_frame = anthropic::kPingFrame,
    .is_reasoning_wanted = anthropic::is_reasoning_wanted,
};

}  // namespace llm
