// The row of the OpenAI Responses dialect: which function does what. See dialect.hpp.
#include "translators/dialect/responses.hpp"

#include "translators/dialect/openai.hpp"

namespace llm {

const Dialect kResponses = {
    .id = DialectId::responses,
    .name = "responses",
    .chat_path = "/responses",
    .render_request = responses::render_request,
    .parse_response = responses::parse_response,
    .make_decoder = responses::make_decoder,
    .render_error = openai::render_error,
    .ping_frame = ": ping\n\n",
    .count_path = "/responses/input_tokens",
    .render_count = responses::render_count,
    .parse_count = responses::parse_count,
};

}  // namespace llm
