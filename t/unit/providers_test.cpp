// The catalogue of providers.
// Every row must be complete enough to be used by its name alone, or say that an address is
// needed; quirks must arrive in the traits that the dialects read.
#include <gtest/gtest.h>

#include <set>
#include <string>

#include "translators/provider/providers.hpp"

namespace llm {
namespace {

TEST(Providers, EveryRowIsSound) {
    std::set<std::string_view> names;
    for (const ProviderPreset &preset : provider_presets()) {
        EXPECT_TRUE(names.insert(preset.name).second) << preset.name;
        EXPECT_EQ(find_provider_preset(preset.name), &preset);
        EXPECT_EQ(preset.auth == AuthKind::none, preset.key_env.empty()) << preset.name;
        EXPECT_FALSE(preset.base_url.ends_with('/')) << preset.name;
        EXPECT_TRUE(preset.base_url.empty() || preset.base_url.starts_with("https://"));
    }
    EXPECT_GE(names.size(), 12u);
    EXPECT_EQ(find_provider_preset("nobody"), nullptr);
    EXPECT_EQ(find_provider_preset(""), nullptr);
}

TEST(Providers, OpenAi) {
    const ProviderPreset *preset = find_provider_preset("openai");
    ASSERT_NE(preset, nullptr);
    EXPECT_EQ(preset->base_url, "https://api.openai.com/v1");
    EXPECT_EQ(preset->auth, AuthKind::bearer);
    EXPECT_EQ(preset->key_env, "OPENAI_API_KEY");
    EXPECT_TRUE(preset->is_official);
    EXPECT_TRUE(preset->headers.empty());
    EXPECT_TRUE(preset_traits(*preset, "gpt-5").developer_role);
}

TEST(Providers, Anthropic) {
    const ProviderPreset *preset = find_provider_preset("anthropic");
    ASSERT_NE(preset, nullptr);
    EXPECT_EQ(preset->dialect, DialectId::anthropic);
    EXPECT_EQ(preset->base_url, "https://api.anthropic.com/v1");
    EXPECT_EQ(preset->auth, AuthKind::x_api_key);
    ASSERT_EQ(preset->headers.size(), 1u);
    EXPECT_EQ(preset->headers[0].name, "anthropic-version");
    EXPECT_EQ(preset->headers[0].value, "2023-06-01");
}

TEST(Providers, ServersOfOnesOwnNeedAnAddress) {
    EXPECT_TRUE(find_provider_preset("vllm")->base_url.empty());
    EXPECT_EQ(find_provider_preset("mock")->auth, AuthKind::none);
}

TEST(Providers, G64_StrictServicesAndTheirQuirks) {
    auto traits = [](std::string_view name) {
        return preset_traits(*find_provider_preset(name), "some-model");
    };
    EXPECT_TRUE(traits("groq").strict_members);
    EXPECT_TRUE(traits("mistral").strict_members);
    EXPECT_TRUE(traits("mistral").no_stream_options);
    EXPECT_TRUE(traits("cerebras").max_completion_tokens);
    EXPECT_FALSE(traits("openrouter").strict_members);
    EXPECT_FALSE(traits("together").max_completion_tokens);
}

TEST(Providers, G63_DeepSeekWantsItsReasoningBack) {
    EXPECT_TRUE(
        preset_traits(*find_provider_preset("deepseek"), "deepseek-chat").wants_reasoning_content);
    EXPECT_FALSE(preset_traits(*find_provider_preset("groq"), "x").wants_reasoning_content);
}

}  // namespace
}  // namespace llm
