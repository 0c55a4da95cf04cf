// Chat completion streams as providers send them, quirks included. Every stream is decoded whole,
// cut in two at every byte, and byte by byte (case 11): the events must be the same.
#include "t/check/pump.hpp"
#include "t/unit/openai_testing.hpp"

namespace llm::openai_testing {
namespace {

using Lines = std::vector<std::string>;

TEST(ChatDecoder, TextEndsWithUsageAfterTheFinishReason) {
    EXPECT_EQ(
        decode(stream_of({delta(R"("role":"assistant","content":"","refusal":null)"),
                          delta(R"("content":"Hi \u00e9")"), delta("", R"("stop")"),
                          R"("choices":[],"usage":{"prompt_tokens":5,"completion_tokens":2})"})),
        (Lines{"start a m", "open 0 text", "delta 0 Hi \\u00e9", "usage 5+2", "close 0",
               "finish stop (stop)", "end"}));
}

TEST(ChatDecoder, Gotcha5_AzureFirstChunkStartsNothing) {
    std::string stream =
        R"(data: {"choices":[],"created":0,"id":"","model":"","prompt_filter_results":[]})"
        "\n\n" +
        stream_of({delta(R"("content":"x")", R"("stop")")});
    EXPECT_EQ(decode(stream), (Lines{"start a m", "open 0 text", "delta 0 x", "close 0",
                                     "finish stop (stop)", "end"}));
}

TEST(ChatDecoder, UsageBeforeTheFirstChunkComesAfterTheStart) {
    std::string stream = "data: {\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":0}}\n\n" +
                         stream_of({delta(R"("content":"x")", R"("stop")")});
    EXPECT_EQ(decode(stream), (Lines{"start a m", "usage 5+0", "open 0 text", "delta 0 x",
                                     "close 0", "finish stop (stop)", "end"}));
}

TEST(ChatDecoder, CommentsCrlfAndMissingSpacesChangeNothing) {
    std::string stream = stream_of({delta(R"("content":"x")", R"("stop")")});
    Lines expected = decode(stream);
    std::string other = ": OPENROUTER PROCESSING\r\n\r\n";
    for (size_t i = 0; i < stream.size(); ++i) {
        if (stream.substr(i, 6) == "data: ") {
            other += "data:";
            i += 5;
        } else {
            other += stream[i] == '\n' ? "\r\n" : stream.substr(i, 1);
        }
    }
    EXPECT_EQ(decode(other), expected);
}

TEST(ChatDecoder, Case1_CutStreamIsAnErrorNotAnEnd) {
    Lines lines = decode(stream_of({delta(R"("content":"half")")}, false));
    EXPECT_EQ(lines.back(), "error stream_truncated");
    EXPECT_EQ(lines.size(), 4u);
}

TEST(ChatDecoder, Case1_CutInsideTheLastFrame) {
    std::string stream = stream_of({delta(R"("content":"half")", R"("stop")")}, false);
    stream.resize(stream.size() - 9);
    EXPECT_EQ(decode(stream).back(), "error stream_truncated");
}

TEST(ChatDecoder, Case8_FinishReasonAndEndOfInputAreEnough) {
    Lines lines = decode(stream_of({delta(R"("content":"x")"), delta("", R"("length")")}, false));
    EXPECT_EQ(lines.back(), "end");
    EXPECT_EQ(lines[lines.size() - 2], "finish length (length)");
}

TEST(ChatDecoder, Case8_ChatCompletionDoneEndsPerplexity) {
    Lines lines = decode(stream_of(
        {R"("object":"chat.completion.done","choices":[{"index":0,"message":{"content":"1 2"},)"
         R"("delta":{"content":"2"},"finish_reason":"stop"}])",
         delta(R"("content":"never")")},
        false));
    EXPECT_EQ(lines, (Lines{"start a m", "open 0 text", "delta 0 2", "close 0",
                            "finish stop (stop)", "end"}));
}

TEST(ChatDecoder, Gotcha100_DoneEndsAStreamWithoutFinishReason) {
    std::string stream =
        stream_of({delta(R"("content":"x","tool_calls":null,"refusal":"")") + R"(,"usage":null)"});
    Lines lines = decode(stream);
    EXPECT_EQ(lines[lines.size() - 2], "finish stop ()");
}

