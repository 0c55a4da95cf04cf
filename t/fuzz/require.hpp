// What must hold for every input: libFuzzer reports an abort with the input that led to it.
#pragma once

#include <cstdlib>

namespace llm::fuzz {

inline void require(bool holds) {
    if (!holds) {
        abort();
    }
}

}  // namespace llm::fuzz
