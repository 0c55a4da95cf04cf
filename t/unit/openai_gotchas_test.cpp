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

TEST(Gotchas, Gotcha34_EmptyDeltasSayNothing) {
    EXPECT_EQ(decode(stream_of({delta(""), delta(R"("content":"")"), delta(R"("content":"Hi")"),
                                delta(R"("content":null)"), delta("", R"("stop")")})),
              (std::vector<std::string>{"start a m", "open 0 text", "delta 0 Hi", "close 0",
                                        "finish stop (stop)", "end"}));
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
    EXPECT_EQ(lines, (std::vector<std::string>{"start a m", "open 0 text", "delta 0 x", "delta 0 y",
                                               "close 0", "finish stop (stop)", "end"}));
}

// Azure moderates in the middle of an answer, usage comes behind it: neither has a choice.
TEST(Gotchas, Gotcha5_ChunksWithoutAChoiceEndNothing) {
    std::string stream =
        stream_of({delta(R"("content":"x")"), R"("choices":[],"prompt_filter_results":[])",
                   R"("object":"chat.completion.chunk")", delta(R"("content":"y")", R"("stop")"),
                   R"("choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2})"});
    EXPECT_EQ(decode(stream),
              (std::vector<std::string>{"start a m", "open 0 text", "delta 0 x", "delta 0 y",
                                        "usage 3+2", "close 0", "finish stop (stop)", "end"}));
}

// Perplexity and GPUStack close the connection behind the reason; Groq behind an error.
TEST(Gotchas, Gotcha7_NobodyWaitsForTheDoneMark) {
    EXPECT_EQ(decode(stream_of({delta(R"("content":"x")", R"("stop")")}, false)),
              (std::vector<std::string>{"start a m", "open 0 text", "delta 0 x", "close 0",
                                        "finish stop (stop)", "end"}));
    std::unique_ptr<Decoder> decoder = kOpenAi.make_decoder();
    Script script;
    Padded bytes(stream_of({delta(R"("content":"x")"), R"("error":{"message":"no"})"}, false));
    decoder->feed(bytes.view(), script);
    EXPECT_TRUE(decoder->ended());
    EXPECT_EQ(script.lines.back(), "error upstream");
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

constexpr const Dialect *kProviders[] = {&kOpenAi,  &kAnthropic, &kResponses, &kGemini,
                                         &kBedrock, &kCohere,    &kOllama};

TEST(Gotchas, Gotcha14_SystemTextsReachEveryProvider) {
    std::string chat =
        with_messages(R"({"role":"system","content":"one"},{"role":"user","content":"Hi"},)"
                      R"({"role":"assistant","content":"So"},{"role":"developer","content":"two"},)"
                      R"({"role":"user","content":"three"})");
    for (const Dialect *provider : kProviders) {
        std::string sent = as_sent(kOpenAi, *provider, chat);
        for (std::string_view text : {"one", "two", "three"}) {
            EXPECT_TRUE(has(sent, text)) << provider->name << ": " << sent;
        }
    }
}

// Chat clients send it beside every call.
TEST(Gotchas, Gotcha16_NoEmptyTextBesideCalls) {
    for (std::string_view blank : {"", " \\n"}) {
        std::string chat = with_messages(
            R"({"role":"user","content":"Hi"},{"role":"assistant","content":")" +
            std::string(blank) +
            R"(","tool_calls":[{"id":"c1","type":"function","function":{"name":"f",)"
            R"("arguments":"{}"}}]},{"role":"tool","tool_call_id":"c1","content":""})");
        for (const Dialect *provider : {&kAnthropic, &kBedrock}) {
            std::string sent = as_sent(kOpenAi, *provider, chat);
            EXPECT_FALSE(has(sent, R"("text":"")") || has(sent, R"("text":" )")) << sent;
            EXPECT_TRUE(has(sent, R"("name":"f")")) << sent;
        }
    }
}

TEST(Gotchas, Gotcha27_OneStopSequenceIsAnArray) {
    std::string chat = with(R"("max_tokens":9,"stop":"END")");
    for (const Dialect *provider : kProviders) {
        if (provider != &kResponses) {  // has no such thing
            std::string sent = as_sent(kOpenAi, *provider, chat);
            EXPECT_TRUE(has(sent, R"(":["END"])")) << provider->name << ": " << sent;
        }
    }
}

// What a model made up stands in the history for good, and no tool has its name.
TEST(Gotchas, Gotcha48_NamesOfTheHistoryAreRewrittenAndMappedBack) {
    for (const std::string &name : {std::string("look it/up!"), std::string(70, 'n')}) {
        std::string chat = with_messages(
            R"({"role":"user","content":"Hi"},{"role":"assistant","tool_calls":[{"id":"c1",)"
            R"("type":"function","function":{"name":")" +
                name +
                R"(","arguments":"{}"}}]},{"role":"tool","tool_call_id":"c1","content":"x"})",
            R"(,"tools":[{"type":"function","function":{"name":"f"}}])");
        for (const Dialect *provider : {&kOpenAi, &kAnthropic, &kResponses, &kGemini, &kBedrock}) {
            Document document(chat);
            Arena arena;
            ir::Request request;
            ASSERT_TRUE(kOpenAi.parse_request(document.root(), arena, request));
            ByteBuffer out;
            json::Writer writer(out);
            Notes notes;
            ASSERT_TRUE(provider->render_request(request, {.model = "m"}, arena, writer, notes));
            EXPECT_FALSE(has(out.view(), name)) << provider->name << ": " << out.view();
            ASSERT_EQ(notes.renamed.size(), 1u) << provider->name;
            EXPECT_TRUE(has(out.view(), notes.renamed[0].sent.bytes)) << provider->name;
            EXPECT_EQ(notes.renamed[0].original.bytes, name) << provider->name;

            ir::Response response;
            response.choices.emplace_back().parts.push_back(
                {ir::ToolCall{{"c2"}, notes.renamed[0].sent, "{}"}});
            ByteBuffer shown;
            json::Writer answer(shown);
            kOpenAi.render_response(response, {.renamed = &notes.renamed}, arena, answer);
            EXPECT_TRUE(has(shown.view(), "\"name\":\"" + name + "\"")) << shown.view();
        }
    }
}

TEST(Gotchas, Gotcha89_ANullSaysNothing) {
    std::string chat = with(R"("max_tokens":9,"temperature":0.5,"top_p":null,"stop":null)");
    for (const Dialect *provider : kProviders) {
        std::string sent = as_sent(kOpenAi, *provider, chat);
        EXPECT_FALSE(has(sent, "null")) << provider->name << ": " << sent;
        EXPECT_TRUE(has(sent, "0.5")) << provider->name << ": " << sent;
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
