// Counting the tokens of a messages request: the same prompt, and nothing about the answer.
#include "t/unit/anthropic_rendering.hpp"
#include "translators/dialect/anthropic_invoke.hpp"

namespace llm::test {
namespace {

std::string counted(Parsed &parsed, const Target &target) {
    Notes notes;
    ByteBuffer out;
    json::Writer writer(out);
    Status status = kAnthropic.render_count(parsed.request, target, parsed.arena, writer, notes);
    EXPECT_TRUE(status) << status.error().param;
    return std::string(out.view());
}

TEST(AnthropicCount, Gotcha96_SystemAndToolsAreCounted) {
    Parsed parsed(with(R"("max_tokens":9,"stream":true,"temperature":1,"stop_sequences":["x"],)"
                       R"("metadata":{"user_id":"u"},"service_tier":"auto","system":"Be brief.",)"
                       R"("thinking":{"type":"enabled","budget_tokens":2048},)"
                       R"("tools":[{"name":"f","input_schema":{"type":"object"}}])"));
    ASSERT_TRUE(parsed.status);
    EXPECT_EQ(counted(parsed, classic()).find("max_tokens"), std::string::npos);
    Parsed without(with(R"("system":"Be brief.","tools":[{"name":"f",)"
                        R"("input_schema":{"type":"object"}}],"stream":true,"top_k":3)"));
    EXPECT_EQ(counted(without, classic()),
              R"({"model":"claude-old","tools":[{"name":"f","input_schema":{"type":"object"}}],)"
              R"("system":"Be brief.","messages":[{"role":"user","content":[)"
              R"({"type":"text","text":"Hi"}]}]})");
}

TEST(AnthropicCount, OtherCarriersAreToldWhatTheirPathsDoNotSay) {
    Parsed parsed(with(R"("max_tokens":9)"));
    Target target = classic();
    target.carrier = Carrier::vertex;
    EXPECT_EQ(counted(parsed, target),
              R"({"anthropic_version":"vertex-2023-10-16","model":"claude-old",)"
              R"("messages":[{"role":"user","content":[{"type":"text","text":"Hi"}]}]})");
    target.carrier = Carrier::bedrock;
    EXPECT_EQ(counted(parsed, target),
              R"({"anthropic_version":"bedrock-2023-05-31","max_tokens":1,)"
              R"("messages":[{"role":"user","content":[{"type":"text","text":"Hi"}]}]})");
}

TEST(AnthropicCount, BedrockIsGivenTheBodyOfTheCall) {
    ByteBuffer out;
    json::Writer writer(out);
    anthropic::render_invoke_count(R"({"a":1})", writer);
    EXPECT_EQ(out.view(), R"({"input":{"invokeModel":{"body":"eyJhIjoxfQ=="}}})");
}

TEST(AnthropicCount, TheCount) {
    json::Reader reader;
    auto count = [&](std::string_view body) {
        return kAnthropic.parse_count(*reader.parse_unpadded(body));
    };
    EXPECT_EQ(count(R"({"input_tokens":14})"), 14);
    EXPECT_EQ(count(R"({"inputTokens":14})"), 14);  // Bedrock
    EXPECT_FALSE(count(R"({"input_tokens":-1})"));
    EXPECT_FALSE(count(R"({"type":"error"})"));
    ByteBuffer out;
    json::Writer writer(out);
    kAnthropic.render_counted(14, writer);
    EXPECT_EQ(out.view(), R"({"input_tokens":14})");
    EXPECT_EQ(kAnthropic.count_path, "/messages/count_tokens");
}

}  // namespace
}  // namespace llm::test
