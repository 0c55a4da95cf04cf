// Streams and whole answers of Converse. Each stream is also cut at every byte.
#include <gtest/gtest.h>

#include "t/check/aws_frames.hpp"
#include "t/check/pump.hpp"
#include "translators/core/base64.hpp"
#include "translators/dialect/bedrock.hpp"

namespace llm {
namespace {

using check::Answer;
using check::aws_event;
using check::aws_exception;

std::string start() {
    return aws_event("messageStart", R"({"role":"assistant","p":"abc"})");
}

std::string delta(int index, std::string_view inside) {
    return aws_event("contentBlockDelta", R"({"contentBlockIndex":)" + std::to_string(index) +
                                              R"(,"delta":{)" + std::string(inside) + "}}");
}

std::string text(int index, std::string_view words) {
    return delta(index, R"("text":")" + std::string(words) + "\"");
}

std::string begin(int index, std::string_view inside) {
    return aws_event("contentBlockStart", R"({"contentBlockIndex":)" + std::to_string(index) +
                                              R"(,"start":{)" + std::string(inside) + "}}");
}

std::string begin_tool(int index, std::string_view id, std::string_view name,
                       std::string_view more = {}) {
    return begin(index, R"("toolUse":{"toolUseId":")" + std::string(id) + R"(","name":")" +
                            std::string(name) + "\"" + std::string(more) + "}");
}

std::string input(int index, std::string_view fragment) {
    return delta(index, R"("toolUse":{"input":")" + std::string(fragment) + "\"}");
}

std::string stop_block(int index) {
    return aws_event("contentBlockStop", R"({"contentBlockIndex":)" + std::to_string(index) + "}");
}

std::string stop(std::string_view reason) {
    return aws_event("messageStop", R"({"stopReason":")" + std::string(reason) + "\"}");
}

std::string usage(std::string_view members = R"("inputTokens":3,"outputTokens":2)") {
    return aws_event("metadata", R"({"usage":{)" + std::string(members) + "}}");
}

Answer decode(const std::string &stream) {
    check::EventLog whole = check::decode(DialectId::bedrock, stream);
    EXPECT_TRUE(whole.problems().empty()) << whole.problems()[0];
    check::Cuts all;
    for (size_t cut = 1; cut < stream.size(); ++cut) {
        EXPECT_EQ(check::decode(DialectId::bedrock, stream, {cut}).transcript(), whole.transcript())
            << "cut at " << cut;
        all.push_back(cut);
    }
    EXPECT_EQ(check::decode(DialectId::bedrock, stream, all).transcript(), whole.transcript());
    return whole.answer();
}

Answer parse(std::string_view body) {
    check::Document document(body);
    Arena arena;
    ir::Response response;
    Status status = kBedrock.parse_response(document.root(), arena, response);
    EXPECT_TRUE(status) << status.error().what;
    return check::answer_of(response, DialectId::bedrock);
}

TEST(ConverseStream, TextAndACallWithUsageBehindTheStopReason) {
    Answer answer = decode(start() + text(0, "He") + text(0, "llo \\ud83d") + text(0, "\\ude00") +
                           stop_block(0) + begin_tool(1, "tooluse_1", "look") + input(1, "{\\\"c") +
                           input(1, "\\\":1}") + stop_block(1) + stop("tool_use") +
                           usage(R"("inputTokens":415,"outputTokens":195)"));
    EXPECT_TRUE(answer.is_complete);
    EXPECT_EQ(answer.first().text, "Hello \xf0\x9f\x98\x80");
    ASSERT_EQ(answer.first().calls.size(), 1u);
    EXPECT_EQ(answer.first().calls[0].id, "tooluse_1");
    EXPECT_EQ(answer.first().calls[0].arguments, "{\"c\":1}");
    EXPECT_EQ(answer.first().finish, "tool_calls");
    EXPECT_EQ(answer.first().native, "tool_use");
    EXPECT_EQ(answer.usage.input, 415);
    EXPECT_EQ(answer.usage.output, 195);
}