TEST(ChatDecoder, DoneWithoutAnAnswerIsAnError) {
    EXPECT_EQ(decode("data: [DONE]\n\n"), Lines{"error upstream_protocol"});
    EXPECT_EQ(decode(""), Lines{"error stream_truncated"});
}

TEST(ChatDecoder, Case7_Gotcha111_MalformedFrameIsAnErrorAndTheLastEvent) {
    std::string stream = stream_of({delta(R"("content":"x")")}, false) +
                         "data: {\"choices\":[\n\n" + stream_of({delta(R"("content":"y")")});
    EXPECT_EQ(decode(stream).back(), "error upstream_protocol");
    EXPECT_EQ(decode("data: 1\n\ndata: [1]\n\n" + stream_of({delta("", R"("stop")")})).back(),
              "end");
}

TEST(ChatDecoder, Case41_ParallelToolCalls) {
    EXPECT_EQ(
        decode(stream_of(
            {delta(R"("content":null,"tool_calls":[{"index":0,"id":"c1","type":"function",)"
                   R"("function":{"name":"add","arguments":""}}])"),
             delta(R"("tool_calls":[{"index":0,"function":{"arguments":"{\"a\""}}])"),
             delta(R"("tool_calls":[{"index":0,"function":{"arguments":":1}"}}])"),
             delta(
                 R"("tool_calls":[{"index":1,"id":"c2","function":{"name":"mul","arguments":""}}])"),
             delta(R"("tool_calls":[{"index":1,"function":{"arguments":"{}"}}])"),
             delta("", R"("tool_calls")")})),
        (Lines{"start a m", "open 0 tool c1 add", R"(delta 0 {\"a\")", "delta 0 :1}", "close 0",
               "open 1 tool c2 mul", "delta 1 {}", "close 1", "finish tool_calls (tool_calls)",
               "end"}));
}

TEST(ChatDecoder, Case41_TheSecondCallWithAnIdGetsAnotherOne) {
    Lines lines = decode(stream_of(
        {delta(R"("tool_calls":[{"index":0,"id":"c","function":{"name":"f","arguments":"{}"}}])"),
         delta(R"("tool_calls":[{"index":1,"id":"c","function":{"name":"g","arguments":"{"}}])"),
         delta(R"("tool_calls":[{"index":1,"id":"c","function":{"arguments":"}"}}])"),
         delta("", R"("tool_calls")")}));
    ASSERT_EQ(lines.size(), 10u);
    EXPECT_EQ(lines[1], "open 0 tool c f");
    EXPECT_EQ(lines[4].substr(0, 17), "open 1 tool call_");
    EXPECT_EQ(lines[6], "delta 1 }");
}

TEST(ChatDecoder, InterleavedCallsStayOpenUntilTheirArgumentsAreWhole) {
    Lines lines = decode(stream_of(
        {delta(
             R"("tool_calls":[{"index":0,"id":"c1","function":{"name":"f","arguments":"{\"s\":\"}"}}])"),
         delta(R"("tool_calls":[{"index":1,"id":"c2","function":{"name":"g","arguments":"{"}}])"),
         delta(R"("tool_calls":[{"index":0,"function":{"arguments":"\"}"}}])"),
         delta(R"("tool_calls":[{"index":1,"function":{"arguments":"}"}}])"),
         delta("", R"("tool_calls")")}));
    EXPECT_EQ(lines, (Lines{"start a m", "open 0 tool c1 f", R"(delta 0 {\"s\":\"})",
                            "open 1 tool c2 g", "delta 1 {", R"(delta 0 \"})", "close 0",
                            "delta 1 }", "close 1", "finish tool_calls (tool_calls)", "end"}));
}

TEST(ChatDecoder, Gotcha35_NullAndEmptyMembersOfLaterDeltasMeanNothing) {
    Lines lines = decode(stream_of(
        {delta(
             R"("tool_calls":[{"index":0,"id":"c1","type":"function","function":{"name":"f","arguments":""}}])"),
         delta(
             R"("tool_calls":[{"index":0,"id":null,"type":null,"function":{"name":null,"arguments":"{"}}])"),
         delta(
             R"("tool_calls":[{"index":0,"id":"","type":"function","function":{"name":"","arguments":"}"}}])"),
         delta(R"("tool_calls":[{"index":0,"id":"","function":{"arguments":""}}])"),
         delta("", R"("tool_calls")")}));
    EXPECT_EQ(lines, (Lines{"start a m", "open 0 tool c1 f", "delta 0 {", "delta 0 }", "close 0",
                            "finish tool_calls (tool_calls)", "end"}));
}

