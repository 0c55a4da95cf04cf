// Whose key is this? Keys are known by their SHA-256, which is compared in constant time.
#pragma once

#include "ngx_llm_module/conf/config.hpp"

namespace llm {

enum class KeyState : uint8_t {
    good,
    unknown,
    expired,
    blocked,
    team_blocked,
    no_team,
    user_blocked
};

struct Identified {
    KeyState state = KeyState::unknown;
    Identity identity;  // also of a key that is not good any more, for logs
};

Identified identify(const Config &config, std::string_view key, int64_t now);
// By the SHA-256 of a virtual key, as 64 hexadecimal digits.
Identified identify_hash(const Config &config, const std::string &hash, int64_t now);

// What is said to somebody whose key is not good.
struct KeyRefusal {
    std::string_view word;  // for programs; empty: that of the error's class
    std::string_view message;
};
KeyRefusal refusal_of(KeyState state);

}  // namespace llm
