// The row of Bedrock's Converse, which providers speak and no client. Behaviour lives in the
// bedrock_*.cpp files beside this one; see bedrock.hpp for which does what.
#include "translators/dialect/bedrock.hpp"

namespace llm {

const Dialect kBedrock = {
    .id = DialectId::bedrock,
    .name = "bedrock",
    .chat_path = "/model/{model}/converse",
    .stream_path = "/model/{model}/converse-stream",
    .stream_type = "application/vnd.amazon.eventstream",
    .render_request = bedrock::render_request,
    .parse_response = bedrock::parse_response,
    .make_decoder = bedrock::make_decoder,
    .count_path = "/model/{model}/count-tokens",
    .render_count = bedrock::render_count,
    .parse_count = bedrock::parse_count,
};

}  // namespace llm
