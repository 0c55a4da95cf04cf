// Streams of Cohere's v2 chat. Every stream is decoded whole, cut in two at every byte, and byte by
// byte: the events must be the same.
#include "t/check/dialect_check.hpp"
#include "t/check/pump.hpp"
#include "t/unit/provider_testing.hpp"

namespace llm::provider_testing {
namespace {

std::string frame(std::string_view type, std::string_view members) {
    std::string name(type);
    return "event: " + name + "\ndata: {\"type\":\"" + name + "\"" + (members.empty() ? "" : ",") +
           std::string(members) + "}\n\n";
}

const std::string kStart = frame("message-start", R"("id":"a","delta":{"message":{"role":)"
                                                  R"("assistant","content":[],"tool_plan":""}})");

std::string message(std::string_view type, int index, std::string_view members) {
    return frame(type, "\"index\":" + std::to_string(index) + ",\"delta\":{\"message\":{" +
                           std::string(members) + "}}");
}

std::string text(int index, std::string_view text) {
    return message("content-delta", index, "\"content\":{\"text\":\"" + std::string(text) + "\"}");
}

std::string call_start(int index, std::string_view id, std::string_view name) {
    return message("tool-call-start", index,
                   R"("tool_calls":{"id":")" + std::string(id) +
                       R"(","type":"function","function":{"name":")" + std::string(name) +
                       R"(","arguments":""}})");
}

std::string arguments(int index, std::string_view fragment) {
    return message("tool-call-delta", index,
                   R"("tool_calls":{"function":{"arguments":")" + std::string(fragment) + "\"}}");
}

std::string call_end(int index) {
    return frame("tool-call-end", "\"index\":" + std::to_string(index));
}

std::string message_end(std::string_view finish, std::string_view more = {}) {
    return frame("message-end", R"("delta":{"finish_reason":")" + std::string(finish) +
                                    R"(","usage":{"billed_units":{"input_tokens":1},"tokens":)"
                                    R"({"input_tokens":5,"output_tokens":2}})" +
                                    std::string(more) + "}") +
           "data: [DONE]\n\n";
}

Lines decode(std::string_view stream) {
    return provider_testing::decode(kCohere, stream);
}

TEST(CohereDecoder, ThoughtsThenText) {
    EXPECT_EQ(
        decode(kStart +
               message("content-start", 0, R"("content":{"type":"thinking","thinking":""})") +
               message("content-delta", 0, R"("content":{"thinking":"Hm \u00e9"})") +
               frame("content-end", R"("index":0)") +
               message("content-start", 1, R"("content":{"type":"text","text":"H"})") +
               text(1, "i") + frame("content-end", R"("index":1)") + message_end("COMPLETE")),
        (Lines{"start a ", "open 0 reasoning", "delta 0 Hm \\u00e9", "close 0", "open 1 text",
               "delta 1 H", "delta 1 i", "close 1", "usage 5+2", "finish stop (COMPLETE)", "end"}));
}

TEST(CohereDecoder, APlanThenTwoCalls) {
    EXPECT_EQ(
        decode(kStart + frame("tool-plan-delta", R"("delta":{"message":{"tool_plan":"I will"}})") +
               call_start(0, "c1", "add") + arguments(0, "{\\\"q\\\":") + arguments(0, "1}") +
               call_end(0) + call_start(1, "c2", "mul") + arguments(1, "{}") + call_end(1) +
               message_end("TOOL_CALL")),
        (Lines{"start a ", "open 0 reasoning", "delta 0 I will", "close 0", "open 1 tool c1 add",
               "delta 1 {\\\"q\\\":", "delta 1 1}", "close 1", "open 2 tool c2 mul", "delta 2 {}",
               "close 2", "usage 5+2", "finish tool_calls (TOOL_CALL)", "end"}));
}

// Two calls at once: `{"q":1}` and `{"r":[2]}`, a piece of each in turn.
std::string interleaved() {
    return kStart + call_start(0, "c1", "add") + call_start(1, "c2", "mul") +
           arguments(0, "{\\\"q\\\":") + arguments(1, "{\\\"r\\\":[") + arguments(0, "1}") +
           call_end(0) + arguments(1, "2]}") + call_end(1) + message_end("TOOL_CALL");
}

TEST(CohereDecoder, CallsMayInterleave) {
    EXPECT_EQ(decode(interleaved()), (Lines{"start a ", "open 0 tool c1 add", "open 1 tool c2 mul",
                                            "delta 0 {\\\"q\\\":", "delta 1 {\\\"r\\\":[",
                                            "delta 0 1}", "close 0", "delta 1 2]}", "close 1",
                                            "usage 5+2", "finish tool_calls (TOOL_CALL)", "end"}));
}

