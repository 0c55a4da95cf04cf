// Whole answers of Cohere's v2 chat.
#include "t/unit/provider_testing.hpp"

namespace llm::provider_testing {
namespace {

std::string answer(std::string_view message, std::string_view finish = "COMPLETE",
                   std::string_view more = {}) {
    return R"({"id":"a","message":{"role":"assistant",)" + std::string(message) +
           R"(},"finish_reason":")" + std::string(finish) + "\"" + std::string(more) + "}";
}

TEST(CohereResponse, ThoughtsTextAndUsage) {
    Answered got(kCohere,
                 answer(R"("content":[{"type":"thinking","thinking":"Hm"},)"
                        R"({"type":"text","text":"Hi"},{"type":"text","text":""}])",
                        "COMPLETE",
                        R"(,"usage":{"billed_units":{"input_tokens":9,"output_tokens":80},)"
                        R"("tokens":{"input_tokens":508,"output_tokens":86,)"
                        R"("reasoning_tokens":20},"cached_tokens":432})"));
    ASSERT_TRUE(got.status);
    ASSERT_EQ(got.parts().size(), 2u);
    EXPECT_EQ(got.part<ir::Reasoning>(0).text.bytes, "Hm");
    EXPECT_EQ(got.part<ir::Reasoning>(0).origin, DialectId::cohere);
    EXPECT_EQ(got.part<ir::Text>(1).text.bytes, "Hi");
    EXPECT_EQ(got.response.id.bytes, "a");
    const Usage &usage = got.response.usage;
    EXPECT_TRUE(usage.known);
    EXPECT_EQ(usage.input, 508);
    EXPECT_EQ(usage.cache_read, 432);
    EXPECT_EQ(usage.output, 86);
    EXPECT_EQ(usage.reasoning, 20);
    EXPECT_EQ(got.response.choices[0].finish, ir::Finish::stop);
}

TEST(CohereResponse, BilledUnitsCountWhereNothingElseIsSaid) {
    Answered got(kCohere, answer(R"("content":[])", "COMPLETE",
                                 R"(,"usage":{"billed_units":{"input_tokens":9.0,)"
                                 R"("output_tokens":80}})"));
    EXPECT_EQ(got.response.usage.input, 9);
    EXPECT_EQ(got.response.usage.output, 80);
    Answered none(kCohere, answer(R"("content":[])"));
    EXPECT_FALSE(none.response.usage.known);
}

TEST(CohereResponse, APlanAndItsCalls) {
    Answered got(
        kCohere,
        answer(R"("tool_plan":"I will","tool_calls":[{"id":"c1","type":"function","function":)"
               R"({"name":"f","arguments":"null"}},{"id":"c1","type":"function","function":)"
               R"({"name":"g","arguments":"{\"n\":12345678901234567890}"}}])",
               "TOOL_CALL"));
    ASSERT_EQ(got.parts().size(), 3u);
    EXPECT_EQ(got.part<ir::Reasoning>(0).text.bytes, "I will");
    EXPECT_EQ(got.part<ir::ToolCall>(1).id.bytes, "c1");
    EXPECT_EQ(got.part<ir::ToolCall>(1).arguments, "{}");  // G33
    EXPECT_TRUE(got.part<ir::ToolCall>(2).id.bytes.starts_with("call_"));
    EXPECT_EQ(got.part<ir::ToolCall>(2).arguments, "{\"n\":12345678901234567890}");  // G72
    EXPECT_EQ(got.response.choices[0].finish, ir::Finish::tool_calls);
}

TEST(CohereResponse, CitationsGoToTheirText) {
    Answered got(kCohere, answer(R"("content":[{"type":"thinking","thinking":"Hm"},)"
                                 R"({"type":"text","text":"ab"},{"type":"text","text":"cd"}],)"
                                 R"("citations":[{"start":0,"end":1,"text":"a","sources":[{)"
                                 R"("document":{"url":"https://u","title":"T"}}],)"
                                 R"("type":"TEXT_CONTENT","content_index":1},)"
                                 R"({"start":1,"end":2,"content_index":2},)"
                                 R"({"start":0,"end":2},{"start":0,"end":1,"type":"PLAN"}])"));
    const ir::Text &first = got.part<ir::Text>(1);
    ASSERT_EQ(first.cited.size(), 2u);
    EXPECT_EQ(first.citations_origin, DialectId::cohere);
    EXPECT_EQ(first.cited[0].url.bytes, "https://u");
    EXPECT_EQ(first.cited[0].title.bytes, "T");
    EXPECT_EQ(first.cited[0].start, 0);
    EXPECT_EQ(first.cited[0].end, 1);
    Document list(first.citations.bytes);
    EXPECT_EQ(list.root().size(), 2u);
    ASSERT_EQ(got.part<ir::Text>(2).cited.size(), 1u);
    EXPECT_EQ(got.part<ir::Text>(2).citations.bytes, R"([{"start":1,"end":2,"content_index":2}])");
}

TEST(CohereResponse, LogProbabilitiesOfSeveralTokensAreThatOfTheirText) {
    Answered got(kCohere, answer(R"("content":[{"type":"text","text":"Hi"}])", "COMPLETE",
                                 R"(,"logprobs":[{"token_ids":[1,2],"text":"Hi",)"
                                 R"("logprobs":[-0.5,-0.25]}])"));
    Document logprobs(got.response.choices[0].logprobs.bytes);
    json::Value first = *logprobs.root()["content"].items().begin();
    EXPECT_TRUE(first["token"].equals("Hi"));
    EXPECT_EQ(first["logprob"].as_double(), -0.75);
}

TEST(CohereResponse, Gotcha86_WhatIsNoAnswerFails) {
    for (std::string_view body :
         {R"({"id":"a","message":"too many requests"})", "{}", "[]",
          R"({"id":"a","message":{"role":"assistant","content":[]},"finish_reason":"ERROR"})"}) {
        Answered got(kCohere, body);
        EXPECT_FALSE(got.status) << body;
    }
    Answered partial(kCohere, answer(R"("content":[{"type":"text","text":"half"}])", "TIMEOUT"));
    ASSERT_TRUE(partial.status);
    EXPECT_EQ(partial.response.choices[0].finish, ir::Finish::error);
}

}  // namespace
}  // namespace llm::provider_testing
