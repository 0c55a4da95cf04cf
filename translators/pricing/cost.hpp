// What an answer costs.
#pragma once

#include <string>

#include "translators/core/usage.hpp"
#include "translators/pricing/price.hpp"

namespace llm {

enum class ServiceTier : uint8_t { standard, batch, priority, flex };

// As providers write it; what is not known (auto, default, scale ...) is the standard one.
ServiceTier service_tier(std::string_view name);

// Nano-dollars, rounded once, half up. Every token is counted in one place: cached, written and
// audio tokens are taken out of the input, reasoning and audio out of the output. What has no
// price of its own costs what its whole does. A condition that prices only some kinds of tokens
// changes the others by the same factor as the input or output.
int64_t cost_of(const Usage &usage, const Price &price, ServiceTier tier = ServiceTier::standard);

// A discount (below one) or margin (above), in millionths; rounded half up.
constexpr int64_t kOneFactor = 1000000;
int64_t adjusted_cost(int64_t nano, int64_t millionths);

// `count` units of a kind in PriceSection::unit, in nano-dollars. Counts may be parts: 2.5 seconds
// are 2500 of 1000.
int64_t cost_of_units(const Price &price, PriceKind kind, int64_t count, int64_t of = 1);

// 12345 nano-dollars: "0.000012345". Plain notation, no zeros at the end.
std::string dollars(int64_t nano);

}  // namespace llm
