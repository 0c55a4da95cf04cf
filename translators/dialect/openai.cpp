// The row of the chat completions dialect: which function does what. See dialect.hpp.
#include "translators/dialect/openai.hpp"

namespace llm {

const Dialect kOpenAi = {
    .id = DialectId::openai,
    .name = "openai",
    .chat_path = "/chat/completions",
    .read_envelope = openai::read_envelope,
    .parse_request = openai::parse_request,
    .render_request = openai::render_request,
    .splice_request = openai::splice_request,
    .parse_response = openai::parse_response,
    .render_response = openai::render_response,
    .observe_response = openai::observe_response,
    .make_decoder = openai::make_decoder,
    .make_encoder = openai::make_encoder,
    .make_observer = openai::make_observer,
    .render_error = openai::render_error,
    .render_error_frame = openai::render_error_frame,
    .ping_frame = ": ping\n\n",
};

}  // namespace llm