TEST(CohereDecoder, Gotcha31_InterleavedCallsAreWholeForEveryClient) {
    for (DialectId client : check::client_dialects()) {
        if (check::check_of(client).is_text_only) {
            continue;
        }
        check::Problems problems;
        check::Answer got = check::read_stream(
            client, check::translate(DialectId::cohere, client, interleaved()), problems);
        EXPECT_TRUE(problems.empty()) << problems[0];
        EXPECT_TRUE(got.is_complete);
        const std::vector<check::Call> &calls = got.first().calls;
        ASSERT_EQ(calls.size(), 2u) << dialect(client).name;
        EXPECT_EQ(calls[0].name + calls[0].arguments, R"(add{"q":1})") << dialect(client).name;
        EXPECT_EQ(calls[1].name + calls[1].arguments, R"(mul{"r":[2]})") << dialect(client).name;
        EXPECT_NE(calls[0].id, calls[1].id);
    }
}

// What is held back as the start of `null` is so for each call apart.
TEST(CohereDecoder, Gotcha33_InterleavedCallsWithoutArguments) {
    Lines lines =
        decode(kStart + call_start(0, "c", "f") + call_start(1, "d", "g") + arguments(0, "nu") +
               arguments(1, "nul") + arguments(0, "ll") + arguments(1, "lable") + call_end(1) +
               call_end(0) + message_end("TOOL_CALL"));
    EXPECT_EQ(lines, (Lines{"start a ", "open 0 tool c f", "open 1 tool d g", "delta 1 nul",
                            "delta 1 lable", "close 1", "delta 0 {}", "close 0", "usage 5+2",
                            "finish tool_calls (TOOL_CALL)", "end"}));
}

// Imitators: calls without an end, or all of one index, or of none.
TEST(CohereDecoder, CallsWithoutAnEndOrAnIndex) {
    Lines expected = {"start a ", "open 0 tool c f", "delta 0 {}",
                      "close 0",  "open 1 tool d g", "delta 1 []",
                      "close 1",  "usage 5+2",       "finish tool_calls (TOOL_CALL)",
                      "end"};
    std::string stream = kStart + call_start(0, "c", "f") + arguments(0, "{}") +
                         call_start(0, "d", "g") + arguments(0, "[]") + message_end("TOOL_CALL");
    EXPECT_EQ(decode(stream), expected);
    for (size_t at; (at = stream.find("\"index\":0,")) != std::string::npos;) {
        stream.erase(at, std::string_view("\"index\":0,").size());
    }
    EXPECT_EQ(decode(stream), expected);
    Lines both = decode(kStart + call_start(0, "c", "f") + arguments(0, "{}") +
                        call_start(1, "d", "g") + arguments(1, "[]") + message_end("TOOL_CALL"));
    EXPECT_EQ(both,
              (Lines{"start a ", "open 0 tool c f", "delta 0 {}", "open 1 tool d g", "delta 1 []",
                     "close 0", "close 1", "usage 5+2", "finish tool_calls (TOOL_CALL)", "end"}));
}

TEST(CohereDecoder, Gotcha33_NullAndEmptyArgumentsAreAnEmptyObject) {
    Lines empty = decode(kStart + call_start(0, "c", "f") + call_end(0) + message_end("TOOL_CALL"));
    EXPECT_EQ(empty[1], "open 0 tool c f");
    EXPECT_EQ(empty[2], "delta 0 {}");
    EXPECT_EQ(empty[3], "close 0");
    EXPECT_EQ(decode(kStart + call_start(0, "c", "f") + arguments(0, "nu") + arguments(0, "ll") +
                     call_end(0) + message_end("TOOL_CALL")),
              empty);
    EXPECT_EQ(decode(kStart + call_start(0, "c", "f") + arguments(0, " null ") +
                     message_end("TOOL_CALL")),
              empty);
}

TEST(CohereDecoder, WhatOnlyBeginsLikeNullIsKept) {
    Lines lines = decode(kStart + call_start(0, "c", "f") + arguments(0, "nul") +
                         arguments(0, "lable") + message_end("TOOL_CALL"));
    EXPECT_EQ(lines[2] + lines[3], "delta 0 nuldelta 0 lable");
    lines = decode(kStart + call_start(0, "c", "f") + arguments(0, "nul") + call_end(0) +
                   message_end("TOOL_CALL"));
    EXPECT_EQ(lines[2], "delta 0 nul");
    lines = decode(kStart + call_start(0, "c", "f") + arguments(0, " ") + arguments(0, "{}") +
                   message_end("TOOL_CALL"));
    EXPECT_EQ(lines[2] + lines[3], "delta 0  delta 0 {}");
}

