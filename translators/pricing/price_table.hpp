// Finds the price of a model: in the operator's own prices, then in the built-in table
// (prices.def, prices_models.def: sorted, looked up by binary search).
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "translators/pricing/price.hpp"

namespace llm {

// Prices of the operator's own.
class PriceBook {
  public:
    struct Entry {
        std::string provider;  // preset or name of an account; empty: any
        std::string model;     // lower case
        std::vector<PriceItem> items;
        uint32_t max_input = 0;
        uint32_t max_output = 0;
    };

    // The last one of a name counts.
    void add(Entry entry);
    // Before the first look-up.
    void sort();
    bool empty() const { return entries_.empty(); }
    size_t size() const { return entries_.size(); }
    const Entry *find(std::string_view provider, std::string_view model) const;

  private:
    std::vector<Entry> entries_;
};

struct PriceQuery {
    std::string_view preset;   // empty: the provider has none
    std::string_view account;  // what the operator calls the provider; may be empty
    std::string_view model;    // as the provider is asked for it
};

// In this order: the model's own name, then without what providers put before it (region, path) or
// behind it (version, date), then the newest dated row of that name; each in the book under the
// account, the preset and no provider, then in the table under the preset and what that is
// another way to. A server that its user runs is free. For a provider that the table does not
// know, the makers of models are asked for the name alone. Unknown: a price without items; limits
// may be known nevertheless.
Price find_price(const PriceQuery &query, const PriceBook *book = nullptr);

}  // namespace llm
