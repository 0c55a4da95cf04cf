// What is known of models by their names.
// Each family is tested at the borders where a property begins or ends; a Claude that is newer
// than the table must be taken for the newest one.
#include <gtest/gtest.h>

#include "translators/provider/model_traits.hpp"

namespace llm {
namespace {

ModelTraits openai(std::string_view model) {
    return model_traits(DialectId::openai, model, true);
}
ModelTraits claude(std::string_view model) {
    return model_traits(DialectId::anthropic, model, true);
}

TEST(ModelTraits, Gotcha88_NameOfTheOutputLimit) {
    EXPECT_TRUE(openai("gpt-4o").max_completion_tokens);
    EXPECT_TRUE(openai("gpt-5.1").max_completion_tokens);
    EXPECT_FALSE(model_traits(DialectId::openai, "gpt-5", false).max_completion_tokens);
}

TEST(ModelTraits, ReasoningModelsOfOpenAi) {
    for (const char *model : {"o1", "o3-mini", "o4-mini", "gpt-5", "gpt-5.1-nano", "GPT-5",
                              "codex-mini-latest", "gpt-5-codex"}) {
        EXPECT_TRUE(openai(model).is_reasoning) << model;
        EXPECT_TRUE(openai(model).developer_role) << model;
    }
    for (const char *model : {"gpt-4o", "gpt-4.1", "o2", "chatgpt-4o-latest", "my-o1-clone"}) {
        EXPECT_FALSE(openai(model).is_reasoning) << model;
        EXPECT_FALSE(openai(model).developer_role) << model;
    }
    EXPECT_FALSE(openai("o1-mini").developer_role);
    EXPECT_FALSE(openai("o1-preview-2024-09-12").developer_role);
    EXPECT_TRUE(model_traits(DialectId::openai, "openai/o3", false).is_reasoning);
    EXPECT_FALSE(model_traits(DialectId::openai, "openai/o3", false).developer_role);
}

TEST(ModelTraits, ImitatorsOfChatAreTakenForLenient) {
    EXPECT_TRUE(openai("gpt-4o").strict_members);
    EXPECT_FALSE(model_traits(DialectId::openai, "llama-3", false).strict_members);
}

TEST(ModelTraits, LongestOutputOfClaude) {
    EXPECT_EQ(claude("anthropic.claude-v2:1").max_output, 4096);
    EXPECT_EQ(claude("claude-3-haiku-20240307").max_output, 4096);
    EXPECT_EQ(claude("claude-3-5-sonnet-20241022").max_output, 8192);
    EXPECT_EQ(claude("claude-3-7-sonnet-latest").max_output, 64000);
    EXPECT_EQ(claude("claude-opus-4-20250514").max_output, 32000);
    EXPECT_EQ(claude("claude-opus-4-1").max_output, 32000);
    EXPECT_EQ(claude("claude-sonnet-4@20250514").max_output, 64000);
    EXPECT_EQ(claude("claude-haiku-4-5").max_output, 64000);
    EXPECT_EQ(claude("anthropic/claude-sonnet-4.5").max_output, 64000);
    EXPECT_EQ(claude("claude-opus-4-6").max_output, 128000);
    EXPECT_EQ(claude("claude-fable-5").max_output, 128000);
    EXPECT_EQ(claude("some-other-model").max_output, 4096);
}

TEST(ModelTraits, ThinkingOfClaude) {
    EXPECT_FALSE(claude("claude-3-5-sonnet-20241022").thinking);
    EXPECT_TRUE(claude("claude-3-7-sonnet-20250219").thinking);
    EXPECT_TRUE(claude("claude-sonnet-4-5").thinking);
    EXPECT_FALSE(claude("claude-sonnet-4-5").adaptive_thinking);
    EXPECT_TRUE(claude("claude-sonnet-4-6").adaptive_thinking);
    EXPECT_TRUE(claude("claude-haiku-5").adaptive_thinking);
    EXPECT_FALSE(claude("claude-opus-4-6").effort_xhigh);
    EXPECT_TRUE(claude("claude-opus-4-7").effort_xhigh);
    EXPECT_TRUE(claude("claude-sonnet-5").effort_xhigh);
}

TEST(ModelTraits, Gotcha89_SamplingOfClaude) {
    EXPECT_FALSE(claude("claude-opus-4-0").temperature_xor_top_p);
    EXPECT_TRUE(claude("claude-opus-4-1").temperature_xor_top_p);
    EXPECT_TRUE(claude("claude-haiku-4-5").temperature_xor_top_p);
    EXPECT_FALSE(claude("claude-opus-4-6").rejects_sampling);
    EXPECT_FALSE(claude("claude-sonnet-4-7").rejects_sampling);
    EXPECT_TRUE(claude("claude-opus-4-8").rejects_sampling);
    EXPECT_TRUE(claude("claude-fable-5").rejects_sampling);
}

TEST(ModelTraits, Gotcha18_PrefillOfClaude) {
    EXPECT_TRUE(claude("claude-opus-4-5").prefill);
    EXPECT_FALSE(claude("claude-opus-4-6").prefill);
    EXPECT_FALSE(claude("claude-sonnet-5").prefill);
}

TEST(ModelTraits, OnlyImitatorsOfOpenAiContinueAPrefill) {
    EXPECT_FALSE(model_traits(DialectId::openai, "gpt-4o", true).prefill);
    EXPECT_TRUE(model_traits(DialectId::openai, "gpt-4o", false).prefill);
}

TEST(ModelTraits, TiersAreKnownToOpenAiItself) {
    EXPECT_TRUE(model_traits(DialectId::openai, "gpt-4o", true).service_tier);
    EXPECT_FALSE(model_traits(DialectId::openai, "gpt-4o", false).service_tier);
}

TEST(ModelTraits, Gotcha90_StructuredOutputOfClaude) {
    EXPECT_FALSE(claude("claude-sonnet-4-20250514").structured_output);
    EXPECT_TRUE(claude("claude-opus-4-1").structured_output);
    EXPECT_TRUE(claude("claude-sonnet-4-5-20250929").structured_output);
}

TEST(ModelTraits, AnUnknownClaudeIsOfTheNewestFamily) {
    for (const char *model : {"claude-opus-6", "claude-saga-1", "claude-next"}) {
        ModelTraits traits = claude(model);
        EXPECT_TRUE(traits.adaptive_thinking && traits.rejects_sampling &&
                    traits.structured_output && traits.effort_xhigh && !traits.prefill)
            << model;
        EXPECT_EQ(traits.max_output, 128000) << model;
    }
}

TEST(ModelTraits, OtherModelsOfTheMessagesDialect) {
    ModelTraits traits = model_traits(DialectId::anthropic, "deepseek-chat", false);
    EXPECT_TRUE(traits.thinking);
    EXPECT_FALSE(traits.adaptive_thinking);
    EXPECT_FALSE(traits.rejects_sampling);
    EXPECT_TRUE(traits.prefill);
}

TEST(ModelTraits, AnyNameIsHarmless) {
    EXPECT_FALSE(openai("").is_reasoning);
    EXPECT_FALSE(openai("/").is_reasoning);
    EXPECT_TRUE(claude(std::string(10000, 'x') + "/claude-opus-5").rejects_sampling);
    EXPECT_FALSE(openai(std::string(10000, 'x')).is_reasoning);
}

}  // namespace
}  // namespace llm
