// Which price a model has: by its names, in the built-in table and in the operator's own prices.
#include <gtest/gtest.h>

#include "translators/pricing/cost.hpp"
#include "translators/pricing/price_table.hpp"
#include "translators/provider/providers.hpp"

namespace llm {
namespace {

constexpr int64_t kPerMillion = 1000000000;  // a dollar for a million tokens

int64_t in_of(const Price &price) {
    return price.amount(PriceSection::base, PriceKind::in);
}

int64_t in_of(std::string_view preset, std::string_view model, const PriceBook *book = nullptr) {
    Price price = find_price({preset, {}, model}, book);
    return price.is_known() ? in_of(price) : -1;
}

TEST(PriceTable, ExactNamesInAnyCase) {
    Price price = find_price({"openai", {}, "gpt-4o"});
    EXPECT_EQ(in_of(price), 2500000000);
    EXPECT_EQ(price.amount(PriceSection::base, PriceKind::out), 10 * kPerMillion);
    EXPECT_EQ(price.amount(PriceSection::base, PriceKind::cache_read), 1250000000);
    EXPECT_EQ(price.amount(PriceSection::batch, PriceKind::in), 1250000000);
    EXPECT_EQ(price.amount(PriceSection::priority, PriceKind::out), 17 * kPerMillion);
    EXPECT_EQ(price.max_input, 128000u);
    EXPECT_EQ(price.max_output, 16384u);
    EXPECT_EQ(in_of("openai", "GPT-4o"), 2500000000);
    EXPECT_EQ(in_of("together_ai", "BAAI/bge-base-en-v1.5"), 8000000);
}

TEST(PriceTable, FirstAndLastRowsOfProvidersAreFound) {
    EXPECT_EQ(in_of("openai", "256-x-256/dall-e-2"), 0);  // for each pixel, not for tokens
    EXPECT_GT(find_price({"openai", {}, "256-x-256/dall-e-2"})
                  .amount(PriceSection::unit, PriceKind::pixel_in),
              0);
    EXPECT_TRUE(find_price({"openai", {}, "whisper-1"}).is_known());
    EXPECT_FALSE(find_price({"openai", {}, "zzz"}).is_known());
    EXPECT_FALSE(find_price({"openai", {}, ""}).is_known());
}

TEST(PriceTable, TiersOfLongRequests) {
    Price price = find_price({"anthropic", {}, "claude-sonnet-4-5"});
    EXPECT_EQ(price.amount(PriceSection::tier1, PriceKind::above), 200000);
    EXPECT_EQ(price.amount(PriceSection::tier1, PriceKind::in), 6 * kPerMillion);
    EXPECT_EQ(price.amount(PriceSection::tier1, PriceKind::cache_write_1h), 12 * kPerMillion);
}

TEST(PriceTable, DatesRegionsPathsAndTunedModels) {
    int64_t sonnet = 3 * kPerMillion;
    // A date that is not in the table is a version of the model that is.
    EXPECT_EQ(in_of("anthropic", "claude-sonnet-4-5-20991231"), sonnet);
    EXPECT_EQ(in_of("openai", "gpt-4o-2099-12-31"), 2500000000);
    EXPECT_EQ(in_of("openai", "gpt-4o-latest"), 2500000000);
    EXPECT_EQ(in_of("vertex_ai", "claude-sonnet-4-5@20991231"), sonnet);
    EXPECT_EQ(in_of("gemini", "models/gemini-2.5-pro"), 1250000000);
    EXPECT_EQ(in_of("vertex_ai", "publishers/google/models/gemini-2.5-pro"), 1250000000);
    // A region with a price of its own, and one without.
    EXPECT_EQ(in_of("bedrock", "eu.anthropic.claude-sonnet-4-5-20250929-v1:0"), 3300000000);
    EXPECT_EQ(in_of("bedrock", "sa.anthropic.claude-sonnet-4-5-20250929-v1:0"), sonnet);
    EXPECT_EQ(in_of("bedrock",
                    "arn:aws:bedrock:eu-west-1:123456789012:inference-profile/"
                    "eu.anthropic.claude-sonnet-4-5-20250929-v1:0"),
              3300000000);
    EXPECT_EQ(in_of("openai", "ft:gpt-4o-2024-08-06:my-org:custom:abc123"),
              in_of("openai", "ft:gpt-4o-2024-08-06"));
    EXPECT_GT(in_of("openai", "ft:gpt-4o-2024-08-06:my-org:custom:abc123"), 2500000000);
    EXPECT_EQ(in_of("fireworks_ai", "deepseek-v3p1-terminus"),
              in_of("fireworks_ai", "accounts/fireworks/models/deepseek-v3p1-terminus"));
    // Something else that begins with the same letters is something else.
    EXPECT_EQ(in_of("openai", "gpt-4o-x"), -1);
    EXPECT_EQ(in_of("openai", "gpt-4o-20"), -1);
}

TEST(PriceTable, OtherWaysToTheSameModels) {
    EXPECT_EQ(in_of("vertex-anthropic", "claude-sonnet-4-5@20250929"), 3 * kPerMillion);
    EXPECT_EQ(in_of("bedrock-invoke", "anthropic.claude-sonnet-4-5-20250929-v1:0"),
              3 * kPerMillion);
    EXPECT_EQ(in_of("azure", "gpt-4o"), 2500000000);
}

TEST(PriceTable, ServersThatTheirUserRunsAreFreeAndKnown) {
    Price price = find_price({"hosted_vllm", {}, "gpt-4o"});
    EXPECT_TRUE(price.is_known());
    EXPECT_EQ(in_of(price), 0);
    EXPECT_EQ(in_of("mock", "anything"), 0);
}

TEST(PriceTable, ProvidersOutsideOfTheTableArePricedByTheNameOfTheModel) {
    EXPECT_EQ(in_of("", "gpt-4o"), 2500000000);
    EXPECT_EQ(in_of("openai_like", "claude-sonnet-4-5"), 3 * kPerMillion);
    EXPECT_EQ(in_of("litellm_proxy", "google/gemini-2.5-pro"), 1250000000);
    EXPECT_EQ(in_of("", "my-own-model"), -1);
    // One that is in the table has its own prices or none.
    EXPECT_EQ(in_of("groq", "gpt-4o"), -1);
}

TEST(PriceTable, EveryPresetCanBeAsked) {
    for (const ProviderPreset &preset : provider_presets()) {
        (void)find_price({preset.name, {}, "no-such-model/at-all@x"});
        (void)find_price({preset.name, {}, "/"});
        (void)find_price({preset.name, {}, "ft:"});
        (void)find_price({preset.name, {}, "@"});
        (void)find_price({preset.name, {}, "us."});
    }
}

TEST(PriceBook, OwnPricesComeFirstByAccountPresetAndName) {
    auto entry = [](std::string provider, std::string model, int64_t amount) {
        return PriceBook::Entry{
            std::move(provider), std::move(model), {{PriceSection::base, PriceKind::in, amount}}};
    };
    PriceBook book;
    book.add(entry("openai", "GPT-4o", 1));
    book.add(entry("team-account", "gpt-4o", 2));
    book.add(entry("", "gpt-4o", 3));
    book.add(entry("", "house-model", 4));
    book.add(entry("", "house-model", 5));
    book.sort();
    EXPECT_EQ(book.size(), 4u);
    auto ask = [&](std::string_view preset, std::string_view account, std::string_view model) {
        return in_of(find_price({preset, account, model}, &book));
    };
    EXPECT_EQ(ask("openai", "team-account", "gpt-4o"), 2);
    EXPECT_EQ(ask("openai", "another", "gpt-4o"), 1);
    EXPECT_EQ(ask("openai", "another", "gpt-4o-2099-01-01"), 1);
    EXPECT_EQ(ask("groq", "groq", "gpt-4o"), 3);
    EXPECT_EQ(ask("hosted_vllm", "pool", "house-model"), 5) << "the last one counts";
    EXPECT_EQ(ask("anthropic", "a", "claude-sonnet-4-5"), 3 * kPerMillion) << "the rest stays";
}

TEST(PriceBook, LimitsAloneLeaveThePrice) {
    PriceBook book;
    book.add({"openai", "gpt-4o", {}, 64000, 0});
    book.sort();
    Price price = find_price({"openai", {}, "gpt-4o"}, &book);
    EXPECT_EQ(in_of(price), 2500000000);
    EXPECT_EQ(price.max_input, 64000u);
    EXPECT_EQ(price.max_output, 16384u);
}

}  // namespace
}  // namespace llm
