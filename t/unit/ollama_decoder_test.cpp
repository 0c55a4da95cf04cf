// Streams and whole answers of Ollama's /api/chat. Every stream is decoded whole, cut in two at
// every byte, and byte by byte: the events must be the same.
#include "t/unit/provider_testing.hpp"

namespace llm::provider_testing {
namespace {

const std::string kHead = R"({"model":"m","created_at":"2025-07-07T20:22:19.184789Z")";

std::string line(std::string_view message) {
    return kHead + R"(,"message":{"role":"assistant",)" + std::string(message) +
           "},\"done\":false}\n";
}

std::string done(std::string_view reason = "stop", std::string_view more = {}) {
    return kHead + R"(,"message":{"role":"assistant","content":""},"done_reason":")" +
           std::string(reason) + R"(","done":true,"prompt_eval_count":5,"eval_count":2)" +
           std::string(more) + "}\n";
}

Lines decode(std::string_view stream) {
    return provider_testing::decode(kOllama, stream);
}

std::string joined(const Lines &lines) {
    std::string all;
    for (const std::string &text : lines) {
        all += text + "\n";
    }
    return all;
}

TEST(OllamaDecoder, ThoughtsTextAndUsage) {
    EXPECT_EQ(decode(line(R"("content":"","thinking":"Hm")") + line(R"("content":"Hi \u00e9")") +
                     line(R"("content":"!")") + done()),
              (Lines{"start  m", "open 0 reasoning", "delta 0 Hm", "close 0", "open 1 text",
                     "delta 1 Hi \\u00e9", "delta 1 !", "close 1", "usage 5+2",
                     "finish stop (stop)", "end"}));
}

TEST(OllamaDecoder, Gotcha38_CallsAreWholeAndGetIds) {
    Lines lines = decode(
        line(R"("content":"","tool_calls":[{"function":{"name":"f","arguments":{"a":1.0}}},)"
             R"({"function":{"index":0,"name":"f","arguments":{"a":1.0}}}])") +
        line(R"("content":"","tool_calls":[{"id":"own","function":{"name":"g"}}])") + done());
    ASSERT_EQ(lines.size(), 13u) << joined(lines);
    EXPECT_TRUE(lines[1].starts_with("open 0 tool call_"));
    EXPECT_TRUE(lines[1].ends_with(" f"));
    EXPECT_EQ(lines[2], "delta 0 {\\\"a\\\":1.0}");
    EXPECT_EQ(lines[3], "close 0");
    EXPECT_TRUE(lines[4].starts_with("open 1 tool call_"));
    EXPECT_NE(lines[4].substr(12), lines[1].substr(12));
    EXPECT_EQ(lines[7], "open 2 tool own g");
    EXPECT_EQ(lines[8], "delta 2 {}");
    EXPECT_EQ(lines[11], "finish tool_calls (stop)");
}

TEST(OllamaDecoder, IdsOfOtherAnswersAreOthers) {
    std::string call = line(R"("tool_calls":[{"function":{"name":"f","arguments":{}}}])") + done();
    std::string later = call;
    later.replace(later.find("184789Z"), 7, "184790Z");
    EXPECT_EQ(decode(call)[1], decode(call)[1]);
    EXPECT_NE(decode(call)[1], decode(later)[1]);
}

TEST(OllamaDecoder, Gotcha40_ACutAnswerWithCallsIsCut) {
    Lines lines =
        decode(line(R"("tool_calls":[{"function":{"name":"f","arguments":{}}}])") + done("length"));
    EXPECT_EQ(lines[lines.size() - 2], "finish length (length)");
}

TEST(OllamaDecoder, TheLastLineMayLackItsMessageAndItsCounts) {
    EXPECT_EQ(decode(line(R"("content":"x")") + kHead + ",\"done\":true}"),
              (Lines{"start  m", "open 0 text", "delta 0 x", "close 0", "finish stop ()", "end"}));
    Lines lines = decode(kHead + R"(,"done":true,"eval_count":58})");
    EXPECT_EQ(lines[1], "usage 0+58");
}

TEST(OllamaDecoder, LoadingAModelIsNoAnswer) {
    Lines lines = decode(done("load"));
    EXPECT_EQ(lines[lines.size() - 2], "finish other (load)");
}

TEST(OllamaDecoder, Gotcha85_ALineWithAnErrorIsOne) {
    EXPECT_EQ(decode(line(R"("content":"x")") + "{\"error\":\"unexpected EOF\"}\n" + done()).back(),
              "error upstream");
    EXPECT_EQ(decode("{\"error\":\"prompt too long; exceeded max context length\"}").back(),
              "error context_length");
    EXPECT_EQ(decode(R"({"error":{"message":"no","type":"rate_limit_error"}})").back(),
              "error rate_limit");
}

TEST(OllamaDecoder, Case1_ACutStreamIsAnError) {
    EXPECT_EQ(decode(line(R"("content":"half")")).back(), "error stream_truncated");
    EXPECT_EQ(decode("").back(), "error stream_truncated");
    std::string stream = line(R"("content":"half")") + done();
    stream.resize(stream.size() - 3);
    EXPECT_EQ(decode(stream).back(), "error stream_truncated");
}

