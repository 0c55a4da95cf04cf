// The row of the chat completions dialect: which function does what. See dialect.hpp.
#include "translators/dialect/openai.hpp"

namespace llm {

const Dialect kOpenAi = {
    DialectId::openai,          "openai",
    "/chat/completions",        openai::read_envelope,
    openai::parse_request,      openai::render_request,
    openai::splice_request,     openai::parse_response,
    openai::render_response,    openai::observe_response,
    openai::make_decoder,       openai::make_encoder,
    openai::make_observer,      openai::render_error,
    openai::render_error_frame, ": ping\n\n",
};

}  // namespace llm