TEST(ConverseStream, ANewIndexEndsTheBlockBeforeIt) {
    Answer answer = decode(start() + delta(0, R"("reasoningContent":{"text":"Hm"})") +
                           delta(0, R"("reasoningContent":{"signature":"SIG"})") + text(1, "A") +
                           begin_tool(2, "i", "f") + begin_tool(3, "j", "g") + input(3, "{}") +
                           stop("end_turn") + usage());
    EXPECT_TRUE(answer.is_complete);
    EXPECT_EQ(answer.first().reasoning, "Hm");
    EXPECT_EQ(answer.first().signatures, std::vector<std::string>{"SIG"});
    EXPECT_EQ(answer.first().text, "A");
    ASSERT_EQ(answer.first().calls.size(), 2u);
    EXPECT_EQ(answer.first().calls[0].arguments, "{}");  // without any fragment
    EXPECT_EQ(answer.first().finish, "tool_calls");
}

TEST(ConverseStream, Gotcha68RedactedThoughtsAreDecodedOnceAndEncodedOnTheWayBack) {
    Arena arena;
    std::string blob(encode_base64("EtkECk==", arena));
    Answer answer =
        decode(start() + delta(0, R"("reasoningContent":{"redactedContent":")" + blob + "\"}") +
               stop_block(0) + text(1, "A") + stop("end_turn"));
    EXPECT_EQ(answer.first().redacted, std::vector<std::string>{"EtkECk=="});
    EXPECT_EQ(bedrock::wrap_redacted({"EtkECk=="}, arena).bytes, blob);
    // What is no text keeps its wrapping, and goes back as it came.
    std::string binary(encode_base64("\x01\xff", arena));
    JsonText kept = bedrock::unwrap_redacted({binary}, arena);
    EXPECT_EQ(bedrock::wrap_redacted(kept, arena).bytes, binary);
}

TEST(ConverseStream, Gotcha54ToolsOfTheServiceAreNoCallsForTheClient) {
    std::string served =
        start() + begin_tool(0, "s", "nova_grounding", R"(,"type":"server_tool_use")") +
        input(0, "{\\\"q\\\":1}") + stop_block(0) +
        begin(1, R"("toolResult":{"toolUseId":"s","status":"success"})") +
        delta(1, R"("toolResult":[{"text":"x"},{"json":{"a":1}}])") + stop_block(1);
    check::EventLog log = check::decode(DialectId::bedrock, served + stop("tool_use") + usage());
    EXPECT_NE(log.transcript().find(R"({"toolUse":{"toolUseId":"s","name":"nova_grounding",)"
                                    R"("type":"server_tool_use","input":{"q":1}}})"),
              std::string::npos)
        << log.transcript();
    EXPECT_NE(log.transcript().find(R"("content":[{"text":"x"},{"json":{"a":1}}]}})"),
              std::string::npos)
        << log.transcript();
    Answer answer = decode(served + stop("tool_use") + usage());
    EXPECT_TRUE(answer.first().calls.empty());
    EXPECT_EQ(answer.first().server_blocks, 2u);
    EXPECT_EQ(answer.first().finish, "stop");
    // Beside them a call of the client's own tool, whose type the service says as well.
    answer = decode(served + begin_tool(2, "c", "mine", R"(,"type":"tool_use")") + stop_block(2) +
                    stop("tool_use"));
    ASSERT_EQ(answer.first().calls.size(), 1u);
    EXPECT_EQ(answer.first().calls[0].name, "mine");
    EXPECT_EQ(answer.first().finish, "tool_calls");
}