TEST(OllamaDecoder, NothingBehindTheEndIsRead) {
    std::string stream = line(R"("content":"x")") + done();
    EXPECT_EQ(decode(stream + line(R"("content":"never")") + "{broken\n"), decode(stream));
}

TEST(OllamaDecoder, EmptyLinesAndCrLfChangeNothing) {
    std::string stream = line(R"("content":"x")") + done();
    std::string other = "\r\n";
    for (char c : stream) {
        other += c == '\n' ? "\r\n\n" : std::string(1, c);
    }
    EXPECT_EQ(decode(other), decode(stream));
}

TEST(OllamaDecoder, ALineThatIsNotJsonIsAnError) {
    EXPECT_EQ(decode(line(R"("content":"x")") + "{\"a\":\n" + done()).back(),
              "error upstream_protocol");
    EXPECT_EQ(decode("[1]\n{\"status\":\"x\"}\n" + done()).back(), "end");
}

TEST(OllamaDecoder, TooManyCallsAreAnError) {
    std::string call = line(R"("tool_calls":[{"function":{"name":"f","arguments":{}}}])");
    std::string stream;
    for (int i = 0; i <= 256; ++i) {
        stream += call;
    }
    EXPECT_EQ(decode_pieces(kOllama, {stream + done()}).back(), "error upstream_protocol");
}

TEST(OllamaDecoder, LogProbabilities) {
    std::string chunk = line(R"("content":"x")");
    chunk.insert(chunk.size() - 2, R"(,"logprobs":[{"token":"x","logprob":-1.50}])");
    EXPECT_EQ(decode(chunk + done())[3],
              R"(logprobs {"content":[{"token":"x","logprob":-1.50}],"refusal":null})");
}

TEST(OllamaResponse, AWholeAnswer) {
    Answered got(kOllama,
                 R"({"model":"m","created_at":"2025-07-07T20:32:53.844124Z","message":{"role":)"
                 R"("assistant","content":"Hi","thinking":"Hm","tool_calls":[{"function":{"name":)"
                 R"("f","arguments":{"n": 12345678901234567890}}},{"function":{"name":"f",)"
                 R"("arguments":{"n": 12345678901234567890}}}]},"done_reason":"stop","done":true,)"
                 R"("prompt_eval_count":169,"eval_count":18,"logprobs":[{"token":"Hi"}]})");
    ASSERT_TRUE(got.status);
    ASSERT_EQ(got.parts().size(), 4u);
    EXPECT_EQ(got.part<ir::Reasoning>(0).text.bytes, "Hm");
    EXPECT_EQ(got.part<ir::Reasoning>(0).origin, DialectId::ollama);
    EXPECT_EQ(got.part<ir::Text>(1).text.bytes, "Hi");
    EXPECT_EQ(got.part<ir::ToolCall>(2).arguments, "{\"n\": 12345678901234567890}");  // G72
    EXPECT_EQ(got.part<ir::ToolCall>(2).id.bytes.size(), 29u);
    EXPECT_NE(got.part<ir::ToolCall>(2).id.bytes, got.part<ir::ToolCall>(3).id.bytes);
    EXPECT_EQ(got.response.model.bytes, "m");
    EXPECT_EQ(got.response.created, 1751920373);
    EXPECT_EQ(got.response.usage.input, 169);
    EXPECT_EQ(got.response.usage.output, 18);
    EXPECT_EQ(got.response.choices[0].finish, ir::Finish::tool_calls);
    EXPECT_EQ(got.response.choices[0].native_finish.bytes, "stop");
    EXPECT_EQ(got.response.choices[0].logprobs.bytes,
              R"({"content":[{"token":"Hi"}],"refusal":null})");
}

TEST(OllamaResponse, TimesInOtherZonesAndTimesThatAreNone) {
    auto created = [](std::string_view time) {
        Answered got(kOllama, R"({"created_at":")" + std::string(time) +
                                  R"(","message":{"content":"x"},"done":true})");
        return got.response.created;
    };
    EXPECT_EQ(created("2024-02-29T00:00:00Z"), 1709164800);
    EXPECT_EQ(created("2024-02-29T02:00:00.5+02:00"), 1709164800);
    EXPECT_EQ(created("2024-02-28T16:00:00-08:00"), 1709164800);
    EXPECT_EQ(created("1970-01-01T00:00:00Z"), 0);
    EXPECT_EQ(created("yesterday"), 0);
    EXPECT_EQ(created("2024-13-01T00:00:00Z"), 0);
}

TEST(OllamaResponse, Gotcha86_WhatIsNoAnswerFails) {
    for (std::string_view body : {"{}", "[]", R"({"error":"no such model"})",
                                  R"({"message":{"content":"x"},"error":"late"})"}) {
        Answered got(kOllama, body);
        EXPECT_FALSE(got.status) << body;
    }
}

}  // namespace
}  // namespace llm::provider_testing
