// The row of the OpenAI Responses dialect: which function does what. See dialect.hpp.
#include "translators/dialect/responses.hpp"

namespace llm {

const Dialect kResponses = {
    .id = DialectId::responses,
    .name = "responses",
    .chat_path = "/responses",
    .read_envelope = responses::read_envelope,
    .parse_request = responses::parse_request,
    .render_request = responses::render_request,
    .splice_request = responses::splice_request,
    .parse_response = responses::parse_response,
    .render_response = responses::render_response,
    .observe_response = responses::observe_response,
    .make_decoder = responses::make_decoder,
    .make_encoder = responses::make_encoder,
    .make_observer = responses::make_observer,
    .render_error = responses::render_error,
    .render_error_frame = responses::render_error_frame,
    .ping_frame = ": ping\n\n",
    .count_path = "/responses/input_tokens",
    .render_count = responses::render_count,
    .parse_count = responses::parse_count,
    .render_counted = responses::render_counted,
    .render_error_behind = responses::append_error_event,
};

}  // namespace llm
