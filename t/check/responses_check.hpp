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

// responses_check_provider.cpp
extern const std::span<const Aim> kResponsesAims;
Said read_responses_request(json::Value root);
void fit_responses(Scenario &scenario, Chance &chance);
std::string responses_stream_of(const Scenario &scenario);
std::string responses_body_of(const Scenario &scenario);
void check_responses_rules(json::Value root, const ModelTraits &traits, Problems &problems);

}  // namespace llm::check
