// The catalogue of providers.
// Every row must be complete enough to be used by its name alone, or say that an address is
// needed; quirks must arrive in the traits that the dialects read.
#include <gtest/gtest.h>

#include <set>
#include <string>

#include "translators/provider/address.hpp"
#include "translators/provider/providers.hpp"
#include "translators/provider/service_account.hpp"

namespace llm {
namespace {

bool is_base_url(std::string_view url) {
    return !url.ends_with('/') &&
           (url.empty() || url.starts_with("https://") || url.starts_with("http://localhost") ||
            url.starts_with("http://127.0.0.1") || url.starts_with("{neon_ai_gateway_base_url}/"));
}

TEST(Providers, EveryRowIsSound) {
    std::set<std::string_view> names;
    for (const ProviderPreset &preset : provider_presets()) {
        EXPECT_TRUE(names.insert(preset.name).second) << preset.name;
        EXPECT_EQ(find_provider_preset(preset.name), &preset);
        EXPECT_EQ(find_refused_preset(preset.name), nullptr) << preset.name;
        EXPECT_FALSE(preset.title.empty()) << preset.name;
        EXPECT_TRUE(is_base_url(preset.base_url)) << preset.name;
        EXPECT_NE(preset.auth.kind, AuthKind::query) << preset.name;
        // The model's name is encoded for a path, not for a host.
        EXPECT_EQ(preset.base_url.find("{model}"), std::string_view::npos) << preset.name;
        for (const Spoken &spoken : preset.also) {
            EXPECT_NE(spoken.dialect, preset.dialect) << preset.name;
            EXPECT_TRUE(spoken.base_url.starts_with('/') || is_base_url(spoken.base_url))
                << preset.name;
        }
        for (char c : preset.key_env) {
            EXPECT_TRUE(std::isalnum(static_cast<unsigned char>(c)) || c == '_' || c == ' ')
                << preset.name;
        }
    }
    EXPECT_GE(names.size(), 190u);
    EXPECT_EQ(find_provider_preset("nobody"), nullptr);
    EXPECT_EQ(find_provider_preset(""), nullptr);
}

TEST(Providers, AliasesAndRefusals) {
    std::set<std::string_view> names;
    for (const PresetAlias &alias : preset_aliases()) {
        EXPECT_TRUE(names.insert(alias.name).second) << alias.name;
        ASSERT_NE(find_provider_preset(alias.name), nullptr) << alias.name;
        EXPECT_EQ(find_provider_preset(alias.name)->name, alias.preset);
    }
    for (const RefusedPreset &refused : refused_presets()) {
        EXPECT_EQ(find_provider_preset(refused.name), nullptr) << refused.name;
        EXPECT_FALSE(refused.reason.empty()) << refused.name;
    }
    ASSERT_NE(find_refused_preset("watsonx"), nullptr);
    EXPECT_NE(find_refused_preset("watsonx")->reason.find("watsonx"), std::string_view::npos);
    EXPECT_NE(find_refused_preset("palm")->reason.find("gone"), std::string_view::npos);
}

TEST(Providers, OpenAi) {
    const ProviderPreset *preset = find_provider_preset("openai");
    ASSERT_NE(preset, nullptr);
    EXPECT_EQ(preset->base_url, "https://api.openai.com/v1");
    EXPECT_EQ(preset->auth.kind, AuthKind::bearer);
    EXPECT_EQ(preset->key_env, "OPENAI_API_KEY");
    EXPECT_TRUE(preset->is_official);
    EXPECT_TRUE(preset_traits(*preset, preset->dialect, "gpt-5").developer_role);
}

TEST(Providers, Anthropic) {
    const ProviderPreset *preset = find_provider_preset("anthropic");
    ASSERT_NE(preset, nullptr);
    EXPECT_EQ(preset->dialect, DialectId::anthropic);
    EXPECT_EQ(preset->base_url, "https://api.anthropic.com/v1");
    EXPECT_EQ(preset->auth.kind, AuthKind::header);
    EXPECT_EQ(preset->auth.name, "x-api-key");
    EXPECT_EQ(preset->auth.prefix, "");
}

TEST(Providers, ServersOfOnesOwnNeedAnAddress) {
    EXPECT_TRUE(find_provider_preset("vllm")->base_url.empty());
    EXPECT_NE(find_provider_preset("vllm")->key_env.find("VLLM_API_KEY"), std::string_view::npos);
    EXPECT_EQ(find_provider_preset("mock")->auth.kind, AuthKind::none);
}

TEST(Providers, G64_StrictServicesAndTheirQuirks) {
    auto traits = [](std::string_view name) {
        return preset_traits(*find_provider_preset(name), DialectId::openai, "some-model");
    };
    EXPECT_TRUE(traits("groq").strict_members);
    EXPECT_TRUE(traits("mistral").strict_members);
    EXPECT_TRUE(traits("mistral").no_stream_options);
    EXPECT_TRUE(traits("mistral").mistral);
    EXPECT_TRUE(traits("cerebras").max_completion_tokens);
    EXPECT_FALSE(traits("openrouter").strict_members);
    EXPECT_FALSE(traits("together").max_completion_tokens);
    EXPECT_TRUE(traits("perplexity").user_last);
    EXPECT_TRUE(traits("moonshot").no_strict_tools);
    EXPECT_TRUE(traits("moonshot").thinking_switch);
    EXPECT_TRUE(traits("dashscope").enable_thinking);
    EXPECT_TRUE(traits("deepseek").string_content);
    EXPECT_TRUE(traits("deepseek").no_tool_choice_required);
}

TEST(Providers, QuirksAreOfTheMainDialect) {
    const ProviderPreset &preset = *find_provider_preset("deepseek");
    EXPECT_FALSE(preset_traits(preset, DialectId::anthropic, "x").wants_reasoning_content);
    EXPECT_TRUE(preset_traits(preset, DialectId::openai, "x").wants_reasoning_content);
}

TEST(Providers, G63_DeepSeekWantsItsReasoningBack) {
    EXPECT_TRUE(preset_traits(*find_provider_preset("deepseek"), DialectId::openai, "deepseek-chat")
                    .wants_reasoning_content);
    EXPECT_FALSE(preset_traits(*find_provider_preset("groq"), DialectId::openai, "x")
                     .wants_reasoning_content);
}

// --- addresses -------------------------------------------------------------------------------

TEST(ProviderPaths, ModelsAreOneSegment) {
    auto path = [](std::string_view model) { return fill_model("/model/{model}/invoke", model); };
    EXPECT_EQ(path("anthropic.claude-v1:0"), "/model/anthropic.claude-v1%3A0/invoke");
    EXPECT_EQ(path("arn:aws:x/y"), "/model/arn%3Aaws%3Ax%2Fy/invoke");
    EXPECT_EQ(path("a b?c#d%e\r\n\xc3\xa9"), "/model/a%20b%3Fc%23d%25e%0D%0A%C3%A9/invoke");
    // No way out of the path of the account.
    EXPECT_EQ(path(".."), "/model/%2E%2E/invoke");
    EXPECT_EQ(path("{model}"), "/model/%7Bmodel%7D/invoke");
    EXPECT_EQ(fill_model("/{other}/{model", "m"), "/{other}/{model");
}

TEST(ProviderPaths, Variables) {
    UrlVariable variables[] = {{"region", "eu-west-1"}, {"empty", ""}};
    std::string out;
    EXPECT_EQ(expand_variables("https://{region}.test/{model}", variables, out), "");
    EXPECT_EQ(out, "https://eu-west-1.test/{model}");
    out.clear();
    EXPECT_EQ(expand_variables("{region}{empty}{other}", variables, out), "empty");
    std::vector<std::string_view> names;
    add_variables("{vertex_host}/{project}/{region}/{model}", names);
    EXPECT_EQ(names, (std::vector<std::string_view>{"region", "project"}));
}

std::string vertex_url(std::string_view region) {
    UrlVariable variables[] = {{"region", region}, {"project", "p"}};
    Address address;
    EXPECT_EQ(
        main_address(*find_provider_preset("vertex-anthropic"), kAnthropic, variables, address),
        "");
    EXPECT_EQ(address.stream_path, "/models/{model}:streamRawPredict");
    EXPECT_EQ(address.carrier, Carrier::vertex);
    return address.base_url.substr(0, address.base_url.find("/v1/"));
}

TEST(ProviderPaths, GooglesHosts) {
    EXPECT_EQ(vertex_url("europe-west1"), "https://europe-west1-aiplatform.googleapis.com");
    EXPECT_EQ(vertex_url("global"), "https://aiplatform.googleapis.com");
    EXPECT_EQ(vertex_url("eu"), "https://aiplatform.eu.rep.googleapis.com");
}

TEST(ProviderPaths, AzureWithAndWithoutAVersion) {
    const ProviderPreset &azure = *find_provider_preset("azure");
    UrlVariable variables[] = {{"resource", "r"}, {"api_version", "2024-10-21"}};
    Address address;
    EXPECT_EQ(main_address(azure, kOpenAi, variables, address), "");
    EXPECT_EQ(address.base_url, "https://r.openai.azure.com");
    EXPECT_EQ(fill_model(address.chat_path, "gpt 4"),
              "/openai/deployments/gpt%204/chat/completions?api-version=2024-10-21");
    Address newer;
    EXPECT_EQ(main_address(azure, kOpenAi, std::span(variables, 1), newer), "");
    EXPECT_EQ(newer.chat_path, "/openai/v1/chat/completions");
    EXPECT_EQ(main_address(azure, kOpenAi, {}, newer), "resource");
}

TEST(ProviderPaths, BelowTheProvidersOwnAddress) {
    const ProviderPreset &deepseek = *find_provider_preset("deepseek");
    Address address;
    EXPECT_EQ(further_address(*deepseek.also.begin(), kAnthropic, {}, address), "");
    EXPECT_EQ(address.base_url, "");
    EXPECT_EQ(address.chat_path, "/anthropic/v1/messages");
}

// --- service accounts ------------------------------------------------------------------------

std::string_view trouble(std::string_view text) {
    ServiceAccount account;
    Status parsed = parse_service_account(text, account);
    return parsed ? std::string_view() : parsed.error().what;
}

TEST(ServiceAccounts, WhatAFileMustHave) {
    std::string good = R"({"type":"service_account","client_email":"g@p.test",
        "private_key_id":"1","private_key":"-----BEGIN PRIVATE KEY-----\nAA==\n-----END)"
                       R"( PRIVATE KEY-----\n","token_uri":"https://oauth.test/token"})";
    ServiceAccount account;
    ASSERT_TRUE(parse_service_account(good, account));
    EXPECT_EQ(account.client_email, "g@p.test");
    EXPECT_EQ(account.token_uri, "https://oauth.test/token");
    EXPECT_EQ(account.private_key.substr(0, 32), "-----BEGIN PRIVATE KEY-----\nAA==");
    EXPECT_NE(trouble("").find("JSON"), std::string_view::npos);
    EXPECT_NE(trouble("[]").find("JSON"), std::string_view::npos);
    EXPECT_NE(trouble(R"({"type":"authorized_user"})").find("type"), std::string_view::npos);
    for (std::string_view member : {"client_email", "private_key", "token_uri"}) {
        std::string bad = good;
        bad.replace(bad.find("\"" + std::string(member) + "\":") + 1, 1, "x");
        EXPECT_NE(trouble(bad).find(member), std::string_view::npos) << member;
    }
}

}  // namespace
}  // namespace llm
