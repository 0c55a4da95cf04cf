// What answers cost, against sums done by hand (nano-dollars).
#include <gtest/gtest.h>

#include "translators/pricing/cost.hpp"
#include "translators/pricing/price_table.hpp"

namespace llm {
namespace {

Usage usage(int64_t input, int64_t output) {
    Usage result;
    result.input = input;
    result.output = output;
    result.known = true;
    return result;
}

int64_t cost(std::string_view preset, std::string_view model, const Usage &used,
             ServiceTier tier = ServiceTier::standard) {
    return cost_of(used, find_price({preset, {}, model}), tier);
}

constexpr PriceItem kClaude[] = {
    {PriceSection::base, PriceKind::in, 3000000000},
    {PriceSection::base, PriceKind::out, 15000000000},
    {PriceSection::base, PriceKind::cache_read, 300000000},
    {PriceSection::base, PriceKind::cache_write_5m, 3750000000},
    {PriceSection::base, PriceKind::cache_write_1h, 6000000000},
    {PriceSection::tier1, PriceKind::above, 200000},
    {PriceSection::tier1, PriceKind::in, 6000000000},
    {PriceSection::tier1, PriceKind::out, 22500000000},
    {PriceSection::tier1, PriceKind::cache_write_5m, 7500000000},
    {PriceSection::batch, PriceKind::in, 1500000000},
    {PriceSection::batch, PriceKind::out, 7500000000},
};

// 2.50, cached 1.25, 10: 140 x 2500 + 1280 x 1250 + 100 x 10000, reasoning is in the 100.
TEST(Cost, CachedTokensOfOpenAiAreAPartOfTheInput) {
    Usage used = usage(1420, 100);
    used.cache_read = 1280;
    used.reasoning = 64;
    EXPECT_EQ(cost("openai", "gpt-4o", used), 350000 + 1600000 + 1000000);
}

// 14 x 3000 + 1028 x 300 + 100 x 15000.
TEST(Cost, Case50CacheReadsOfAnthropicOnce) {
    Usage used = usage(1042, 100);
    used.cache_read = 1028;
    EXPECT_EQ(cost("anthropic", "claude-sonnet-4-5", used), 42000 + 308400 + 1500000);
}

// 21 x 3000 + 1028 x 3750 + 100 x 15000: a write whose time is not told is a short one.
TEST(Cost, Case50CacheWritesOfFiveMinutes) {
    Usage used = usage(1049, 100);
    used.cache_write = 1028;
    EXPECT_EQ(cost("anthropic", "claude-sonnet-4-5", used), 63000 + 3855000 + 1500000);
    used.cache_write_5m = 1028;
    EXPECT_EQ(cost("anthropic", "claude-sonnet-4-5", used), 63000 + 3855000 + 1500000);
}

// 10 x 3000 + 300 x 3750 + 700 x 6000 + 2000 x 300 + 5 x 15000.
TEST(Cost, Case50CacheWritesOfAnHour) {
    Usage used = usage(3010, 5);
    used.cache_write = 1000;
    used.cache_write_5m = 300;
    used.cache_write_1h = 700;
    used.cache_read = 2000;
    EXPECT_EQ(cost("anthropic", "claude-sonnet-4-5", used),
              30000 + 1125000 + 4200000 + 600000 + 75000);
}

// 17 x 1250 + 9605 x 125 + 171 x 10000: 41 of text and 130 of thoughts.
TEST(Cost, ThoughtsOfGeminiAreOutput) {
    Usage used = usage(9622, 171);
    used.cache_read = 9605;
    used.reasoning = 130;
    EXPECT_EQ(cost("gemini", "gemini-2.5-pro", used), 21250 + 1200625 + 1710000);
}

// 3.30 and 16.50 in a region: 12 x 3300 + 7 x 16500.
TEST(Cost, RegionsOfBedrock) {
    EXPECT_EQ(cost("bedrock", "eu.anthropic.claude-sonnet-4-5-20250929-v1:0", usage(12, 7)),
              39600 + 115500);
}

// The whole request at the higher price; 200000 itself is still the lower.
TEST(Cost, Case50TiersCountTheWholeRequest) {
    Usage used = usage(200000, 10);
    EXPECT_EQ(cost("anthropic", "claude-sonnet-4-5", used), 200000 * 3000 + 150000);
    used.input = 200001;
    used.cache_read = 200000;  // cached ones count for the tier
    EXPECT_EQ(cost("anthropic", "claude-sonnet-4-5", used), 6000 + 200000 * 600 + 225000);
}

TEST(Cost, ATierChangesWhatItDoesNotPriceByTheSameFactor) {
    Price price{kClaude};
    Usage used = usage(300000, 0);
    used.cache_read = 100000;   // 0.30 becomes 0.60
    used.cache_write = 200000;  // 6 becomes 12
    used.cache_write_1h = 200000;
    EXPECT_EQ(cost_of(used, price), 100000 * 600 + 200000ll * 12000);
}

TEST(Cost, ServiceTiers) {
    Usage used = usage(1000, 100);
    used.cache_read = 400;
    // 600 x 2500 + 400 x 1250 + 100 x 10000; batch half of that; priority 4.25, 2.125, 17.
    EXPECT_EQ(cost("openai", "gpt-4o", used), 1500000 + 500000 + 1000000);
    EXPECT_EQ(cost("openai", "gpt-4o", used, ServiceTier::batch), 750000 + 250000 + 500000);
    EXPECT_EQ(cost("openai", "gpt-4o", used, ServiceTier::priority), 2550000 + 850000 + 1700000);
    // Not offered for this model.
    EXPECT_EQ(cost("openai", "gpt-4o", used, ServiceTier::flex), 3000000);
    // Long and in a batch: 6 x 0.5 and 22.50 x 0.5.
    EXPECT_EQ(cost_of(usage(300000, 100), Price{kClaude}, ServiceTier::batch),
              300000ll * 3000 + 100 * 11250);
}

TEST(Cost, NamesOfServiceTiers) {
    EXPECT_EQ(service_tier("priority"), ServiceTier::priority);
    EXPECT_EQ(service_tier("flex"), ServiceTier::flex);
    EXPECT_EQ(service_tier("batch"), ServiceTier::batch);
    EXPECT_EQ(service_tier("default"), ServiceTier::standard);
    EXPECT_EQ(service_tier(""), ServiceTier::standard);
}

TEST(Cost, ReasoningAndAudioPricedApart) {
    constexpr PriceItem items[] = {
        {PriceSection::base, PriceKind::in, 1000000},
        {PriceSection::base, PriceKind::out, 2000000},
        {PriceSection::base, PriceKind::reasoning, 5000000},
        {PriceSection::base, PriceKind::audio_in, 7000000},
        {PriceSection::base, PriceKind::audio_out, 11000000},
    };
    Usage used = usage(100, 50);
    used.cache_read = 60;
    used.audio_in = 10;
    used.reasoning = 20;
    used.audio_out = 5;
    // Cached at the input's price: 30 + 60, 10 x 7; 25 x 2, 20 x 5, 5 x 11.
    EXPECT_EQ(cost_of(used, Price{items}), 90 + 70 + 50 + 100 + 55);
    used.audio_in = 1000;  // more than there is
    used.audio_out = 1000;
    EXPECT_EQ(cost_of(used, Price{items}), 60 + 40 * 7 + 20 * 5 + 30 * 11);
}

TEST(Cost, NothingIsLostAndTheSumIsRoundedOnce) {
    // 0.000000001 dollars for a million tokens.
    constexpr PriceItem tiny[] = {{PriceSection::base, PriceKind::in, 1},
                                  {PriceSection::base, PriceKind::out, 1}};
    EXPECT_EQ(cost_of(usage(499999, 0), Price{tiny}), 0);
    EXPECT_EQ(cost_of(usage(250000, 250000), Price{tiny}), 1);
    EXPECT_EQ(cost_of(usage(1000000000000, 0), Price{tiny}), 1000000);
    // And large ones do not wrap.
    constexpr PriceItem huge[] = {{PriceSection::base, PriceKind::in, 999999999999999999}};
    EXPECT_EQ(cost_of(usage(INT64_MAX, 0), Price{huge}), INT64_MAX);
}

TEST(Cost, ContradictingUsageNeverCostsLessThanNothing) {
    Usage used = usage(10, 10);
    used.cache_read = 5000;
    used.cache_write = 9000;
    used.cache_write_1h = 20000;
    used.reasoning = 7000;
    // All ten are written for an hour.
    EXPECT_EQ(cost_of(used, Price{kClaude}), 10 * 6000 + 10 * 15000);
    used.input = -5;
    used.output = -5;
    EXPECT_EQ(cost_of(used, Price{kClaude}), 0);
}

TEST(Cost, AnHourWithoutAPrice) {
    constexpr PriceItem items[] = {{PriceSection::base, PriceKind::in, 3000000000},
                                   {PriceSection::base, PriceKind::cache_write_5m, 3750000000}};
    Usage used = usage(100, 0);
    used.cache_write = used.cache_write_1h = 100;
    EXPECT_EQ(cost_of(used, Price{items}), 600000);
}

TEST(Cost, RequestsAndUnits) {
    constexpr PriceItem items[] = {{PriceSection::unit, PriceKind::request, 5000000000000},
                                   {PriceSection::unit, PriceKind::second_in, 100000000000}};
    EXPECT_EQ(cost_of(usage(0, 0), Price{items}), 5000000);
    EXPECT_EQ(cost_of_units(Price{items}, PriceKind::second_in, 2500, 1000), 250000);
    EXPECT_EQ(cost_of_units(Price{items}, PriceKind::image_out, 2), 0);
    // 0.00000024414 dollars a pixel, 256 x 256.
    EXPECT_EQ(cost_of_units(find_price({"openai", {}, "256-x-256/dall-e-2"}), PriceKind::pixel_in,
                            256 * 256, 1000),
              15999959);
}

TEST(Cost, UnknownPricesCostNothing) {
    EXPECT_EQ(cost_of(usage(1000, 1000), Price{}), 0);
}

TEST(Cost, DollarsInPlainNotation) {
    EXPECT_EQ(dollars(0), "0");
    EXPECT_EQ(dollars(1), "0.000000001");
    EXPECT_EQ(dollars(2950000), "0.00295");
    EXPECT_EQ(dollars(1000000000), "1");
    EXPECT_EQ(dollars(12345678901), "12.345678901");
    EXPECT_EQ(dollars(-1500000000), "-1.5");
}

}  // namespace
}  // namespace llm
