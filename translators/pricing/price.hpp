// What a model costs: a short list of amounts, the same whether it is built in, stands in a price
// file or on a deployment. Money is whole numbers: an amount of a price is femto-dollars (1e-15)
// for one token or unit, which for tokens is the same number as nano-dollars for a million; what a
// request costs is nano-dollars.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace llm {

// Prices that replace those of `base` under a condition.
enum class PriceSection : uint8_t {
    base,
    tier1,  // for requests with more than `above` input tokens; rising
    tier2,
    tier3,
    batch,
    priority,
    flex,
    unit,    // for one image, second, request ...
    factor,  // thousandths, on everything that is paid for tokens
};

enum class PriceKind : uint8_t {
    // tokens
    in,
    out,
    cache_read,
    cache_write_5m,
    cache_write_1h,
    reasoning,
    audio_in,
    audio_out,
    audio_cache_read,
    audio_cache_write,
    image_in,  // in PriceSection::unit: one image
    image_out,
    video_out,
    citation,
    // units
    second_in,
    second_out,
    audio_second_in,
    video_second_in,
    video_second_out,
    second_out_1080p,
    char_in,
    char_out,
    pixel_in,  // of 1000 pixels
    pixel_out,
    query,
    request,
    page,
    page_annotation,
    credit,
    session,
    web_search,
    // the condition of a tier
    above,
    // factors
    us,
    fast,
    region_eu,
    region_us,
};

constexpr size_t kTokenKinds = size_t(PriceKind::citation) + 1;
constexpr size_t kPriceTiers = 3;

struct PriceItem {
    PriceSection section = PriceSection::base;
    PriceKind kind = PriceKind::in;
    int64_t amount = 0;
};

// A view: the items live in the built-in table or in whoever owns the price.
struct Price {
    std::span<const PriceItem> items;
    uint32_t max_input = 0;  // tokens; 0: not known
    uint32_t max_output = 0;

    // A model that costs nothing is known, too.
    bool is_known() const { return !items.empty(); }
    // 0 when it is not there.
    int64_t amount(PriceSection section, PriceKind kind) const {
        for (const PriceItem &item : items) {
            if (item.section == section && item.kind == kind) {
                return item.amount;
            }
        }
        return 0;
    }
};

}  // namespace llm
