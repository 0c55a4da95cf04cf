// The row of the Gemini generateContent dialect: which function does what. See gemini.hpp.
#include "translators/dialect/gemini.hpp"

namespace llm {

const Dialect kGemini = {
    .id = DialectId::gemini,
    .name = "gemini",
    .chat_path = "/models/{model}:generateContent",
    .stream_path = "/models/{model}:streamGenerateContent?alt=sse",
    .read_envelope = gemini::read_envelope,
    .parse_request = gemini::parse_request,
    .render_request = gemini::render_request,
    .splice_request = gemini::splice_request,
    .parse_response = gemini::parse_response,
    .render_response = gemini::render_response,
    .observe_response = gemini::observe_response,
    .make_decoder = gemini::make_decoder,
    .make_encoder = gemini::make_encoder,
    .make_observer = gemini::make_observer,
    .render_error = gemini::render_error,
    .render_error_frame = gemini::render_error_frame,
    .ping_frame = ": ping\r\n\r\n",
    .count_path = "/models/{model}:countTokens",
    .render_count = gemini::render_count,
    .parse_count = gemini::parse_count,
    .render_counted = gemini::render_counted,
    .is_reasoning_wanted = gemini::is_reasoning_wanted,
};

}  // namespace llm