TEST(ChatDecoder, Gotcha36_NameInPieces) {
    Lines lines = decode(stream_of(
        {delta(R"("tool_calls":[{"index":0,"id":"c1","function":{"name":"get_"}}])"),
         delta(R"("tool_calls":[{"index":0,"function":{"name":"weather","arguments":""}}])"),
         delta(R"("tool_calls":[{"index":0,"function":{"arguments":"{}"}}])"),
         delta("", R"("tool_calls")")}));
    EXPECT_EQ(lines[1], "open 0 tool c1 get_weather");
}

TEST(ChatDecoder, NameRepeatedOnEveryChunkIsOneName) {
    Lines lines = decode(stream_of(
        {delta(R"("tool_calls":[{"index":0,"id":"c1","function":{"name":"f","arguments":"{"}}])"),
         delta(R"("tool_calls":[{"index":0,"id":"c1","function":{"name":"f","arguments":"}"}}])"),
         delta("", R"("tool_calls")")}));
    EXPECT_EQ(lines, (Lines{"start a m", "open 0 tool c1 f", "delta 0 {", "delta 0 }", "close 0",
                            "finish tool_calls (tool_calls)", "end"}));
}

TEST(ChatDecoder, Gotcha37_IndexZeroForAllWithNewIds) {
    Lines lines = decode(stream_of(
        {delta(R"("tool_calls":[{"index":0,"id":"c1","function":{"name":"f","arguments":"{}"}}])"),
         delta(R"("tool_calls":[{"index":0,"id":"c2","function":{"name":"f","arguments":"{}"}}])",
               R"("stop")")}));
    EXPECT_EQ(lines,
              (Lines{"start a m", "open 0 tool c1 f", "delta 0 {}", "close 0", "open 1 tool c2 f",
                     "delta 1 {}", "close 1", "finish tool_calls (stop)", "end"}));
}

TEST(ChatDecoder, Gotcha38_CallsWithoutIdOrIndexGetIdsOfTheirOwn) {
    Lines lines = decode(stream_of(
        {delta(R"("tool_calls":[{"function":{"name":"f","arguments":{"n":12345678901234567890}}},)"
               R"({"function":{"name":"g","arguments":"{}"}}])"),
         delta(R"("tool_calls":[{"function":{"name":"f","arguments":"{}"}}])", R"("stop")")}));
    ASSERT_EQ(lines.size(), 12u);
    EXPECT_EQ(lines[1].substr(0, 19), "open 0 tool call_" + lines[1].substr(17, 2));
    EXPECT_EQ(lines[2], R"(delta 0 {\"n\":12345678901234567890})");
    EXPECT_NE(lines[1].substr(12, 29), lines[4].substr(12, 29));
    EXPECT_NE(lines[1].substr(12, 29), lines[7].substr(12, 29));
    EXPECT_EQ(lines[10], "finish tool_calls (stop)");
}

TEST(ChatDecoder, IdsWithoutIndexTellTheCallsApart) {
    Lines lines = decode(
        stream_of({delta(R"("tool_calls":[{"id":"c1","function":{"name":"f","arguments":"{"}}])"),
                   delta(R"("tool_calls":[{"function":{"arguments":"}"}}])"),
                   delta(R"("tool_calls":[{"id":"c2","function":{"name":"g","arguments":"{"}}])"),
                   delta(R"("tool_calls":[{"function":{"arguments":"}"}}])", R"("tool_calls")")}));
    EXPECT_EQ(lines, (Lines{"start a m", "open 0 tool c1 f", "delta 0 {", "delta 0 }", "close 0",
                            "open 1 tool c2 g", "delta 1 {", "delta 1 }", "close 1",
                            "finish tool_calls (tool_calls)", "end"}));
}

