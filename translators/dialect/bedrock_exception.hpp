// What a message of an AWS event stream that is no event says: an exception, or an error that the
// API's model does not know.
#pragma once

#include "translators/core/errors.hpp"
#include "translators/wire/aws_eventstream.hpp"

namespace llm::bedrock {

// `reader` is used for the payload, `arena` for the texts of the result.
ApiError read_exception(const wire::AwsMessage &message, json::Reader &reader, Arena &arena);

}  // namespace llm::bedrock