TEST(ConverseStream, ExceptionsEndItWithTheirClass) {
    struct Row {
        std::string_view name, text, error_class;
    };
    for (const Row &row : {
             Row{"throttlingException", "Too many requests", "rate_limit"},
             Row{"modelStreamErrorException", "broke", "upstream"},
             Row{"internalServerException", "broke", "upstream"},
             Row{"serviceUnavailableException", "busy", "overloaded"},
             Row{"modelNotReadyException", "busy", "overloaded"},
             Row{"modelTimeoutException", "late", "timeout"},
             Row{"validationException", "bad", "invalid_request"},
             Row{"validationException", "Input is too long for requested model.", "context_length"},
             Row{"accessDeniedException", "no", "permission"},
             Row{"expiredTokenException", "old", "authentication"},
             Row{"somethingNew", "new", "upstream"},
         }) {
        std::string payload = R"({"message":")" + std::string(row.text) + "\"}";
        Answer answer =
            decode(start() + text(0, "A") + aws_exception(row.name, payload) + stop("end_turn"));
        EXPECT_TRUE(answer.has_error);
        EXPECT_FALSE(answer.is_complete);
        EXPECT_EQ(answer.error_class, row.error_class) << row.name;
        EXPECT_EQ(answer.error_message, row.text);
    }
    Answer unmodelled =
        decode(start() + check::aws_message(check::AwsHeaders{{":message-type", "error"},
                                                              {":error-code", "InternalFailure"},
                                                              {":error-message", "It broke."}},
                                            ""));
    EXPECT_EQ(unmodelled.error_class, "upstream");
    EXPECT_EQ(unmodelled.error_message, "It broke.");
}

TEST(ConverseStream, ItIsCompleteWithItsStopReasonAndNoSooner) {
    std::string head = start() + text(0, "A") + stop_block(0);
    EXPECT_EQ(decode(head).error_class, "stream_truncated");
    EXPECT_EQ(decode("").error_class, "stream_truncated");
    EXPECT_TRUE(decode(head + stop("end_turn")).is_complete);
    std::string whole = head + stop("end_turn") + usage();
    EXPECT_EQ(decode(whole.substr(0, whole.size() - 1)).error_class, "stream_truncated");
}

TEST(ConverseStream, WhatCannotBeReadIsAnErrorAndWhatIsNewIsIgnored) {
    std::string corrupt = start();
    corrupt[40] = static_cast<char>(corrupt[40] ^ 1);
    EXPECT_EQ(decode(corrupt + stop("end_turn")).error_class, "upstream_protocol");
    EXPECT_EQ(decode(start() + aws_event("contentBlockDelta", "{\"delta\":")).error_class,
              "upstream_protocol");
    EXPECT_EQ(decode(start() + input(0, "{}") + stop("tool_use")).error_class, "upstream_protocol");
    EXPECT_EQ(decode(start() + begin_tool(0, "i", "") + stop("tool_use")).error_class,
              "upstream_protocol");
    Answer answer = decode(start() + aws_event("newEvent", "no json") + delta(0, R"("new":{})") +
                           delta(0, R"("text":"")") + text(0, "A") + stop("end_turn") +
                           text(0, "late") + aws_event("messageStop", "{}"));
    EXPECT_TRUE(answer.is_complete);
    EXPECT_EQ(answer.first().text, "A");
    EXPECT_EQ(answer.first().finish, "stop");
}

TEST(ConverseStream, Case41CallsHaveIdsOfTheirOwn) {
    Answer answer = decode(start() + begin_tool(0, "a", "f") + begin_tool(1, "a", "g") +
                           begin_tool(2, "", "h") + stop("tool_use"));
    ASSERT_EQ(answer.first().calls.size(), 3u);
    EXPECT_EQ(answer.first().calls[0].id, "a");
    EXPECT_TRUE(answer.first().calls[1].id.starts_with("call_"));
    EXPECT_TRUE(answer.first().calls[2].id.starts_with("call_"));
    EXPECT_NE(answer.first().calls[1].id, answer.first().calls[2].id);
}

