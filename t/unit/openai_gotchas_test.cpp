// What other gateways got wrong between dialects, each with its number; those that have a place
// in the tests of one file stand there.
#include "t/unit/openai_testing.hpp"

namespace llm::openai_testing {
namespace {

// A chat stream as a messages client gets it.
std::string as_messages(std::string_view stream) {
    struct Sink final : ir::EventSink {
        void on_event(const ir::StreamEvent &event) override { encoder->event(event, out); }
        std::unique_ptr<Encoder> encoder = kAnthropic.make_encoder({});
        ByteBuffer out;
    } sink;
    std::unique_ptr<Decoder> decoder = kOpenAi.make_decoder();
    Padded bytes(stream);
    decoder->feed(bytes.view(), sink);
    decoder->finish(sink);
    return std::string(sink.out.view());
}

std::string as_messages_request(std::string_view messages) {
    Parsed parsed(with_messages(messages));
    EXPECT_TRUE(parsed.status);
    Arena arena;
    ByteBuffer out;
    json::Writer writer(out);
    Notes notes;
    EXPECT_TRUE(kAnthropic.render_request(parsed.request, {.model = "c"}, arena, writer, notes));
    return std::string(out.view());
}

bool has(std::string_view text, std::string_view part) {
    return text.find(part) != std::string_view::npos;
}

std::string call(int index, std::string_view name) {
    return R"("tool_calls":[{"index":)" + std::to_string(index) + R"(,"id":"c)" +
           std::to_string(index) + R"(","function":{"name":")" + std::string(name) +
           R"(","arguments":"{}"}}])";
}

TEST(Gotchas, Gotcha12_EveryMessagesFrameHasItsName) {
    std::string stream = as_messages(stream_of({delta(R"("content":"Hi")", R"("stop")")}));
    size_t frames = 0;
    for (size_t at = 0; at < stream.size(); ++frames) {
        EXPECT_TRUE(std::string_view(stream).substr(at).starts_with("event: "));
        at = stream.find("\n\n", at) + 2;
    }
    EXPECT_GE(frames, 6u);
}

TEST(Gotchas, Gotcha13_14_SystemTextsBecomeTheSystemPrompt) {
    std::string body = as_messages_request(R"({"role":"system","content":"one"},)"
                                           R"({"role":"developer","content":"two"},)"
                                           R"({"role":"user","content":"Hi"})");
    EXPECT_TRUE(
        has(body, R"("system":[{"type":"text","text":"one"},{"type":"text","text":"two"}])"))
        << body;
    EXPECT_FALSE(has(body, R"("role":"system")") || has(body, "developer")) << body;
}

TEST(Gotchas, Gotcha32_EveryCallIsConverted) {
    std::string stream =
        as_messages(stream_of({delta(call(0, "f")), delta(call(1, "g"), R"("tool_calls")")}));
    EXPECT_TRUE(has(stream, R"("name":"f")") && has(stream, R"("name":"g")")) << stream;
    EXPECT_TRUE(has(stream, R"("index":0)") && has(stream, R"("index":1)")) << stream;
}

TEST(Gotchas, Gotcha34_EmptyDeltasAreNoErrors) {
    EXPECT_EQ(decode(stream_of({delta(""), delta(R"("content":"")"), delta(R"("content":"Hi")"),
                                delta(R"("content":null)"), delta("", R"("stop")")}))
                  .back(),
              "end");
}

TEST(Gotchas, Gotcha41_42_ATurnWithACallSaysToolUse) {
    std::string stream = as_messages(
        stream_of({delta(R"("content":"Let me see.")"), delta(call(0, "f"), R"("stop")")}));
    EXPECT_TRUE(has(stream, R"("stop_reason":"tool_use")")) << stream;
    EXPECT_FALSE(has(stream, "end_turn")) << stream;
}

TEST(Gotchas, Gotcha76_NoUsageIsNoReasonToWait) {
    std::string stream = as_messages(stream_of({delta(R"("content":"Hi")", R"("stop")")}));
    EXPECT_TRUE(stream.ends_with("event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"));
}

TEST(Gotchas, Gotcha78_TheFirstWordsAreThere) {
    std::string stream = as_messages(stream_of({delta(R"("role":"assistant","content":"First")"),
                                                delta(R"("content":" words")", R"("stop")")}));
    EXPECT_LT(stream.find("message_start"), stream.find("First"));
    EXPECT_TRUE(has(stream, R"("text":"First")")) << stream;
}

