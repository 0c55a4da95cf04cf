// Values of a request that several targets write in their own way: numbers that have a range, and
// how much a model is to think.
#pragma once

#include <optional>

#include "translators/core/ir.hpp"

namespace llm {

// The value of a number as the client wrote it; nothing where it is unset or none.
std::optional<double> number_of(RawJson raw);

inline bool is_set(RawJson raw) {
    return !raw.empty() && raw.bytes != "null";
}

// Tokens for thinking <-> effort. The two are not inverses of one another: convert once, and only
// what the client did not say itself.
int64_t budget_of_effort(ir::Effort effort);
ir::Effort effort_of_budget(int64_t budget);

}  // namespace llm