class Sink final : public ir::EventSink {
  public:
    void on_event(const ir::StreamEvent &event) override {
        if (event.kind == ir::EventKind::cite) {
            raw = event.raw.bytes;
            origin = event.origin;
            url = event.citation->url.bytes;
            title = event.citation->title.bytes;
            quote = event.citation->quote.bytes;
        }
        if (event.kind == ir::EventKind::open && event.block_kind == ir::BlockKind::image) {
            mime = event.name.bytes;
            data = event.text.bytes;
        }
    }
    std::string raw, url, title, quote, mime, data;
    DialectId origin = DialectId::openai;
};

Sink sink_of(std::string stream) {
    Sink sink;
    std::unique_ptr<Decoder> decoder = kBedrock.make_decoder();
    size_t size = stream.size();
    stream.append(json::kPadding, '\0');
    decoder->feed({stream.data(), size}, sink);
    decoder->finish(sink);
    return sink;
}

TEST(ConverseStream, CitationsComeRawAndInCommonTerms) {
    std::string citation =
        R"({"title":"T","sourceContent":[{"text":"q"}],"location":{"web":{"url":"https://h/"}}})";
    Sink sink =
        sink_of(start() + text(0, "A") + delta(0, "\"citation\":" + citation) + stop("end_turn"));
    EXPECT_EQ(sink.raw, citation);
    EXPECT_EQ(sink.origin, DialectId::bedrock);
    EXPECT_EQ(sink.url, "https://h/");
    EXPECT_EQ(sink.title, "T");
    EXPECT_EQ(sink.quote, "q");
}

TEST(ConverseStream, AnImageInSeveralDeltasIsOne) {
    Sink sink = sink_of(start() + begin(0, R"("image":{"format":"png"})") +
                        delta(0, R"("image":{"source":{"bytes":"Zm8="}})") +
                        delta(0, R"("image":{"source":{"bytes":"bw=="}})") + stop_block(0) +
                        stop("end_turn"));
    EXPECT_EQ(sink.mime, "image/png");
    EXPECT_EQ(sink.data, "Zm9v");
}

TEST(ConverseStream, MemoryStaysWhereItIsWhileTextFlows) {
    std::unique_ptr<Decoder> decoder = kBedrock.make_decoder();
    Sink sink;
    size_t before = 0;
    for (int i = 0; i < 200; ++i) {
        std::string bytes = i == 0 ? start() : text(0, "word ");
        size_t size = bytes.size();
        bytes.append(json::kPadding, '\0');
        decoder->feed({bytes.data(), size / 2}, sink);
        decoder->feed({bytes.data() + size / 2, size - size / 2}, sink);
        before = i == 2 ? decoder->memory() : before;
    }
    EXPECT_EQ(decoder->memory(), before);
}

