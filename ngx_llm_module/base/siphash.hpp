// SipHash-2-4 with 128 bits: whoever chooses names cannot make two of them one without the key.
#pragma once

#include <cstdint>
#include <string_view>

namespace llm {

struct Sip128 {
    uint64_t low, high;
};

Sip128 siphash(const uint64_t (&key)[2], std::string_view name);

}  // namespace llm
