// The built-in table of prices and the look-up. The table is constant data made by the compiler
// from prices.def and prices_models.def: the names of all models one after the other, a row of 16
// bytes for each, and every different set of prices once.
#include "translators/pricing/price_table.hpp"

#include <algorithm>
#include <array>
#include <initializer_list>

#include "translators/provider/providers.hpp"

namespace llm {
namespace {

// --- the table -------------------------------------------------------------------------------

#define P(section, kind, amount)                       \
    PriceItem {                                        \
        PriceSection::section, PriceKind::kind, amount \
    }

#define LLM_PRICES(name, ...) __VA_ARGS__,
constexpr PriceItem kItems[] = {
#include "translators/pricing/prices.def"
};
#undef LLM_PRICES

// First and last item of each set: an enumerator without a value is one more than the one before.
#define LLM_PRICES(name, ...) \
    kFirst_##name,            \
        kLast_##name =        \
            kFirst_##name - 1 + int32_t(std::initializer_list<PriceItem>{__VA_ARGS__}.size()),
enum SetPlace : int32_t {
    kFirst_none = 0,
    kLast_none = -1,
#include "translators/pricing/prices.def"
};
#undef LLM_PRICES
#undef P

static_assert(std::size(kItems) < 65536);

#define LLM_PRICED_PROVIDER(name)
#define LLM_PRICED_AS(...)
#define LLM_FREE_PROVIDER(...)

#define LLM_PRICED_MODEL(name, ...) name
constexpr char kNames[] =
#include "translators/pricing/prices_models.def"
    ;
#undef LLM_PRICED_MODEL
#undef LLM_PRICED_PROVIDER

struct Row {
    uint32_t name_end;  // in kNames; the name begins where the one before ends
    uint16_t first_item;
    uint16_t item_count;
    uint32_t max_input;
    uint32_t max_output;
};

struct ProviderRows {
    std::string_view name;
    uint32_t first_row;
};

constexpr size_t kProviderCount = 0
#define LLM_PRICED_MODEL(...)
#define LLM_PRICED_PROVIDER(name) +1
#include "translators/pricing/prices_models.def"
#undef LLM_PRICED_MODEL
#undef LLM_PRICED_PROVIDER
    ;

constexpr size_t kRowCount = 0
#define LLM_PRICED_PROVIDER(name)
#define LLM_PRICED_MODEL(...) +1
#include "translators/pricing/prices_models.def"
#undef LLM_PRICED_MODEL
#undef LLM_PRICED_PROVIDER
    ;

struct Table {
    std::array<ProviderRows, kProviderCount> providers;
    std::array<Row, kRowCount> rows;
};

consteval Table make_table() {
    struct Line {
        const char *provider;  // null: a model
        uint32_t name_size;
        int32_t first_item, last_item;
        uint32_t max_input, max_output;
    };
    constexpr Line kLines[] = {
#define LLM_PRICED_PROVIDER(name) {name, 0, 0, 0, 0, 0},
#define LLM_PRICED_MODEL(name, input, output, set) \
    {nullptr, sizeof(name) - 1, kFirst_##set, kLast_##set, input, output},
#include "translators/pricing/prices_models.def"
#undef LLM_PRICED_MODEL
#undef LLM_PRICED_PROVIDER
    };
    Table table{};
    size_t provider = 0;
    uint32_t row = 0;
    uint32_t name_end = 0;
    for (const Line &line : kLines) {
        if (line.provider != nullptr) {
            table.providers[provider++] = {line.provider, row};
            continue;
        }
        name_end += line.name_size;
        table.rows[row++] = {name_end, uint16_t(line.first_item),
                             uint16_t(line.last_item - line.first_item + 1), line.max_input,
                             line.max_output};
    }
    return table;
}

// Apart: names of providers are addresses, which the loader must fill in; rows are not.
constexpr std::array<Row, kRowCount> kRows = make_table().rows;
constexpr std::array<ProviderRows, kProviderCount> kProviders = make_table().providers;

#undef LLM_PRICED_AS
#undef LLM_FREE_PROVIDER
#define LLM_PRICED_PROVIDER(...)
#define LLM_PRICED_MODEL(...)

struct PricedAs {
    std::string_view preset, provider;
};

constexpr PricedAs kPricedAs[] = {
#define LLM_FREE_PROVIDER(...)
#define LLM_PRICED_AS(preset, provider) {preset, provider},
#include "translators/pricing/prices_models.def"
#undef LLM_PRICED_AS
#undef LLM_FREE_PROVIDER
};

constexpr std::string_view kFreeProviders[] = {
#define LLM_PRICED_AS(...)
#define LLM_FREE_PROVIDER(name) name,
#include "translators/pricing/prices_models.def"
#undef LLM_PRICED_AS
#undef LLM_FREE_PROVIDER
};

#undef LLM_PRICED_PROVIDER
#undef LLM_PRICED_MODEL

constexpr PriceItem kFree[] = {{PriceSection::base, PriceKind::in, 0},
                               {PriceSection::base, PriceKind::out, 0}};

// Who makes models and sells them under these names: asked when a provider is not in the table.
constexpr std::string_view kMakers[] = {"openai", "anthropic", "gemini",  "mistral",
                                        "cohere", "xai",       "deepseek"};

std::string_view name_of(size_t row) {
    uint32_t begin = row == 0 ? 0 : kRows[row - 1].name_end;
    return {kNames + begin, kRows[row].name_end - begin};
}

struct Range {
    size_t first = 0, last = 0;
};

Range rows_of(std::string_view provider) {
    const auto *end = kProviders.end();
    const auto *found = std::lower_bound(
        kProviders.begin(), end, provider,
        [](const ProviderRows &rows, std::string_view name) { return rows.name < name; });
    if (found == end || found->name != provider) {
        return {};
    }
    return {found->first_row, found + 1 == end ? kRowCount : found[1].first_row};
}

// The first row of the range whose name is not before this one.
size_t first_from(Range range, std::string_view name) {
    while (range.first < range.last) {
        size_t middle = range.first + (range.last - range.first) / 2;
        if (name_of(middle) < name) {
            range.first = middle + 1;
        } else {
            range.last = middle;
        }
    }
    return range.first;
}

Price price_of(const Row &row) {
    return {{kItems + row.first_item, row.item_count}, row.max_input, row.max_output};
}

// --- names -----------------------------------------------------------------------------------

bool is_digits(std::string_view text) {
    return std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

// "-20250929" or "-2025-09-29" (or with @), and nothing behind it.
bool is_date(std::string_view text) {
    if (text.size() == 9 && (text[0] == '-' || text[0] == '@')) {
        return text[1] == '2' && is_digits(text.substr(1));
    }
    return text.size() == 11 && text[0] == '-' && text[1] == '2' && text[5] == '-' &&
           text[8] == '-' && is_digits(text.substr(1, 4)) && is_digits(text.substr(6, 2)) &&
           is_digits(text.substr(9));
}

std::string_view without_suffix(std::string_view name) {
    if (size_t at = name.rfind('@'); at != std::string_view::npos && at > 0) {
        return name.substr(0, at);
    }
    for (std::string_view suffix : {"-latest", ":latest"}) {
        if (name.size() > suffix.size() && name.ends_with(suffix)) {
            return name.substr(0, name.size() - suffix.size());
        }
    }
    for (size_t size : {size_t(9), size_t(11)}) {
        if (name.size() > size && is_date(name.substr(name.size() - size))) {
            return name.substr(0, name.size() - size);
        }
    }
    return name;
}

// Inference profiles of Amazon: us.anthropic.claude... Their own rows, with their own prices,
// come first.
std::string_view without_region(std::string_view name) {
    for (std::string_view prefix :
         {"us.", "eu.", "apac.", "global.", "au.", "jp.", "ca.", "sa.", "us-gov."}) {
        if (name.size() > prefix.size() && name.starts_with(prefix)) {
            return name.substr(prefix.size());
        }
    }
    return name;
}

std::string lower(std::string_view text) {
    std::string result(text);
    for (char &c : result) {
        if (c >= 'A' && c <= 'Z') {
            c = char(c - 'A' + 'a');
        }
    }
    return result;
}

// --- look-up ---------------------------------------------------------------------------------

// One place where models of one provider are looked for.
class Shelf {
  public:
    Shelf(const PriceBook *book, std::string_view provider)
        : book_(book), provider_(provider), rows_(book == nullptr ? rows_of(provider) : Range()) {}

    bool find(std::string_view model, Price &price) const {
        return take(model, price) || take_variations(model, price);
    }

  private:
    bool take_variations(std::string_view model, Price &price) const {
        if (model.starts_with("ft:")) {  // ft:BASE:ORGANISATION:NAME:ID
            size_t colon = model.find(':', 3);
            return colon != std::string_view::npos && take(model.substr(0, colon), price);
        }
        std::string_view name = model.substr(model.rfind('/') + 1);
        if (name.size() != model.size() && take(name, price)) {
            return true;
        }
        if (provider_ == "fireworks_ai" &&
            take(std::string("accounts/fireworks/models/").append(name), price)) {
            return true;
        }
        if (std::string_view plain = without_region(name); plain.size() != name.size()) {
            name = plain;
            if (take(name, price)) {
                return true;
            }
        }
        if (std::string_view plain = without_suffix(name); plain.size() != name.size()) {
            name = plain;
            if (take(name, price)) {
                return true;
            }
        }
        return take_newest(name, price);
    }

    // False also where only limits are known: these are kept, the search goes on.
    bool accept(const Price &found, Price &price) const {
        if (price.max_input == 0) {
            price.max_input = found.max_input;
        }
        if (price.max_output == 0) {
            price.max_output = found.max_output;
        }
        price.items = found.items;
        return price.is_known();
    }

    static Price price_of_entry(const PriceBook::Entry &entry) {
        return {entry.items, entry.max_input, entry.max_output};
    }

    bool take(std::string_view model, Price &price) const {
        if (book_ != nullptr) {
            const PriceBook::Entry *entry = book_->find(provider_, model);
            return entry != nullptr && accept(price_of_entry(*entry), price);
        }
        size_t row = first_from(rows_, model);
        return row < rows_.last && name_of(row) == model && accept(price_of(kRows[row]), price);
    }

    // The rows NAME-DATE follow the place where NAME would be.
    bool take_newest(std::string_view name, Price &price) const {
        if (book_ != nullptr || name.empty()) {
            return false;
        }
        size_t newest = rows_.last;
        for (char mark : {'-', '@'}) {
            std::string from = std::string(name) + mark + '2';
            for (size_t row = first_from(rows_, from);
                 row < rows_.last && name_of(row).starts_with(from); row++) {
                if (is_date(name_of(row).substr(name.size()))) {
                    newest = row;
                }
            }
            if (newest < rows_.last) {
                return accept(price_of(kRows[newest]), price);
            }
        }
        return false;
    }

    const PriceBook *book_;
    std::string_view provider_;
    Range rows_;
};

bool find_in_book(const PriceBook &book, const PriceQuery &query, std::string_view model,
                  Price &price) {
    for (std::string_view provider : {query.account, query.preset}) {
        if (!provider.empty() && Shelf(&book, provider).find(model, price)) {
            return true;
        }
    }
    for (const PricedAs &as : kPricedAs) {
        if (as.preset == query.preset && Shelf(&book, as.provider).find(model, price)) {
            return true;
        }
    }
    return Shelf(&book, {}).find(model, price);
}

// Only the name is known: the maker before the slash, or whoever makes a model of that name.
bool find_by_name(std::string_view model, Price &price) {
    size_t slash = model.find('/');
    if (slash != std::string_view::npos) {
        const ProviderPreset *maker = find_provider_preset(model.substr(0, slash));
        if (maker != nullptr && Shelf(nullptr, maker->name).find(model.substr(slash + 1), price)) {
            return true;
        }
    }
    for (std::string_view maker : kMakers) {
        if (Shelf(nullptr, maker).find(model, price)) {
            return true;
        }
    }
    return false;
}

bool is_before(const PriceBook::Entry &entry, std::string_view provider, std::string_view model) {
    return entry.provider != provider ? entry.provider < provider : entry.model < model;
}

}  // namespace

void PriceBook::add(Entry entry) {
    entry.model = lower(entry.model);
    entries_.push_back(std::move(entry));
}

void PriceBook::sort() {
    std::stable_sort(entries_.begin(), entries_.end(), [](const Entry &a, const Entry &b) {
        return is_before(a, b.provider, b.model);
    });
    size_t kept = 0;
    for (size_t i = 0; i < entries_.size(); i++) {
        bool is_same =
            kept > 0 && !is_before(entries_[kept - 1], entries_[i].provider, entries_[i].model);
        size_t place = is_same ? kept - 1 : kept++;
        if (place != i) {
            entries_[place] = std::move(entries_[i]);
        }
    }
    entries_.resize(kept);
}

const PriceBook::Entry *PriceBook::find(std::string_view provider, std::string_view model) const {
    auto found = std::lower_bound(entries_.begin(), entries_.end(), model,
                                  [provider](const Entry &entry, std::string_view name) {
                                      return is_before(entry, provider, name);
                                  });
    return found != entries_.end() && found->provider == provider && found->model == model
               ? &*found
               : nullptr;
}

Price find_price(const PriceQuery &query, const PriceBook *book) {
    std::string model = lower(query.model);
    Price price;
    if (model.empty() || (book != nullptr && find_in_book(*book, query, model, price)) ||
        Shelf(nullptr, query.preset).find(model, price)) {
        return price;
    }
    for (const PricedAs &as : kPricedAs) {
        if (as.preset == query.preset && Shelf(nullptr, as.provider).find(model, price)) {
            return price;
        }
    }
    for (std::string_view provider : kFreeProviders) {
        if (provider == query.preset) {
            price.items = kFree;
            return price;
        }
    }
    bool is_in_table = rows_of(query.preset).last > 0 ||
                       std::any_of(std::begin(kPricedAs), std::end(kPricedAs),
                                   [&](const PricedAs &as) { return as.preset == query.preset; });
    if (!is_in_table) {
        (void)find_by_name(model, price);
    }
    return price;
}

}  // namespace llm
