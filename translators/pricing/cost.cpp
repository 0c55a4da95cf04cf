// Tokens times prices, in whole numbers of 128 bits: nothing is rounded but the sum.
// Entry points: cost_of, cost_of_units, dollars.
#include "translators/pricing/cost.hpp"

#include <algorithm>
#include <array>
#include <limits>

namespace llm {
namespace {

__extension__ typedef __int128 Wide;

constexpr int64_t kFemtoPerNano = 1000000;
constexpr int64_t kNanoPerDollar = 1000000000;

constexpr size_t index(PriceKind kind) {
    return size_t(kind);
}

// The amounts of one section; negative: not given.
class Rates {
  public:
    Rates() { of_.fill(-1); }
    Rates(const Price &price, PriceSection section) : Rates() {
        for (const PriceItem &item : price.items) {
            if (item.section == section && index(item.kind) < kTokenKinds) {
                of_[index(item.kind)] = item.amount;
            }
        }
    }

    bool has(PriceKind kind) const { return of_[index(kind)] >= 0; }
    int64_t at(PriceKind kind) const { return of_[index(kind)]; }
    void set(PriceKind kind, int64_t amount) { of_[index(kind)] = amount; }
    int64_t at_or(PriceKind kind, int64_t other) const { return has(kind) ? at(kind) : other; }

  private:
    std::array<int64_t, kTokenKinds> of_;
};

PriceKind whole_of(PriceKind kind) {
    switch (kind) {
        case PriceKind::out:
        case PriceKind::reasoning:
        case PriceKind::audio_out:
        case PriceKind::image_out:
        case PriceKind::video_out:
            return PriceKind::out;
        default:
            return PriceKind::in;
    }
}

int64_t scale(int64_t amount, int64_t by, int64_t of) {
    Wide scaled = (Wide(amount) * by + of / 2) / of;
    return int64_t(std::min<Wide>(scaled, std::numeric_limits<int64_t>::max()));
}

// `rates` under a condition; `base` is what the condition's own amounts replace.
Rates apply(const Rates &rates, const Rates &condition, const Rates &base) {
    Rates result = rates;
    for (size_t i = 0; i < kTokenKinds; i++) {
        auto kind = PriceKind(i);
        PriceKind whole = whole_of(kind);
        if (condition.has(kind)) {
            // Two conditions at once: both factors.
            bool is_scaled = rates.has(kind) && base.has(kind) && base.at(kind) > 0;
            result.set(kind, is_scaled ? scale(rates.at(kind), condition.at(kind), base.at(kind))
                                       : condition.at(kind));
        } else if (rates.has(kind) && condition.has(whole) && base.has(whole) &&
                   base.at(whole) > 0) {
            result.set(kind, scale(rates.at(kind), condition.at(whole), base.at(whole)));
        }
    }
    return result;
}

PriceSection section_of(ServiceTier tier) {
    switch (tier) {
        case ServiceTier::batch:
            return PriceSection::batch;
        case ServiceTier::priority:
            return PriceSection::priority;
        case ServiceTier::flex:
            return PriceSection::flex;
        case ServiceTier::standard:
            break;
    }
    return PriceSection::base;
}

Rates rates_for(const Price &price, int64_t input, ServiceTier tier) {
    const Rates base(price, PriceSection::base);
    Rates rates = base;
    PriceSection size = PriceSection::base;
    for (const PriceItem &item : price.items) {
        if (item.kind == PriceKind::above && input > item.amount) {
            size = std::max(size, item.section);
        }
    }
    if (size != PriceSection::base) {
        rates = apply(rates, Rates(price, size), base);
    }
    if (tier != ServiceTier::standard) {
        rates = apply(rates, Rates(price, section_of(tier)), base);
    }
    return rates;
}

// Where only the short write has a price: Anthropic asks 1.25 of the input's price for that, and
// twice the input's for an hour.
int64_t hour_write(const Rates &rates, int64_t in, int64_t short_write) {
    bool is_ratio = Wide(short_write) * 4 == Wide(in) * 5;
    return rates.at_or(PriceKind::cache_write_1h, is_ratio ? in * 2 : short_write);
}

int64_t to_nano(Wide femto) {
    Wide nano = (femto + kFemtoPerNano / 2) / kFemtoPerNano;
    return int64_t(std::min<Wide>(nano, std::numeric_limits<int64_t>::max()));
}

}  // namespace

ServiceTier service_tier(std::string_view name) {
    return name == "batch"      ? ServiceTier::batch
           : name == "priority" ? ServiceTier::priority
           : name == "flex"     ? ServiceTier::flex
                                : ServiceTier::standard;
}

int64_t cost_of(const Usage &told, const Price &price, ServiceTier tier) {
    if (!price.is_known()) {
        return 0;
    }
    Usage usage = told;
    usage.normalise();
    Rates rates = rates_for(price, usage.input, tier);
    int64_t in = rates.at_or(PriceKind::in, 0);
    int64_t out = rates.at_or(PriceKind::out, 0);
    int64_t write = rates.at_or(PriceKind::cache_write_5m, in);

    int64_t hour = std::min(usage.cache_write_1h, usage.cache_write);
    int64_t plain_in = usage.input - usage.cache_read - usage.cache_write;
    int64_t audio_in = std::min(usage.audio_in, plain_in);
    int64_t plain_out = usage.output - usage.reasoning;
    int64_t audio_out = std::min(usage.audio_out, plain_out);

    Wide femto = Wide(plain_in - audio_in) * in;
    femto += Wide(audio_in) * rates.at_or(PriceKind::audio_in, in);
    femto += Wide(usage.cache_read) * rates.at_or(PriceKind::cache_read, in);
    femto += Wide(usage.cache_write - hour) * write;
    femto += Wide(hour) * hour_write(rates, in, write);
    femto += Wide(plain_out - audio_out) * out;
    femto += Wide(audio_out) * rates.at_or(PriceKind::audio_out, out);
    femto += Wide(usage.reasoning) * rates.at_or(PriceKind::reasoning, out);
    femto += price.amount(PriceSection::unit, PriceKind::request);
    femto += Wide(usage.web_searches) * price.amount(PriceSection::unit, PriceKind::web_search);
    femto += Wide(usage.audio_ms) * price.amount(PriceSection::unit, PriceKind::second_in) / 1000;
    return to_nano(femto);
}

int64_t adjusted_cost(int64_t nano, int64_t millionths) {
    Wide scaled = (Wide(nano) * millionths + kOneFactor / 2) / kOneFactor;
    return int64_t(std::min<Wide>(scaled, std::numeric_limits<int64_t>::max()));
}

int64_t cost_of_units(const Price &price, PriceKind kind, int64_t count, int64_t of) {
    if (count <= 0 || of <= 0) {
        return 0;
    }
    return to_nano(Wide(count) * price.amount(PriceSection::unit, kind) / of);
}

std::string dollars(int64_t nano) {
    auto size = nano < 0 ? 0 - uint64_t(nano) : uint64_t(nano);
    std::string text = (nano < 0 ? "-" : "") + std::to_string(size / kNanoPerDollar);
    std::string part = std::to_string(size % kNanoPerDollar);
    part.insert(0, 9 - part.size(), '0');
    part.erase(part.find_last_not_of('0') + 1);
    return part.empty() ? text : text + "." + part;
}

}  // namespace llm
