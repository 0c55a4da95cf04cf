// Answers made up from a seed, and how a provider of each dialect sends them: whole or as a
// stream. What is random is what an answer says and how it is split; the same seed gives the same
// bytes on every machine.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "t/check/answer.hpp"

namespace llm::check {

class Chance {
  public:
    explicit Chance(uint64_t seed) : state_(seed * 2654435761u + 88172645463325252u) {}

    // 0 .. below - 1
    size_t below(size_t limit) {
        state_ ^= state_ << 13;
        state_ ^= state_ >> 7;
        state_ ^= state_ << 17;
        return size_t(state_ >> 11) % limit;
    }
    bool one_in(size_t n) { return below(n) == 0; }

  private:
    uint64_t state_;
};

// Words with escapes, several bytes a character, and what breaks naive parsers.
std::string random_text(Chance &chance, size_t words);
std::string random_arguments(Chance &chance);

// A provider can only say what its dialect has: `dialect` decides about redacted blocks, text
// behind calls and the like.
struct Scenario {
    DialectId dialect;
    struct Block {
        enum class Kind { text, reasoning, redacted, call } kind;
        std::string text;       // of a call: the arguments
        std::string id, name;   // calls
        std::string signature;  // reasoning
    };
    std::vector<Block> blocks;
    std::string finish;  // in the dialect's own words
    std::string stop_sequence;
    int64_t input = 0, cache_read = 0, cache_write = 0, output = 0, reasoning = 0;
    uint64_t seed = 0;
};
Scenario random_scenario(DialectId dialect, uint64_t seed);

std::string stream_of(const Scenario &scenario);
std::string body_of(const Scenario &scenario);

}  // namespace llm::check
