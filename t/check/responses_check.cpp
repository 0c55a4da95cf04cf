// The row of the Responses dialect for the checkers; its halves are in the files beside this one.
#include "t/check/responses_check.hpp"

namespace llm::check {

const DialectCheck kResponsesCheck = {
    .id = DialectId::responses,
    .read_request = read_responses_request,
    .fit = fit_responses,
    .stream_of = responses_stream_of,
    .body_of = responses_body_of,
    .aims = kResponsesAims,
    .check_rules = check_responses_rules,
    .request_of = responses_request_of,
    .read_stream = read_responses_stream,
    .read_body = read_responses_body,
    .finish_of = responses_finish_of,
    .has_one_choice = true,
};

}  // namespace llm::check
