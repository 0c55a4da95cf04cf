// The two halves of the Responses row (responses_check.cpp): what its clients read and write, and
// what its providers do.
#pragma once

#include "t/check/dialect_check.hpp"

namespace llm::check {

// responses_check_client.cpp
Answer read_responses_stream(std::string_view bytes, const StreamExpectation &expected,
                             Problems &problems);
Answer read_responses_body(std::string_view bytes, Problems &problems);
std::string responses_finish_of(const Message &message);

// responses_check_ask.cpp
std::string responses_request_of(const Ask &ask, Chance &chance);

}  // namespace llm::check
