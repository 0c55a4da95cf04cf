// Reads a file of the operator's own prices into a PriceBook. Two forms are known:
//
//   {"models": {"openai/gpt-4o": {"input": 2.5, "output": 10, "cache_read": 1.25, ...}}}
//       Our own: dollars for a million tokens. The name is PROVIDER/MODEL, where PROVIDER is the
//       name of a preset or of a provider in the configuration, or MODEL alone.
//   {"gpt-4o": {"input_cost_per_token": 2.5e-06, "litellm_provider": "openai", ...}}
//       The form of LiteLLM's model_prices_and_context_window.json: dollars for one token.
#pragma once

#include <functional>
#include <string>

#include "translators/pricing/price_table.hpp"

namespace llm {

struct PriceFileError {
    std::string what;   // with the name of the model and the member
    uint32_t line = 0;  // 0: not known
};

// Is there a provider of that name in the configuration? Presets are known anyway.
using IsAccount = std::function<bool(std::string_view)>;

// All or nothing: a file with a mistake leaves the book as it was.
bool read_price_file(std::string_view text, const IsAccount &is_account, PriceBook &book,
                     PriceFileError &error);

// "2.5e-06" with `digits` behind the point as a whole number, what is behind them rounded; negative
// when it is no number, negative or too large.
int64_t parse_amount(std::string_view number, int digits);

// Digits of an amount that is given in dollars for one token, or for a million.
constexpr int kPerToken = 15;
constexpr int kPerMillionTokens = 9;

}  // namespace llm
