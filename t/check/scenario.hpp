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

// A provider can only say what its dialect has: its `fit` (dialect_check.hpp) takes the rest out.
struct Scenario {
    DialectId dialect;
    struct Block {
        enum class Kind { text, reasoning, redacted, call } kind;
        std::string text;       // of a call: the arguments
        std::string id, name;   // calls
        std::string signature;  // reasoning
    };
    std::vector<Block> blocks;
    ir::Finish finish = ir::Finish::stop;  // stop, stop_sequence, length or tool_calls
    std::string stop_sequence;
    int64_t input = 0, cache_read = 0, cache_write = 0, output = 0, reasoning = 0;
    uint64_t seed = 0;
};
Scenario random_scenario(DialectId dialect, uint64_t seed);

// A conversation as clients hold it, with calls that are answered, or not, or twice: each dialect
// writes it in its own way (request_of in dialect_check.hpp).
struct Ask {
    struct Call {
        std::string id, name, arguments;  // arguments: mostly JSON
    };
    struct Result {
        std::string id, name, text;
    };
    struct Turn {
        enum class Kind { user, assistant, system } kind;
        std::string text;
        std::string image;            // user: an address, or empty
        std::vector<Call> calls;      // assistant
        std::vector<Result> results;  // user: stand before its text
        bool as_parts = false;        // content as a list, where the dialect has the choice
    };
    std::string system;
    std::vector<Turn> turns;
    std::vector<std::string> tools;  // names; each without parameters
    int64_t max_tokens = 0;          // 0: not said
    std::string temperature;         // as written; empty: not said
    bool stream = false;
    bool thinking = false;
    bool has_unknown_member = false;
};
Ask random_ask(uint64_t seed);

// The text as it stands between quotes, in fragments of any size; characters beyond the basic
// plane may be two escapes, and a fragment may end between them, as some providers do.
std::vector<std::string> pieces(Chance &chance, const std::string &text);

std::string written_stream(const Scenario &scenario);
std::string written_body(const Scenario &scenario);

}  // namespace llm::check