TEST(Gotchas, Gotcha101_WhatIsRepeatedInTheMessageCountsOnce) {
    std::string chunk = R"("choices":[{"index":0,"message":{"content":"Hi there"},)"
                        R"("delta":{"content":" there"},"finish_reason":"stop"}])";
    std::vector<std::string> lines = decode(stream_of({delta(R"("content":"Hi")"), chunk}));
    EXPECT_EQ(lines[2], "delta 0 Hi");
    EXPECT_EQ(lines[3], "delta 0  there");
    EXPECT_EQ(lines[4], "close 0");
}

TEST(Gotchas, Gotcha108_TheFirstIdIsTheId) {
    std::vector<std::string> lines =
        decode(R"(data: {"id":"a","model":"m",)" + delta(R"("content":"x")") +
               "}\n\ndata: {\"id\":\"b\",\"model\":\"n\"," +
               delta(R"("content":"y")", R"("stop")") + "}\n\ndata: [DONE]\n\n");
    EXPECT_EQ(lines[0], "start a m");
    EXPECT_EQ(lines[1], "open 0 text");
    EXPECT_EQ(lines.back(), "end");
}

// A request for another dialect's client, as the provider gets it.
std::string as_sent(const Dialect &client, const Dialect &provider, std::string_view body) {
    Document document(body);
    Arena arena;
    ir::Request request;
    EXPECT_TRUE(client.parse_request(document.root(), arena, request)) << body;
    ByteBuffer out;
    json::Writer writer(out);
    Notes notes;
    EXPECT_TRUE(provider.render_request(request, {.model = "m"}, arena, writer, notes));
    return std::string(out.view());
}

TEST(Gotchas, Gotcha15_ManySystemTextsAreOneMessageAtTheFront) {
    std::string joined = R"({"role":"system","content":"one\n\ntwo"},{"role":"user",)";
    std::string chat =
        with_messages(R"({"role":"system","content":"one"},{"role":"developer","content":"two"},)"
                      R"({"role":"user","content":"Hi"})");
    std::string messages =
        R"({"model":"m","max_tokens":9,"system":[{"type":"text","text":"one"},)"
        R"({"type":"text","text":"two"}],"messages":[{"role":"user","content":"Hi"}]})";
    std::string responses =
        R"({"model":"m","instructions":"one","input":[{"role":"developer","content":"two"},)"
        R"({"role":"user","content":"Hi"}]})";
    for (const Dialect *provider : {&kOpenAi, &kCohere, &kOllama}) {
        for (const auto &[client, body] :
             {std::pair(&kOpenAi, chat), {&kAnthropic, messages}, {&kResponses, responses}}) {
            std::string sent = as_sent(*client, *provider, body);
            EXPECT_TRUE(has(sent, joined)) << sent;
        }
    }
}

TEST(Gotchas, Gotcha73_JsonOfTheClientKeepsItsBytes) {
    std::string schema = R"({ "type":"object", "properties":{"z":{"type":"number"},)"
                         R"( "a":{"enum":[1.0, 1e2]} } })";
    std::string chat =
        R"({"model":"m","tools":[{"type":"function","function":{"name":"f","parameters":)" +
        schema +
        R"(}}],"messages":[{"role":"user","content":"Hi"},{"role":"assistant","tool_calls":[)"
        R"({"id":"c1","type":"function","function":{"name":"f","arguments":)"
        R"("{ \"z\": 1.0, \"a\" :1e2}"}}]},{"role":"tool","tool_call_id":"c1","content":"x"}]})";
    for (const Dialect *provider :
         {&kOpenAi, &kAnthropic, &kResponses, &kBedrock, &kCohere, &kOllama}) {
        std::string sent = as_sent(kOpenAi, *provider, chat);
        EXPECT_TRUE(has(sent, schema)) << provider->name << ": " << sent;
        EXPECT_TRUE(has(sent, R"({ "z": 1.0, "a" :1e2})") ||
                    has(sent, R"("{ \"z\": 1.0, \"a\" :1e2}")"))
            << provider->name << ": " << sent;
    }
}

TEST(Gotchas, Gotcha74_ThoughtsOfGeminiArePartOfTheOutput) {
    Document body(R"({"candidates":[{"content":{"role":"model","parts":[{"text":"Hi"}]},)"
                  R"("finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":5,)"
                  R"("candidatesTokenCount":10,"thoughtsTokenCount":42,"totalTokenCount":57}})");
    Arena arena;
    ir::Response response;
    ASSERT_TRUE(kGemini.parse_response(body.root(), arena, response));
    ByteBuffer out;
    json::Writer writer(out);
    kOpenAi.render_response(response, {}, arena, writer);
    EXPECT_TRUE(has(out.view(), R"("completion_tokens":52)")) << out.view();
    EXPECT_TRUE(has(out.view(), R"("reasoning_tokens":42)")) << out.view();
    EXPECT_TRUE(has(out.view(), R"("total_tokens":57)")) << out.view();
}

}  // namespace
}  // namespace llm::openai_testing
