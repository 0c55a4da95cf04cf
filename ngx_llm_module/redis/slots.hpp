// Redis Cluster: in which of its 16384 slots a key lies, and what a redirection says. Plain C++
// without nginx.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace llm {

constexpr uint16_t kSlots = 16384;

// What stands in the first pair of braces decides where it is not empty, else the whole key.
uint16_t slot_of(std::string_view key);

enum class Redirection : uint8_t { none, moved, ask };

struct Redirect {
    Redirection kind = Redirection::none;
    uint16_t slot = 0;
    std::string host;  // empty: the node that was asked
    uint16_t port = 0;
};

// From the text of an error: "MOVED 3999 127.0.0.1:6381".
Redirect parse_redirect(std::string_view error);

}  // namespace llm
