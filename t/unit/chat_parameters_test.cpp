// Parameters that a service of the chat dialect refuses: named in a 400, or left out and named with
// drop_params; written anew for clients of other dialects, spliced for those of its own.
#include "translators/dialect/chat_parameters.hpp"
#include "t/unit/openai_testing.hpp"
#include "translators/provider/providers.hpp"

namespace llm::openai_testing {
namespace {

using Names = std::vector<std::string>;

struct Sent {
    std::string body;  // without model and messages; "refused NAME"
    Names dropped;
};

constexpr std::string_view kHead = R"({"model":"t","messages":[{"role":"user","content":"Hi"}])";

Sent passed(std::string_view more, const ModelTraits &traits, bool drop_params) {
    Sent sent;
    std::string body = std::string(kHead) + "," + std::string(more) + "}";
    Document document(body);
    Result<Envelope> envelope = kOpenAi.read_envelope(document.root());
    EXPECT_TRUE(envelope);
    std::vector<Edit> edits;
    Target target{.model = "t", .traits = traits, .drop_params = drop_params};
    Notes notes;
    Status status = kOpenAi.splice_request(document.root(), *envelope, target, edits, notes);
    sent.dropped.assign(notes.dropped.begin(), notes.dropped.end());
    if (!status) {
        sent.body = "refused " + std::string(status.error().param);
        return sent;
    }
    size_t at = 0;
    for (const Edit &edit : edits) {
        sent.body.append(body, at, edit.begin - at).append(edit.text);
        at = edit.end;
    }
    sent.body.append(body, at);
    Document valid(sent.body);
    sent.body = sent.body.substr(kHead.size());
    return sent;
}

Sent written(std::string_view more, const ModelTraits &traits, bool drop_params) {
    Sent sent;
    Parsed parsed(with(more));
    EXPECT_TRUE(parsed.status) << parsed.status.error().what;
    Notes notes;
    sent.body = rendered(parsed.request,
                         {.model = "t", .traits = traits, .drop_params = drop_params}, &notes);
    sent.body = sent.body.starts_with(kHead) ? sent.body.substr(kHead.size()) : sent.body;
    sent.dropped.assign(notes.dropped.begin(), notes.dropped.end());
    return sent;
}

ModelTraits of(std::string_view preset, std::string_view model = "m") {
    return preset_traits(*find_provider_preset(preset), DialectId::openai, model);
}

TEST(ChatParameters, WhatAProviderRefusesIsNamed) {
    for (auto way : {passed, written}) {
        EXPECT_EQ(way(R"("seed":7)", of("deepseek"), false).body, "refused seed");
        EXPECT_EQ(way(R"("stop":["x"])", of("perplexity"), false).body, "refused stop");
        EXPECT_EQ(
            way(R"("tools":[{"type":"function","function":{"name":"f"}}])", of("perplexity"), false)
                .body,
            "refused tools");
        EXPECT_EQ(way(R"("logit_bias":{"5":1})", of("cerebras"), false).body, "refused logit_bias");
        EXPECT_EQ(way(R"("seed":7)", of("together_ai"), false).body, R"(,"seed":7})");
    }
}

TEST(ChatParameters, WithDropParamsItIsLeftOutAndNamed) {
    for (auto way : {passed, written}) {
        Sent sent = way(R"("temperature":0.5,"seed":7,"stop":["x"],"n":2,"tool_choice":"none",)"
                        R"("tools":[{"type":"function","function":{"name":"f"}}])",
                        of("perplexity"), true);
        EXPECT_EQ(sent.body, R"(,"temperature":0.5})");
        EXPECT_EQ(sent.dropped, (Names{"seed", "n", "stop", "tools", "tool_choice"}));
    }
}

TEST(ChatParameters, HintsAndUsualValuesNeverRefuseARequest) {
    for (auto way : {passed, written}) {
        Sent sent = way(R"("user":"u","logit_bias":{},"n":1,"frequency_penalty":0,"stop":[],)"
                        R"("logprobs":false,"top_p":0.9,"parallel_tool_calls":false,)"
                        R"("tools":[{"type":"function","function":{"name":"f"}}],)"
                        R"("response_format":{"type":"text"},"service_tier":"flex")",
                        of("amazon_nova"), false);
        EXPECT_FALSE(sent.body.starts_with("refused")) << sent.body;
        for (std::string_view gone :
             {"user", "logit_bias", "\"n\"", "frequency", "logprobs", "parallel", "service_tier"}) {
            EXPECT_EQ(sent.body.find(gone), std::string::npos) << gone << sent.body;
        }
        EXPECT_NE(sent.body.find(R"("top_p":0.9)"), std::string::npos) << sent.body;
        EXPECT_EQ(sent.dropped, (Names{"parallel_tool_calls", "service_tier", "user"}));
    }
}

TEST(ChatParameters, ATemperatureAboveTheMostBecomesTheMost) {
    for (auto way : {passed, written}) {
        Sent sent = way(R"("temperature":1.7)", of("corti"), false);
        EXPECT_EQ(sent.body, R"(,"temperature":1})");
        EXPECT_EQ(sent.dropped, Names{"temperature"});
        sent = way(R"("temperature":2)", of("scx-ai"), false);
        EXPECT_EQ(sent.body, R"(,"temperature":1.99})");
        sent = way(R"("temperature":1.0)", of("corti"), false);
        EXPECT_EQ(sent.body, R"(,"temperature":1.0})");
        EXPECT_TRUE(sent.dropped.empty());
    }
}

TEST(ChatParameters, SomeRefusalsAreOfAModel) {
    for (auto way : {passed, written}) {
        EXPECT_EQ(way(R"("stop":"x")", of("xai", "grok-4-0709"), false).body, "refused stop");
        EXPECT_EQ(way(R"("presence_penalty":1)", of("xai", "grok-code-fast-1"), false).body,
                  "refused presence_penalty");
        EXPECT_EQ(way(R"("stop":"x")", of("xai", "grok-3-mini-beta"), false).body, "refused stop");
        EXPECT_EQ(way(R"("presence_penalty":1)", of("xai", "grok-3-mini"), false).body,
                  R"(,"presence_penalty":1})");
        EXPECT_EQ(way(R"("stop":["x"])", of("xai", "grok-3"), false).body, R"(,"stop":["x"]})");
    }
}

TEST(ChatParameters, ClientsOfOtherDialectsAreToldInTheirOwnWords) {
    Document document(R"({"model":"m","max_tokens":9,"stop_sequences":["x"],)"
                      R"("messages":[{"role":"user","content":"Hi"}]})");
    Arena arena;
    ir::Request request;
    ASSERT_TRUE(kAnthropic.parse_request(document.root(), arena, request));
    Target target{.model = "t", .traits = of("perplexity")};
    EXPECT_EQ(rendered(request, target), "refused stop_sequences");
}

TEST(ChatParameters, NoMemberIsTouchedTwice) {
    // A service with every rule at once.
    ModelTraits traits;
    traits.refuses = UINT32_MAX;
    traits.temperature_max = "1";
    traits.mistral = traits.thinking_switch = traits.no_strict_tools = true;
    traits.no_tool_choice_required = true;
    Sent sent = passed(R"("seed":1,"temperature":2,"tools":[{"type":"function","function":{)"
                       R"("name":"f","strict":true}}],"tool_choice":"required",)"
                       R"("reasoning_effort":"low","max_tokens":5)",
                       traits, true);
    EXPECT_EQ(sent.body, R"(,"max_tokens":5})");
}

TEST(ChatParameters, APrefixIsForNamesWithoutASlash) {
    Arena arena;
    ModelTraits traits = of("fireworks");
    EXPECT_EQ(sent_model(traits, "llama-v3", arena), "accounts/fireworks/models/llama-v3");
    EXPECT_EQ(sent_model(traits, "accounts/me/models/x", arena), "accounts/me/models/x");
    EXPECT_EQ(sent_model(of("groq"), "llama-v3", arena), "llama-v3");
}

}  // namespace
}  // namespace llm::openai_testing
