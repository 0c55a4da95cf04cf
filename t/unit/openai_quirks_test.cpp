// Chat requests out for services that take less than OpenAI, or something else: by ModelTraits.
#include "t/unit/openai_testing.hpp"

namespace llm::openai_testing {
namespace {

ModelTraits mistral() {
    ModelTraits traits;
    traits.mistral = true;
    return traits;
}

constexpr std::string_view kTool =
    R"("tools":[{"type":"function","function":{"name":"f","strict":true}},)"
    R"({"type":"function","function":{"name":"g"}}])";

TEST(ChatQuirks, Gotcha45_MistralGetsIdsOfNineCharacters) {
    EXPECT_EQ(
        resent(R"({"role":"assistant","tool_calls":[{"id":"functions.add:0","type":"function",)"
               R"("function":{"name":"add","arguments":"{}"}}]},)"
               R"({"role":"tool","tool_call_id":"functions.add:0","content":"x"})",
               mistral()),
        R"([{"role":"assistant","content":"","tool_calls":[{"id":"7hBrWovId","type":"function",)"
        R"("function":{"name":"add","arguments":"{}"}}]},)"
        R"({"role":"tool","tool_call_id":"7hBrWovId","content":"x"}])");
}

TEST(ChatQuirks, MistralsNamesForParameters) {
    Notes notes;
    EXPECT_EQ(resent_with(R"("seed":7,"stream":true,"max_completion_tokens":9,"user":"u",)"
                          R"("logit_bias":{"1":2})",
                          mistral(), false, &notes),
              R"(,"max_tokens":9,"random_seed":7,"stream":true})");
    EXPECT_EQ(notes.dropped, (std::vector<std::string_view>{"logit_bias", "user"}));
    EXPECT_EQ(resent_with(R"("logprobs":true)", mistral()), "refused logprobs");
}

TEST(ChatQuirks, MistralMustCallAny) {
    std::string tools(kTool);
    std::string body = resent_with(tools + R"(,"tool_choice":"required")", mistral());
    EXPECT_NE(body.find(R"("tool_choice":"any")"), std::string::npos) << body;
    body = resent_with(tools + R"(,"tool_choice":{"type":"allowed_tools","allowed_tools":{)"
                               R"("mode":"required","tools":[{"type":"function",)"
                               R"("function":{"name":"g"}}]}})",
                       mistral());
    EXPECT_NE(body.find(R"("tool_choice":"any")"), std::string::npos) << body;
    EXPECT_EQ(body.find(R"("name":"f")"), std::string::npos) << body;
    EXPECT_NE(body.find(R"("name":"g")"), std::string::npos) << body;
}

TEST(ChatQuirks, MistralTakesTurnsAndAPrefix) {
    EXPECT_EQ(resent(R"({"role":"user","content":"a"},{"role":"user","content":"b"},)"
                     R"({"role":"assistant","content":"c"})",
                     mistral()),
              R"([{"role":"user","content":"a\n\nb"},)"
              R"({"role":"assistant","content":"c","prefix":true}])");
}

TEST(ChatQuirks, MistralsThoughtsInContent) {
    std::string_view history =
        R"({"role":"user","content":"a"},{"role":"assistant","content":[{"type":"thinking",)"
        R"("thinking":[{"type":"text","text":"Hm"}],"closed":true},{"type":"text","text":"b"}]},)"
        R"({"role":"user","content":"c"})";
    ModelTraits traits = mistral();
    EXPECT_NE(resent(history, traits).find(R"("content":"b")"), std::string::npos);
    traits.wants_reasoning_content = true;
    EXPECT_NE(
        resent(history, traits)
            .find(R"("content":[{"type":"thinking","thinking":[{"type":"text","text":"Hm"}]},)"
                  R"({"type":"text","text":"b"}]})"),
        std::string::npos);
}

TEST(ChatQuirks, Gotcha26_NoUserMessageBehindAResultForMistral) {
    Parsed parsed(with_messages(
        R"({"role":"assistant","tool_calls":[{"id":"c","type":"function","function":{"name":"f"}}]},)"
        R"({"role":"tool","tool_call_id":"c","content":[{"type":"image_url",)"
        R"("image_url":{"url":"https://x/y.png"}}]})"));
    ASSERT_TRUE(parsed.status);
    Target target{.model = "t", .traits = mistral()};
    EXPECT_EQ(rendered(parsed.request, target), "refused tool_result");
    target.drop_params = true;
    EXPECT_EQ(rendered(parsed.request, target).find(R"("role":"user")"), std::string::npos);
}

TEST(ChatQuirks, TextOnly) {
    ModelTraits traits;
    traits.string_content = true;
    Parsed parsed(with_messages(
        R"({"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b"},)"
        R"({"type":"image_url","image_url":{"url":"https://x/y.png"}}]})"));
    ASSERT_TRUE(parsed.status);
    Target target{.model = "t", .traits = traits};
    EXPECT_EQ(rendered(parsed.request, target), "refused content");
    target.drop_params = true;
    Notes notes;
    EXPECT_EQ(rendered(parsed.request, target, &notes),
              R"({"model":"t","messages":[{"role":"user","content":"a\n\nb"}]})");
    EXPECT_EQ(notes.dropped, std::vector<std::string_view>{"content"});
}

TEST(ChatQuirks, ToolsOfSimpleServices) {
    ModelTraits traits;
    traits.no_strict_tools = traits.no_tool_choice_required = true;
    Notes notes;
    std::string body = resent_with(kTool, traits, false, &notes);
    EXPECT_EQ(body.find("strict"), std::string::npos) << body;
    EXPECT_EQ(notes.dropped, std::vector<std::string_view>{"strict"});
    std::string required = std::string(kTool) + R"(,"tool_choice":"required")";
    EXPECT_EQ(resent_with(required, traits), "refused tool_choice");
    EXPECT_EQ(resent_with(required, traits, true).find("tool_choice"), std::string::npos);
}

TEST(ChatQuirks, Gotcha67_OneSwitchForReasoning) {
    ModelTraits traits;
    traits.thinking_switch = true;
    EXPECT_EQ(resent_with(R"("reasoning_effort":"high")", traits),
              R"(,"thinking":{"type":"enabled"}})");
    EXPECT_EQ(resent_with(R"("reasoning_effort":"none")", traits),
              R"(,"thinking":{"type":"disabled"}})");
    EXPECT_EQ(resent_with(R"("thinking":{"type":"disabled"},"reasoning_effort":"high")", traits),
              R"(,"thinking":{"type":"disabled"}})");
    traits.enable_thinking = true;
    EXPECT_EQ(resent_with(R"("reasoning_effort":"high")", traits), R"(,"enable_thinking":true})");
    EXPECT_EQ(resent_with(R"("n":1)", traits), "}");
}

TEST(ChatQuirks, TheLastMessageIsTheUsers) {
    ModelTraits traits;
    traits.user_last = true;
    Parsed parsed(with_messages(R"({"role":"user","content":"a"},{"role":"user","content":"b"},)"
                                R"({"role":"assistant","content":"It is"})"));
    ASSERT_TRUE(parsed.status);
    Target target{.model = "t", .traits = traits};
    EXPECT_EQ(rendered(parsed.request, target), "refused prefill");
    target.drop_params = true;
    EXPECT_EQ(rendered(parsed.request, target),
              R"({"model":"t","messages":[{"role":"user","content":"a\n\nb"},)"
              R"({"role":"user","content":"Continue exactly from: It is"}]})");
}

}  // namespace
}  // namespace llm::openai_testing
