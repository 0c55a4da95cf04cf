// The row of Cohere's v2 chat: which function does what. See dialect.hpp.
#include "translators/dialect/cohere.hpp"

namespace llm {

const Dialect kCohere = {
    .id = DialectId::cohere,
    .name = "cohere",
    .chat_path = "/v2/chat",
    .render_request = cohere::render_request,
    .parse_response = cohere::parse_response,
    .make_decoder = cohere::make_decoder,
    .ping_frame = ": ping\n\n",
};

}  // namespace llm