TEST(CohereDecoder, CitationsStandInTheirText) {
    std::string citation =
        R"({"start":0,"end":2,"text":"Hi","sources":[{"type":"document","id":"doc:0",)"
        R"("document":{"title":"T","url":"https://u"}}],"type":"TEXT_CONTENT","content_index":0})";
    std::string cite = message("citation-start", 0, "\"citations\":" + citation) +
                       frame("citation-end", "\"index\":0");
    Lines expected = {
        "start a ",  "open 0 text", "delta 0 Hi", "cite 0 " + citation + " = https://u 0 to 2",
        "delta 0 !", "close 0",     "usage 5+2",  "finish stop (COMPLETE)",
        "end"};
    EXPECT_EQ(decode(kStart + text(0, "Hi") + cite + text(0, "!") + message_end("COMPLETE")),
              expected);
    // Behind the end of the block as well.
    Lines late = decode(kStart + text(0, "Hi") + frame("content-end", "\"index\":0") + cite +
                        message_end("COMPLETE"));
    EXPECT_EQ(late[3], "cite 0 " + citation + " = https://u 0 to 2");
}

TEST(CohereDecoder, CitationsInCommonTerms) {
    struct Sink final : ir::EventSink {
        void on_event(const ir::StreamEvent &event) override {
            if (event.kind == ir::EventKind::cite) {
                EXPECT_EQ(event.origin, DialectId::cohere);
                ASSERT_NE(event.citation, nullptr);
                url = event.citation->url.bytes;
                title = event.citation->title.bytes;
                start = event.citation->start;
                end = event.citation->end;
            }
        }
        std::string url, title;
        int64_t start = 0, end = 0;
    } sink;
    std::string stream =
        kStart + text(0, "abc") +
        message("citation-start", 0,
                R"("citations":{"start":1,"end":2,"text":"b","sources":[{"type":"tool",)"
                R"("id":"https://id","tool_output":{"title":"T"}}],"type":"TEXT_CONTENT"})") +
        message_end("COMPLETE");
    Padded bytes(stream);
    auto decoder = kCohere.make_decoder();
    decoder->feed(bytes.view(), sink);
    EXPECT_EQ(sink.url, "https://id");
    EXPECT_EQ(sink.title, "T");
    EXPECT_EQ(sink.start, 1);
    EXPECT_EQ(sink.end, 2);
}

TEST(CohereDecoder, CitationsOfPlansAndOtherBlocksAreLeftOut) {
    for (std::string_view what :
         {R"("type":"PLAN")", R"("type":"TEXT_CONTENT","content_index":7)"}) {
        Lines lines =
            decode(kStart + text(0, "Hi") +
                   message("citation-start", 0,
                           R"("citations":{"start":0,"end":1,)" + std::string(what) + "}") +
                   message_end("COMPLETE"));
        EXPECT_EQ(lines[3], "close 0") << what;
    }
}

TEST(CohereDecoder, FinishReasons) {
    auto finish = [](std::string_view native) {
        Lines lines = decode(kStart + text(0, "x") + message_end(native));
        return lines[lines.size() - 2];
    };
    EXPECT_EQ(finish("STOP_SEQUENCE"), "finish stop_sequence (STOP_SEQUENCE)");
    EXPECT_EQ(finish("MAX_TOKENS"), "finish length (MAX_TOKENS)");
    EXPECT_EQ(finish("ERROR_TOXIC"), "finish content_filter (ERROR_TOXIC)");
    EXPECT_EQ(finish("SOMETHING"), "finish other (SOMETHING)");
}

TEST(CohereDecoder, Gotcha40_OnlyACompleteTurnWithCallsIsAToolCall) {
    Lines lines = decode(kStart + call_start(0, "c", "f") + message_end("COMPLETE"));
    EXPECT_EQ(lines[lines.size() - 2], "finish tool_calls (COMPLETE)");
    lines = decode(kStart + call_start(0, "c", "f") + message_end("MAX_TOKENS"));
    EXPECT_EQ(lines[lines.size() - 2], "finish length (MAX_TOKENS)");
}

TEST(CohereDecoder, Gotcha85_AnErrorAtTheEndIsAnError) {
    Lines lines = decode(kStart + text(0, "x") +
                         message_end("ERROR", R"(,"error":"too many tokens: size limit")"));
    EXPECT_EQ(lines.back(), "error context_length");
    EXPECT_EQ(lines[lines.size() - 2], "usage 5+2");
    EXPECT_EQ(decode(kStart + message_end("ERROR")).back(), "error upstream");
    EXPECT_EQ(decode(kStart + message_end("ERROR_LIMIT")).back(), "error upstream");
    EXPECT_EQ(decode(kStart + message_end("TIMEOUT")).back(), "error timeout");
}

TEST(CohereDecoder, Gotcha85_ABodyOfAnErrorInTheStreamIsAnError) {
    EXPECT_EQ(decode(kStart + "data: {\"id\":\"x\",\"message\":\"incorrect api key\"}\n\n").back(),
              "error authentication");
    EXPECT_EQ(decode(kStart + "event: error\ndata: oops\n\n" + text(0, "x")).back(),
              "error upstream");
}

TEST(CohereDecoder, Case1_ACutStreamIsAnError) {
    EXPECT_EQ(decode(kStart + text(0, "half")).back(), "error stream_truncated");
    EXPECT_EQ(decode("").back(), "error stream_truncated");
    EXPECT_EQ(decode(kStart + text(0, "half") + "data: [DONE]\n\n").back(),
              "error stream_truncated");
}

TEST(CohereDecoder, Gotcha7_TheEndOfTheMessageIsEnough) {
    std::string stream = kStart + text(0, "x") + message_end("COMPLETE");
    Lines whole = decode(stream);
    stream.resize(stream.size() - std::string_view("data: [DONE]\n\n").size());
    EXPECT_EQ(decode(stream), whole);
    EXPECT_EQ(decode(stream + text(0, "never")), whole);
}

TEST(CohereDecoder, UnknownEventsAreIgnoredAndBrokenOnesAreNot) {
    Lines lines = decode(kStart + frame("debug", "\"x\":1") + "data: [1]\n\n" + text(0, "x") +
                         message_end("COMPLETE"));
    EXPECT_EQ(lines.back(), "end");
    EXPECT_EQ(decode(kStart + "data: {\"type\":\n\n" + message_end("COMPLETE")).back(),
              "error upstream_protocol");
}

TEST(CohereDecoder, ArgumentsOfACallThatIsNotOpenAreAnError) {
    std::string over = kStart + call_start(0, "c", "f") + call_end(0);
    EXPECT_EQ(decode(over + arguments(0, "{}")).back(), "error upstream_protocol");
    EXPECT_EQ(decode(over + message("tool-call-delta", 0,
                                    R"("tool_calls":{"function":{"arguments":{"a":1}}})"))
                  .back(),
              "error upstream_protocol");
    EXPECT_EQ(decode(kStart + call_start(0, "c", "f") + arguments(1, "{}")).back(),
              "error upstream_protocol");
}

TEST(CohereDecoder, CallsOfOneIdGetAnother) {
    Lines lines = decode(kStart + call_start(0, "c", "f") + call_start(1, "c", "f") +
                         call_start(2, "", "f") + message_end("TOOL_CALL"));
    EXPECT_EQ(lines[1], "open 0 tool c f");
    EXPECT_TRUE(lines[2].starts_with("open 1 tool call_")) << lines[2];
    EXPECT_TRUE(lines[3].starts_with("open 2 tool call_")) << lines[3];
    EXPECT_NE(lines[2].substr(12), lines[3].substr(12));
}

TEST(CohereDecoder, TooManyCallsAreAnError) {
    std::string stream = kStart;
    for (int i = 0; i <= 256; ++i) {
        stream += call_start(i, "c" + std::to_string(i), "f");
    }
    EXPECT_EQ(decode_pieces(kCohere, {stream}).back(), "error upstream_protocol");
}

TEST(CohereDecoder, LogProbabilitiesInTheWordsOfChat) {
    Lines lines = decode(kStart +
                         frame("content-delta",
                               R"("index":0,"delta":{"message":{"content":{"text":"Hi\u00e9"}}},)"
                               R"("logprobs":{"token_ids":[1],"text":"Hi","logprobs":[-0.50]})") +
                         message_end("COMPLETE"));
    EXPECT_EQ(lines[3], R"(logprobs {"content":[{"token":"Hi","logprob":-0.50,"bytes":[72,105],)"
                        R"("top_logprobs":[]}],"refusal":null})");
}

}  // namespace
}  // namespace llm::provider_testing
