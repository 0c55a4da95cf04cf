// How the counts of a provider's usage are read, in all dialects.
#pragma once

#include <cstdint>
#include <optional>

#include "translators/core/usage.hpp"
#include "translators/json/reader.hpp"

namespace llm {

// More than there ever is: sums of some counts stay numbers.
constexpr int64_t kAbsurd = int64_t{1} << 52;

// Nothing where no number stands, or one that cannot be believed: it is missing then, and what is
// missing is estimated.
inline std::optional<int64_t> told_count(json::Value value) {
    std::optional<int64_t> count = value.as_int();
    return count && *count >= 0 && *count < kAbsurd ? count : std::nullopt;
}

// Of a part of what is counted elsewhere.
inline int64_t count_of(json::Value value) {
    return told_count(value).value_or(0);
}

// Some leave out an output of nothing: the total says then that there is nothing but the others.
inline bool is_output_told(json::Value output, json::Value total, int64_t others) {
    if (!output.absent()) {
        return told_count(output).has_value();
    }
    std::optional<int64_t> all = told_count(total);
    return all && *all <= others;
}

// One part at least was told.
inline bool says_something(const Usage &usage) {
    return usage.known || usage.input > 0 || usage.output > 0;
}

}  // namespace llm
