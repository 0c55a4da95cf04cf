// Files of the operator's own prices: both forms, and what is said of mistakes.
#include "translators/pricing/price_file.hpp"

#include <gtest/gtest.h>

#include "translators/pricing/cost.hpp"

namespace llm {
namespace {

bool is_account(std::string_view name) {
    return name == "gpu-pool";
}

struct Read {
    PriceBook book;
    PriceFileError error;
    bool is_good;

    explicit Read(std::string_view text)
        : is_good(read_price_file(text, is_account, book, error)) {}

    int64_t amount(std::string_view provider, std::string_view model, PriceKind kind,
                   PriceSection section = PriceSection::base) const {
        const PriceBook::Entry *entry = book.find(provider, model);
        return entry == nullptr ? -1 : Price{entry->items}.amount(section, kind);
    }
};

TEST(PriceFile, OurOwnForm) {
    Read read(R"({"models": {
        "openai/GPT-4o": {"input": 2.5, "output": 10, "cache_read": 1.25, "max_input": 128000,
            "max_output": 16384, "batch": {"input": 1.25, "output": 5},
            "tiers": [{"above": 200000, "input": 5}, {"above": 100000, "input": 4}],
            "per": {"request": 0.005}},
        "gpu-pool/llama/70b": {"input": 0.1, "output": 0.1, "reasoning": null},
        "house/model": {"input": 1}
    }})");
    ASSERT_TRUE(read.is_good) << read.error.what;
    EXPECT_EQ(read.amount("openai", "gpt-4o", PriceKind::in), 2500000000);
    EXPECT_EQ(read.amount("openai", "gpt-4o", PriceKind::cache_read), 1250000000);
    EXPECT_EQ(read.amount("openai", "gpt-4o", PriceKind::out, PriceSection::batch), 5000000000);
    EXPECT_EQ(read.amount("openai", "gpt-4o", PriceKind::above, PriceSection::tier1), 100000);
    EXPECT_EQ(read.amount("openai", "gpt-4o", PriceKind::in, PriceSection::tier2), 5000000000);
    EXPECT_EQ(read.amount("openai", "gpt-4o", PriceKind::request, PriceSection::unit),
              5000000000000);
    EXPECT_EQ(read.book.find("openai", "gpt-4o")->max_input, 128000u);
    EXPECT_EQ(read.book.find("openai", "gpt-4o")->max_output, 16384u);
    EXPECT_EQ(read.amount("gpu-pool", "llama/70b", PriceKind::in), 100000000);
    EXPECT_EQ(read.amount("", "house/model", PriceKind::in), 1000000000) << "no provider";
}

TEST(PriceFile, TheFormOfLiteLlm) {
    Read read(R"({
        "sample_spec": {"max_tokens": "a word", "input_cost_per_token": "words"},
        "gpt-4o": {"litellm_provider": "openai", "mode": "chat", "input_cost_per_token": 2.5e-06,
            "output_cost_per_token": 1e-05, "cache_read_input_token_cost": 1.25e-06,
            "input_cost_per_token_batches": 1.25e-06, "output_cost_per_token_priority": 1.7e-05,
            "max_input_tokens": 128000, "supports_vision": true},
        "bedrock/eu-central-1/m": {"litellm_provider": "bedrock_converse",
            "input_cost_per_token": 1e-06},
        "vertex_ai/claude": {"litellm_provider": "vertex_ai-anthropic_models",
            "input_cost_per_token": 3e-06, "input_cost_per_token_above_200k_tokens": 6e-06,
            "cache_creation_input_token_cost": 3.75e-06,
            "cache_creation_input_token_cost_above_1hr": 6e-06},
        "openrouter/openai/gpt-4o": {"litellm_provider": "openrouter",
            "input_cost_per_token": 2e-06},
        "dashscope/qwen": {"litellm_provider": "dashscope", "tiered_pricing": [
            {"range": [0, 32000.0], "input_cost_per_token": 1e-06},
            {"range": [32000.0, 128000.0], "input_cost_per_token": 2e-06}]},
        "azure/my-deployment": {"input_cost_per_token": 1.0000000000000002e-07},
        "dall-e": {"litellm_provider": "openai", "output_cost_per_image": 0.04}
    })");
    ASSERT_TRUE(read.is_good) << read.error.what;
    EXPECT_EQ(read.amount("openai", "gpt-4o", PriceKind::in), 2500000000);
    EXPECT_EQ(read.amount("openai", "gpt-4o", PriceKind::in, PriceSection::batch), 1250000000);
    EXPECT_EQ(read.amount("openai", "gpt-4o", PriceKind::out, PriceSection::priority), 17000000000);
    EXPECT_EQ(read.book.find("openai", "gpt-4o")->max_input, 128000u);
    EXPECT_EQ(read.amount("bedrock", "eu-central-1/m", PriceKind::in), 1000000000);
    EXPECT_EQ(read.amount("vertex_ai", "claude", PriceKind::in, PriceSection::tier1), 6000000000);
    EXPECT_EQ(read.amount("vertex_ai", "claude", PriceKind::cache_write_1h), 6000000000);
    EXPECT_EQ(read.amount("openrouter", "openai/gpt-4o", PriceKind::in), 2000000000);
    EXPECT_EQ(read.amount("dashscope", "qwen", PriceKind::in), 1000000000);
    EXPECT_EQ(read.amount("dashscope", "qwen", PriceKind::above, PriceSection::tier1), 32000);
    EXPECT_EQ(read.amount("azure", "my-deployment", PriceKind::in), 100000000)
        << "noise of binary fractions";
    EXPECT_EQ(read.amount("openai", "dall-e", PriceKind::image_out, PriceSection::unit),
              40000000000000);
    EXPECT_EQ(read.book.find("", "sample_spec"), nullptr);
}

