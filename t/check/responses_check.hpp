// Responses, for the checkers: the functions of its row (responses_check.cpp). As a provider in
// responses_check_provider.cpp, as a client in responses_check_client.cpp.
#pragma once

#include "t/check/dialect_check.hpp"

namespace llm::check::responses {

Said read_request(json::Value root);

// --- as a provider ---
extern const std::span<const Aim> kAims;
void fit(Scenario &scenario, Chance &chance);
std::string stream_of(const Scenario &scenario);
std::string body_of(const Scenario &scenario);
void check_rules(json::Value root, const ModelTraits &traits, Problems &problems);

// --- as a client ---
std::string request_of(const Ask &ask, Chance &chance);
Answer read_stream(std::string_view bytes, const StreamExpectation &expected, Problems &problems);
Answer read_body(std::string_view bytes, Problems &problems);
std::string finish_of(const Message &message);

}  // namespace llm::check::responses
