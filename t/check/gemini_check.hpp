// The two halves of Gemini's row for the checkers.
#pragma once

#include "t/check/dialect_check.hpp"

namespace llm::check::gemini {

// --- gemini_check_provider.cpp: as a provider, and what a request says ---
inline constexpr Aim kAims[] = {
    {DialectId::gemini, "gemini-2.0-flash", true},
    {DialectId::gemini, "gemini-2.5-flash", true},
    {DialectId::gemini, "gemini-2.5-pro", true},
    {DialectId::gemini, "gemini-3-pro-preview", true},
    {DialectId::gemini, "gemini-3.1-flash", true},
};
Said read_request(json::Value root);
void fit(Scenario &scenario, Chance &chance);
std::string stream_of(const Scenario &scenario);
std::string body_of(const Scenario &scenario);
void check_rules(json::Value root, const ModelTraits &traits, Problems &problems);

// --- gemini_check_client.cpp: as a client ---
std::string request_of(const Ask &ask, Chance &chance);
Answer read_stream(std::string_view bytes, const StreamExpectation &expected, Problems &problems);
Answer read_body(std::string_view bytes, Problems &problems);
std::string finish_of(const Message &message);

}  // namespace llm::check::gemini
