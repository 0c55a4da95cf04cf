// The row of the Responses dialect for the checkers; its halves are in the files beside this one.
#include "t/check/responses_check.hpp"

namespace llm::check {

const DialectCheck kResponsesCheck = {
    .id = DialectId::responses,
    .request_of = responses_request_of,
    .read_stream = read_responses_stream,
    .read_body = read_responses_body,
    .finish_of = responses_finish_of,
    .has_one_choice = true,
};

}  // namespace llm::check