TEST(ConverseAnswer, ABodySaysWhatAStreamSays) {
    Answer answer = parse(
        R"({"metrics":{"latencyMs":1},"output":{"message":{"role":"assistant","content":[)"
        R"({"reasoningContent":{"reasoningText":{"text":"Hm","signature":"SIG"}}},)"
        R"({"text":"A"},{"citationsContent":{"content":[{"text":"B"},{"text":"C"}],)"
        R"("citations":[{"title":"T"}]}},)"
        R"({"toolUse":{"toolUseId":"s","name":"nova_grounding","type":"server_tool_use",)"
        R"("input":{}}},{"toolResult":{"toolUseId":"s","content":[]}},)"
        R"({"toolUse":{"toolUseId":"i","name":"f","input":{"b":1,"a":12345678901234567890}}},)"
        R"({"toolUse":{"toolUseId":"i","name":"g"}}]}},"stopReason":"tool_use","usage":)"
        R"({"inputTokens":3,"outputTokens":121,"totalTokens":2072,"cacheReadInputTokens":1712,)"
        R"("cacheReadInputTokenCount":1712,"cacheWriteInputTokens":236,"cacheDetails":)"
        R"([{"inputTokens":36,"ttl":"5m"},{"inputTokens":200,"ttl":"1h"}]}})");
    EXPECT_EQ(answer.first().reasoning, "Hm");
    EXPECT_EQ(answer.first().signatures, std::vector<std::string>{"SIG"});
    EXPECT_EQ(answer.first().text, "ABC");
    EXPECT_EQ(answer.first().server_blocks, 2u);
    ASSERT_EQ(answer.first().calls.size(), 2u);
    EXPECT_EQ(answer.first().calls[0].arguments, R"({"b":1,"a":12345678901234567890})");
    EXPECT_EQ(answer.first().calls[1].arguments, "{}");
    EXPECT_NE(answer.first().calls[1].id, "i");
    EXPECT_EQ(answer.first().finish, "tool_calls");
    EXPECT_EQ(answer.usage.input, 1951);
    EXPECT_EQ(answer.usage.cache_read, 1712);
    EXPECT_EQ(answer.usage.cache_write, 236);
    EXPECT_EQ(answer.usage.cache_write_5m, 36);
    EXPECT_EQ(answer.usage.cache_write_1h, 200);
    EXPECT_EQ(answer.usage.output, 121);
}

TEST(ConverseAnswer, OlderNamesOfTheCountsAndNonsenseInThem) {
    check::Document older(R"({"inputTokens":1,"cacheReadInputTokenCount":7,"outputTokens":-5})");
    Usage usage;
    bedrock::read_usage(older.root(), usage);
    EXPECT_EQ(usage.input, 8);
    EXPECT_EQ(usage.cache_read, 7);
    EXPECT_EQ(usage.output, 0);
    EXPECT_FALSE(usage.known);
    check::Document huge(R"({"inputTokens":9223372036854775807,"cacheReadInputTokens":5})");
    bedrock::read_usage(huge.root(), usage);
    EXPECT_EQ(usage.input, 0);  // it is not believed
    EXPECT_EQ(usage.cache_read, 0);
    EXPECT_FALSE(usage.known);
}

TEST(ConverseAnswer, StopReasons) {
    using ir::Finish;
    struct Row {
        std::string_view name;
        Finish without, with;  // calls
    };
    for (const Row &row : {
             Row{"end_turn", Finish::stop, Finish::tool_calls},
             Row{"tool_use", Finish::stop, Finish::tool_calls},
             Row{"", Finish::stop, Finish::tool_calls},
             Row{"max_tokens", Finish::length, Finish::length},
             Row{"stop_sequence", Finish::stop_sequence, Finish::stop_sequence},
             Row{"guardrail_intervened", Finish::content_filter, Finish::content_filter},
             Row{"content_filtered", Finish::content_filter, Finish::content_filter},
             Row{"model_context_window_exceeded", Finish::context_length, Finish::context_length},
             Row{"malformed_model_output", Finish::malformed, Finish::malformed},
             Row{"malformed_tool_use", Finish::malformed, Finish::malformed},
             Row{"something", Finish::other, Finish::other},
         }) {
        EXPECT_EQ(bedrock::finish_of({row.name}, false), row.without) << row.name;
        EXPECT_EQ(bedrock::finish_of({row.name}, true), row.with) << row.name;
    }
}

TEST(ConverseAnswer, WhatIsNoAnswerIsRefused) {
    for (std::string_view body : {R"({"message":"x"})", R"({"output":{}})", R"([])",
                                  R"({"output":{"message":{"content":[1]}}})",
                                  R"({"output":{"message":{"content":[{"toolUse":{}}]}}})"}) {
        check::Document document(body);
        Arena arena;
        ir::Response response;
        Status status = kBedrock.parse_response(document.root(), arena, response);
        ASSERT_FALSE(status) << body;
        EXPECT_EQ(status.error().code, Errc::upstream_protocol);
    }
}

}  // namespace
}  // namespace llm