TEST(PriceFile, Case54MistakesAreToldWithModelMemberAndLine) {
    struct Mistake {
        const char *text;
        uint32_t line;
        const char *what;
    };
    const Mistake mistakes[] = {
        {"", 1, "not JSON"},
        {"{\"models\": {\n\"a\": {\"input\": 1}", 0, "not JSON"},
        {"[]", 1, "not an object"},
        {"{}", 0, "no prices in it"},
        {"{\"gpt-4o\": {\"input\": 2.5}}", 0, "no prices in it"},
        {"{\"models\": 3}", 1, "\"models\" is not an object"},
        {"{\"models\": {\n\n\"a\": 3}}", 3, "model \"a\": not an object"},
        {"{\"models\": {\"a\": {\n\"inptu\": 3}}}", 2, "model \"a\": unknown member \"inptu\""},
        {"{\"models\": {\"a\": {\"input\": \"3\"}}}", 1, "model \"a\": \"input\" is not a number"},
        {"{\"models\": {\"a\": {\"input\": -3}}}", 1,
         "model \"a\": \"input\" is negative or too large"},
        {"{\"models\": {\"a\": {\"input\": 1e99}}}", 1,
         "model \"a\": \"input\" is negative or too large"},
        {"{\"models\": {\"a\": {\"tiers\": [{\"input\": 3}]}}}", 1,
         "model \"a\": \"above\" is not a number of tokens"},
        {"{\"models\": {\"a\": {\"tiers\": [{\"above\": 1}, {\"above\": 2}, {\"above\": 3}, "
         "{\"above\": 4}]}}}",
         0, "model \"a\": more than three tiers"},
        {"{\"models\": {\"a\": {\"per\": {\"x\": 1}}}}", 1, "model \"a\": unknown member \"x\""},
        {"{\"models\": {\"a\": {\"max_input\": 1.5}}}", 1,
         "model \"a\": \"max_input\" is not a number of tokens"},
        {"{\"models\": {\"\": {}}}", 1, "not a name of a model"},
        {"{\"gpt\": {\n\n\"input_cost_per_token\": \"free\"}}", 3,
         "model \"gpt\": \"input_cost_per_token\" is not a number"},
    };
    for (const Mistake &mistake : mistakes) {
        Read read(mistake.text);
        EXPECT_FALSE(read.is_good) << mistake.text;
        EXPECT_TRUE(read.error.what.starts_with(mistake.what))
            << mistake.text << ": " << read.error.what;
        if (mistake.line != 0) {
            EXPECT_EQ(read.error.line, mistake.line) << mistake.text;
        }
        EXPECT_TRUE(read.book.empty()) << mistake.text;
    }
}

TEST(PriceFile, EveryCutOfAFileIsAMistakeAndLeavesTheBook) {
    std::string_view whole =
        R"({"models": {"a": {"input": 1, "tiers": [{"above": 9, "input": 2}]}}})";
    for (size_t size = 0; size < whole.size(); size++) {
        PriceBook book;
        PriceFileError error;
        EXPECT_FALSE(read_price_file(whole.substr(0, size), is_account, book, error)) << size;
        EXPECT_TRUE(book.empty());
        EXPECT_FALSE(error.what.empty());
    }
}

TEST(PriceFile, ALaterFileCounts) {
    PriceBook book;
    PriceFileError error;
    ASSERT_TRUE(read_price_file(R"({"models": {"a": {"input": 1}, "b": {"input": 1}}})", is_account,
                                book, error));
    ASSERT_TRUE(read_price_file(R"({"models": {"a": {"input": 2}}})", is_account, book, error));
    EXPECT_EQ(Price{book.find("", "a")->items}.amount(PriceSection::base, PriceKind::in),
              2000000000);
    EXPECT_EQ(Price{book.find("", "b")->items}.amount(PriceSection::base, PriceKind::in),
              1000000000);
}

TEST(PriceFile, AmountsAreReadExactly) {
    EXPECT_EQ(parse_amount("2.5e-06", kPerToken), 2500000000);
    EXPECT_EQ(parse_amount("0.0000025", kPerToken), 2500000000);
    EXPECT_EQ(parse_amount("25E-7", kPerToken), 2500000000);
    EXPECT_EQ(parse_amount("1e-15", kPerToken), 1);
    EXPECT_EQ(parse_amount("4e-16", kPerToken), 0);
    EXPECT_EQ(parse_amount("5e-16", kPerToken), 1);
    EXPECT_EQ(parse_amount("0", kPerToken), 0);
    EXPECT_EQ(parse_amount("0e999", kPerToken), 0);
    EXPECT_EQ(parse_amount("123.456789012", kPerMillionTokens), 123456789012);
    EXPECT_EQ(parse_amount("0.000000000000000000000000000001e+24", 9), 1000);
    for (const char *bad :
         {"", ".", "-1", "1e", "1e99999", "x", "1.2.3", "1000000", "1e4", "NaN"}) {
        EXPECT_LT(parse_amount(bad, kPerToken), 0) << bad;
    }
}

}  // namespace
}  // namespace llm