TEST(ChatDecoder, ArgumentsBeforeTheNameAreKept) {
    Lines lines = decode(stream_of(
        {delta(R"("tool_calls":[{"index":0,"function":{"arguments":"{\"a"}}])"),
         delta(
             R"("tool_calls":[{"index":0,"id":"c1","function":{"name":"f","arguments":"\":1}"}}])"),
         delta("", R"("tool_calls")")}));
    EXPECT_EQ(lines, (Lines{"start a m", "open 0 tool c1 f", R"(delta 0 {\"a)", R"(delta 0 \":1})",
                            "close 0", "finish tool_calls (tool_calls)", "end"}));
}

TEST(ChatDecoder, Case40_EmptyArgumentsAndHalfEscapes) {
    Lines lines = decode(stream_of(
        {delta(R"("tool_calls":[{"index":0,"id":"c1","function":{"name":"f","arguments":""}}])"),
         delta(
             R"("tool_calls":[{"index":1,"id":"c2","function":{"name":"g","arguments":"{\"e\":\"\ud83d"}}])"),
         delta(R"("tool_calls":[{"index":1,"function":{"arguments":"\ude00\"}"}}])"),
         delta("", R"("tool_calls")")}));
    EXPECT_EQ(lines, (Lines{"start a m", "open 0 tool c1 f", "open 1 tool c2 g",
                            R"(delta 1 {\"e\":\"\ud83d)", R"(delta 1 \ude00\"})", "close 0",
                            "close 1", "finish tool_calls (tool_calls)", "end"}));
}

TEST(ChatDecoder, TextAfterCallsIsANewBlock) {
    Lines lines = decode(stream_of(
        {delta(R"("content":"one")"),
         delta(R"("tool_calls":[{"index":1,"id":"c1","function":{"name":"f","arguments":"{}"}}])"),
         delta(R"("content":"")"), delta(R"("content":"two")"), delta("", R"("stop")")}));
    EXPECT_EQ(lines, (Lines{"start a m", "open 0 text", "delta 0 one", "close 0",
                            "open 1 tool c1 f", "delta 1 {}", "close 1", "open 2 text",
                            "delta 2 two", "close 2", "finish tool_calls (stop)", "end"}));
}

TEST(ChatDecoder, LegacyFunctionCall) {
    Lines lines = decode(stream_of({delta(R"("function_call":{"name":"f","arguments":""})"),
                                    delta(R"("function_call":{"arguments":"{}"})"),
                                    delta("", R"("function_call")")}));
    EXPECT_EQ(lines[1].substr(0, 18), "open 0 tool call_" + lines[1].substr(17, 1));
    EXPECT_EQ(lines[4], "finish tool_calls (function_call)");
}

TEST(ChatDecoder, Gotcha40_LengthIsNotOverriddenByCalls) {
    Lines lines = decode(stream_of(
        {delta(R"("tool_calls":[{"index":0,"id":"c1","function":{"name":"f","arguments":"{\"a"}}])",
               R"("length")")}));
    EXPECT_EQ(lines[lines.size() - 2], "finish length (length)");
}

TEST(ChatDecoder, ReasoningComesFromOneMemberOnly) {
    Lines lines = decode(stream_of(
        {delta(R"("content":null,"reasoning_content":"Hm","reasoning":"Hm")"),
         delta(R"("reasoning":"m","reasoning_details":[{"type":"reasoning.text","text":"m"}])"),
         delta(R"("reasoning_details":[{"type":"reasoning.summary","summary":"!"}])"),
         delta(R"("content":"Hi","reasoning_content":null)"), delta("", R"("stop")")}));
    std::erase_if(lines, [](const auto &line) { return line.starts_with("signature"); });
    EXPECT_EQ(lines, (Lines{"start a m", "open 0 reasoning", "delta 0 Hm", "delta 0 m", "close 0",
                            "open 1 reasoning", "delta 1 !", "close 1", "open 2 text", "delta 2 Hi",
                            "close 2", "finish stop (stop)", "end"}));
}

TEST(ChatDecoder, MistralArrayContent) {
    Lines lines = decode(stream_of(
        {delta(R"("content":[{"type":"thinking","thinking":[{"type":"text","text":"Hm"}]}])"),
         delta(R"("content":[{"type":"text","text":"A"}])"), delta(R"("content":"B")"),
         delta(R"("content":"")", R"("model_length")")}));
    EXPECT_EQ(lines,
              (Lines{"start a m", "open 0 reasoning", "delta 0 Hm", "close 0", "open 1 text",
                     "delta 1 A", "delta 1 B", "close 1", "finish length (model_length)", "end"}));
}

