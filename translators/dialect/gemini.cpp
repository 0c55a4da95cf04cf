// The row of the Gemini generateContent dialect: which function does what. See gemini.hpp.
#include "translators/dialect/gemini.hpp"

namespace llm {

const Dialect kGemini = {
    .id = DialectId::gemini,
    .name = "gemini",
    .chat_path = "/models/{model}:generateContent",
    .stream_path = "/models/{model}:streamGenerateContent?alt=sse",
    .render_request = gemini::render_request,
    .parse_response = gemini::parse_response,
    .make_decoder = gemini::make_decoder,
    .ping_frame = ": ping\n\n",
    .count_path = "/models/{model}:countTokens",
    .render_count = gemini::render_count,
    .parse_count = gemini::parse_count,
};

}  // namespace llm
