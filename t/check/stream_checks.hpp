// Everything that must hold for any stream and any whole answer of a provider, whatever it says:
// the same events however it is cut and framed, a grammatical stream for every kind of client,
// nothing lost on the way, one error at the end of a cut one.
#pragma once

#include <string_view>

#include "t/check/answer.hpp"

namespace llm::check {

struct Effort {
    size_t cut_bytes = 8u << 20;  // bytes decoded altogether to try cuts
    size_t truncations = 400;
};

// Returns what the stream says.
Answer check_stream(DialectId provider, std::string_view bytes, const Effort &effort,
                    Problems &problems);

// The parts of check_stream, for tests that want one of them.
void check_cuts(DialectId provider, std::string_view bytes, size_t budget, Problems &problems);
void check_framings(DialectId provider, std::string_view bytes, Problems &problems);
void check_truncations(DialectId provider, std::string_view bytes, size_t most, Problems &problems);
void check_clients(DialectId provider, std::string_view bytes, const Answer &answer,
                   Problems &problems);
void check_observer(DialectId provider, std::string_view bytes, const Answer &answer,
                    Problems &problems);

// A whole answer: parsed, rendered for both kinds of clients, replayed as a stream. False when it
// is none of the dialect (then nothing was checked).
bool check_whole(DialectId provider, std::string_view bytes, Answer &answer, Problems &problems);

// The error body of a provider: what the class is, and that both dialects can say it.
std::string check_error_body(uint16_t status, std::string_view body, Problems &problems);

}  // namespace llm::check