TEST(ChatDecoder, ImagesAreBlocksOfTheirOwn) {
    Lines lines = decode(
        stream_of({delta(R"("content":"a")"),
                   delta(R"("content":"","images":[{"type":"image_url","index":0,"image_url":)"
                         R"({"url":"data:image/png;base64,QUJD"}},{"type":"image_url","image_url":)"
                         R"({"url":"https://a.example/no.png"}}])"),
                   delta(R"("content":"b")", R"("stop")")}));
    ASSERT_EQ(lines.size(), 11u);
    EXPECT_EQ(lines[3], "close 0");
    EXPECT_TRUE(lines[4].starts_with("open 1 image")) << lines[4];
    EXPECT_EQ(lines[5], "close 1");
    EXPECT_EQ(lines[7], "delta 2 b");

    // To a client of each dialect that has a place for them.
    std::string stream = stream_of(
        {delta(R"("images":[{"image_url":{"url":"data:image/png;base64,QUJD"}}])", R"("stop")")});
    auto told = [&](DialectId client) {
        return check::translate(DialectId::openai, client, stream);
    };
    EXPECT_NE(told(DialectId::openai)
                  .find(R"("images":[{"type":"image_url","image_url":)"
                        R"({"url":"data:image/png;base64,QUJD"},"index":0}])"),
              std::string::npos);
    EXPECT_NE(
        told(DialectId::gemini).find(R"("inlineData":{"mimeType":"image/png","data":"QUJD"})"),
        std::string::npos);
    EXPECT_NE(told(DialectId::responses).find(R"("type":"image_generation_call")"),
              std::string::npos);
}

TEST(ChatDecoder, RefusalIsABlockOfItsOwn) {
    Lines lines = decode(stream_of({delta(R"("refusal":"I can")"), delta(R"("refusal":"not")"),
                                    delta("", R"("content_filter")")}));
    EXPECT_EQ(lines, (Lines{"start a m", "open 0 refusal", "delta 0 I can", "delta 0 not",
                            "close 0", "finish content_filter (content_filter)", "end"}));
}

TEST(ChatDecoder, Gotcha77_UsageInTheFinishChunkAndInXGroq) {
    Lines lines = decode(
        stream_of({delta(R"("content":"x")", R"("stop")") +
                   R"(,"x_groq":{"id":"r","usage":{"prompt_tokens":3,"completion_tokens":4}})"}));
    EXPECT_EQ(lines[1], "usage 3+4");
    lines =
        decode(stream_of({R"("choices":[{"index":0,"delta":{"content":"x"},"finish_reason":"stop",)"
                          R"("usage":{"prompt_tokens":3,"completion_tokens":4}}])"}));
    EXPECT_EQ(lines[1], "usage 3+4");
}

TEST(ChatDecoder, Gotcha85_ErrorsInsideAStream) {
    std::string text = stream_of({delta(R"("content":"x")")}, false);
    Lines lines = decode(text +
                         "event: error\ndata: {\"error\":{\"message\":\"no\",\"type\":"
                         "\"invalid_request_error\",\"code\":\"tool_use_failed\","
                         "\"status_code\":400}}\n\n");
    EXPECT_EQ(lines.back(), "error invalid_request");
    lines = decode(text +
                   "data: {\"id\":\"a\",\"error\":{\"code\":429,\"message\":\"slow\"},"
                   "\"choices\":[{\"index\":0,\"delta\":{\"content\":\"\"}}]}\n\n"
                   "data: [DONE]\n\n");
    EXPECT_EQ(lines.back(), "error rate_limit");
    lines = decode(text + "data: {\"error\":\"boom\"}\n\n");
    EXPECT_EQ(lines.back().substr(0, 6), "error ");
    lines = decode(text + "event: error\ndata: upstream gone\n\n");
    EXPECT_EQ(lines.back().substr(0, 6), "error ");
    lines = decode(text + "data: [{\"error\":{\"code\":503,\"message\":\"x\"}}]\n\n");
    EXPECT_EQ(lines.back(), "error overloaded");
    lines = decode(stream_of({delta(R"("content":"x")", R"("network_error")")}));
    EXPECT_EQ(lines.back(), "error upstream");
}

TEST(ChatDecoder, NullErrorMembersAreNoErrors) {
    EXPECT_EQ(
        decode(stream_of({delta(R"("content":"x")", R"("stop")") + R"(,"error":null)"})).back(),
        "end");
}

TEST(ChatDecoder, SeveralChoicesKeepTheirOwnBlocks) {
    Lines lines = decode(stream_of(
        {R"("choices":[{"index":1,"delta":{"content":"b"}},{"index":0,"delta":{"content":"a"}}])",
         R"("choices":[{"index":1,"delta":{"content":"B"},"finish_reason":"stop"}])",
         R"("choices":[{"index":0,"delta":{},"finish_reason":"length"}])"}));
    EXPECT_EQ(lines, (Lines{"start a m", "#1 open 0 text", "#1 delta 0 b", "open 1 text",
                            "delta 1 a", "#1 delta 0 B", "#1 close 0", "close 1",
                            "finish length (length)", "#1 finish stop (stop)", "end"}));
}

TEST(ChatDecoder, OneOfTwoChoicesUnfinishedIsTruncated) {
    Lines lines = decode(stream_of(
        {R"("choices":[{"index":1,"delta":{"content":"b"}},{"index":0,"delta":{},"finish_reason":"stop"}])"},
        false));
    EXPECT_EQ(lines.back(), "error stream_truncated");
}

TEST(ChatDecoder, LogprobsAndStopSequence) {
    Lines lines = decode(stream_of(
        {R"("choices":[{"index":0,"delta":{"content":"x"},"logprobs":{"content":[{"token":"x"}]}}])",
         R"("choices":[{"index":0,"delta":{},"logprobs":{"content":null},"finish_reason":"stop",)"
         R"("stop_reason":"END"}])"}));
    EXPECT_EQ(lines, (Lines{"start a m", "open 0 text", "delta 0 x",
                            R"(logprobs {"content":[{"token":"x"}]})", "close 0",
                            "finish stop_sequence (stop) at END", "end"}));
}

TEST(ChatDecoder, ToolIndicesAreBounded) {
    auto with_index = [](int index) {
        return decode(
            stream_of({delta(R"("tool_calls":[{"index":)" + std::to_string(index) +
                                 R"(,"id":"c","function":{"name":"f","arguments":"{}"}}])",
                             R"("tool_calls")")}));
    };
    EXPECT_EQ(with_index(255).back(), "end");
    EXPECT_EQ(with_index(256).back(), "error upstream_protocol");
    EXPECT_EQ(with_index(-1).back(), "error upstream_protocol");
}

TEST(ChatDecoder, TheNumberOfCallsIsBounded) {
    auto with_calls = [](int count) {
        std::vector<std::string> chunks;
        for (int i = 0; i < count; ++i) {
            chunks.push_back(delta(R"("tool_calls":[{"index":0,"id":"c)" + std::to_string(i) +
                                   R"(","function":{"name":"f","arguments":"{}"}}])"));
        }
        chunks.push_back(delta("", R"("tool_calls")"));
        return decode_pieces({stream_of(chunks)});
    };
    EXPECT_EQ(with_calls(256).back(), "end");
    EXPECT_EQ(with_calls(257).back(), "error upstream_protocol");
}

TEST(ChatDecoder, ArgumentsWithoutANameAreBounded) {
    std::string piece(300u << 10, 'x');
    std::vector<std::string> chunks(
        4, delta(R"("tool_calls":[{"index":0,"function":{"arguments":")" + piece + R"("}}])"));
    EXPECT_EQ(decode_pieces({stream_of(chunks)}).back(), "error upstream_protocol");
    chunks.resize(3);
    chunks.push_back(delta("", R"("stop")"));
    EXPECT_EQ(decode_pieces({stream_of(chunks)}).back(), "end");
}

TEST(ChatDecoder, MemoryStaysFlatOverALongStream) {
    std::unique_ptr<Decoder> decoder = kOpenAi.make_decoder();
    Script script;
    Padded chunk(stream_of({delta(R"("content":"some text")")}, false));
    decoder->feed(chunk.view(), script);
    size_t before = decoder->memory();
    for (int i = 0; i < 1000; ++i) {
        decoder->feed(chunk.view(), script);
    }
    EXPECT_EQ(decoder->memory(), before);
}

}  // namespace
}  // namespace llm::openai_testing
