// The two halves of Gemini's row for the checkers.
#pragma once

#include "t/check/dialect_check.hpp"

namespace llm::check::gemini {

// --- gemini_check.cpp: as a provider, and what a request says ---
Said read_request(json::Value root);

// --- gemini_check_client.cpp: as a client ---
std::string request_of(const Ask &ask, Chance &chance);
Answer read_stream(std::string_view bytes, const StreamExpectation &expected, Problems &problems);
Answer read_body(std::string_view bytes, Problems &problems);
std::string finish_of(const Message &message);

}  // namespace llm::check::gemini
