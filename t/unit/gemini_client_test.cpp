// What Gemini clients get to read: streams in both framings, bodies, errors; and what an observer
// sees of a stream that passes through.
#include <gtest/gtest.h>
#include <tuple>

#include <string>
#include <vector>

#include "t/check/gemini_check.hpp"
#include "t/check/pump.hpp"
#include "translators/dialect/dialect.hpp"
#include "translators/wire/json_array.hpp"

namespace {

using namespace llm;
using ir::BlockKind;
using ir::EventKind;
using ir::StreamEvent;

// Drives an encoder with short calls and keeps what it wrote.
class Stream {
  public:
    explicit Stream(const ClientView &view = {}) : encoder(kGemini.make_encoder(view)) {}

    Stream &start(const Usage *usage = nullptr) {
        StreamEvent event = at(EventKind::start, 0);
        event.id = {"r1"};
        event.name = {"m"};
        event.usage = usage;
        return send(event);
    }
    Stream &open(uint32_t block, BlockKind kind, std::string_view id = {},
                 std::string_view name = {}) {
        StreamEvent event = at(EventKind::open, block);
        event.block_kind = kind;
        event.id = {id};
        event.name = {name};
        return send(event);
    }
    Stream &text(EventKind kind, uint32_t block, std::string_view text,
                 DialectId origin = DialectId::gemini) {
        StreamEvent event = at(kind, block);
        event.text = {text};
        event.origin = origin;
        return send(event);
    }
    Stream &delta(uint32_t block, std::string_view fragment) {
        return text(EventKind::delta, block, fragment);
    }
    Stream &close(uint32_t block) { return send(at(EventKind::close, block)); }
    Stream &end(ir::Finish finish, const Usage *usage = nullptr) {
        StreamEvent event = at(EventKind::usage, 0);
        event.usage = usage;
        send(event);
        event = at(EventKind::finish, 0);
        event.finish = finish;
        send(event);
        return send(at(EventKind::end, 0));
    }
    Stream &send(const StreamEvent &event) {
        encoder->event(event, out);
        return *this;
    }
    StreamEvent at(EventKind kind, uint32_t block) const {
        StreamEvent event;
        event.kind = kind;
        event.block = block;
        event.choice = choice;
        return event;
    }

    // The parts of the n-th chunk.
    std::string parts(size_t chunk) const {
        std::string_view bytes = out.view();
        for (; chunk > 0; --chunk) {
            bytes = bytes.substr(bytes.find("\r\n\r\n") + 4);
        }
        bytes = bytes.substr(0, bytes.find("\r\n\r\n"));
        size_t start = bytes.find("\"parts\":") + 8;
        return std::string(bytes.substr(start, bytes.find(",\"role\"") - start));
    }
    check::Answer read() const {
        check::Problems problems;
        check::Answer answer = check::gemini::read_stream(out.view(), {}, problems);
        for (const std::string &problem : problems) {
            ADD_FAILURE() << problem << "\n" << out.view();
        }
        return answer;
    }

    std::unique_ptr<Encoder> encoder;
    ByteBuffer out;
    uint32_t choice = 0;
};

Usage used() {
    Usage usage;
    usage.known = true;
    usage.input = 57;
    usage.cache_read = 16;
    usage.output = 40;
    usage.reasoning = 30;
    return usage;
}

TEST(GeminiEncoder, TextThenTwoCallsThenTheEnd) {
    Stream stream;
    Usage usage = used();
    stream.start(&usage).open(0, BlockKind::text).delta(0, "I\\n").close(0);
    stream.open(1, BlockKind::tool, "a", "add").open(2, BlockKind::tool, "b", "mul");
    stream.delta(2, "{\\\"x\\\":\\n").delta(1, "").delta(2, "12345678901234567890}").close(2);
    stream.close(1).end(ir::Finish::tool_calls, &usage);
    EXPECT_EQ(stream.out.view(),
              "data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"I\\n\"}],"
              "\"role\":\"model\"},\"index\":0}],\"usageMetadata\":{\"promptTokenCount\":57},"
              "\"modelVersion\":\"m\",\"responseId\":\"r1\"}\r\n\r\n"
              "data: {\"candidates\":[{\"content\":{\"parts\":["
              "{\"functionCall\":{\"id\":\"a\",\"name\":\"add\",\"args\":{}}},"
              "{\"functionCall\":{\"id\":\"b\",\"name\":\"mul\",\"args\":"
              "{\"x\": 12345678901234567890}}}],"
              "\"role\":\"model\"},\"index\":0}],\"usageMetadata\":{\"promptTokenCount\":57},"
              "\"modelVersion\":\"m\",\"responseId\":\"r1\"}\r\n\r\n"
              "data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"\"}],"
              "\"role\":\"model\"},\"finishReason\":\"STOP\",\"index\":0}],"
              "\"usageMetadata\":{\"promptTokenCount\":57,\"cachedContentTokenCount\":16,"
              "\"candidatesTokenCount\":10,\"thoughtsTokenCount\":30,\"totalTokenCount\":97},"
              "\"modelVersion\":\"m\",\"responseId\":\"r1\"}\r\n\r\n");
}

TEST(GeminiEncoder, BrokenArgumentsAreCarriedAsText) {
    Stream stream;
    stream.start().open(0, BlockKind::tool, "a", "f").delta(0, "{\\\"cut").close(0);
    stream.end(ir::Finish::length);
    check::Answer answer = stream.read();
    ASSERT_EQ(answer.first().calls.size(), 1u);
    EXPECT_EQ(answer.first().calls[0].arguments, R"({"raw_arguments":"{\"cut"})");
    EXPECT_EQ(answer.first().finish, "MAX_TOKENS");
}

TEST(GeminiEncoder, SignaturesGoOnTheCallOrOnAnEmptyTextAtTheEnd) {
    Stream stream;
    stream.start().open(0, BlockKind::reasoning).delta(0, "Hm");
    stream.text(EventKind::signature, 0, "S1").close(0);
    stream.open(1, BlockKind::tool, "a", "f").open(2, BlockKind::tool, "b", "f").close(1).close(2);
    stream.open(3, BlockKind::text).delta(3, "x").close(3);
    stream.open(4, BlockKind::reasoning).text(EventKind::signature, 4, "S2").close(4);
    stream.end(ir::Finish::stop);
    EXPECT_EQ(stream.parts(0), R"([{"text":"H","thought":true}])");
    EXPECT_EQ(stream.parts(1), R"([{"text":"m","thought":true}])");
    EXPECT_EQ(stream.parts(2),
              R"([{"functionCall":{"id":"a","name":"f","args":{}},"thoughtSignature":"S1"}])");
    EXPECT_EQ(stream.parts(3), R"([{"functionCall":{"id":"b","name":"f","args":{}}}])");
    EXPECT_EQ(stream.parts(5), R"([{"text":"","thoughtSignature":"S2"}])");
    stream.read();
}

// SDKs overlook a signature on a part without text.
TEST(GeminiEncoder, Case38_TheLastCharacterOfThoughtsCarriesTheirSignature) {
    for (auto [thought, rest, last] : {std::tuple("ab", "a", "b"), std::tuple("a\\n", "a", "\\n"),
                                       std::tuple("a\\ud83d\\ude00", "a", "\\ud83d\\ude00"),
                                       std::tuple("a\xF0\x9F\x98\x80", "a", "\xF0\x9F\x98\x80")}) {
        Stream stream;
        stream.start().open(0, BlockKind::reasoning).delta(0, thought);
        stream.text(EventKind::signature, 0, "S", DialectId::anthropic).close(0);
        stream.end(ir::Finish::stop);
        EXPECT_EQ(stream.parts(0), R"([{"text":")" + std::string(rest) + R"(","thought":true}])");
        EXPECT_EQ(stream.parts(1), R"([{"text":")" + std::string(last) +
                                       R"(","thought":true,"thoughtSignature":)"
                                       R"("Z3cxLmFudGhyb3BpYy5T"}])");
    }
}

TEST(GeminiEncoder, ThoughtsWaitForNoOtherBlockAndForNoEnd) {
    Stream stream;
    stream.start().open(0, BlockKind::reasoning).delta(0, "a").delta(0, "b");
    stream.open(1, BlockKind::text).delta(1, "x").delta(0, "c").end(ir::Finish::stop);
    EXPECT_EQ(stream.parts(0), R"([{"text":"a","thought":true}])");
    EXPECT_EQ(stream.parts(1), R"([{"text":"b","thought":true}])");
    EXPECT_EQ(stream.parts(2), R"([{"text":"x"}])");
    EXPECT_EQ(stream.parts(3), R"([{"text":"c","thought":true}])");
}

TEST(GeminiEncoder, ForeignReasoningIsTaggedAndComesBack) {
    Stream stream;
    stream.start().open(0, BlockKind::reasoning).delta(0, "Let me");
    stream.text(EventKind::signature, 0, "Eqk\\/=", DialectId::anthropic).close(0);
    stream.text(EventKind::redacted, 1, "XYZ", DialectId::anthropic);
    stream.open(2, BlockKind::tool, "a", "f").close(2).end(ir::Finish::tool_calls);
    EXPECT_EQ(stream.parts(1),
              R"([{"text":"e","thought":true,"thoughtSignature":"Z3cxLmFudGhyb3BpYy5FcWsvPQ=="}])");
    check::Answer answer = stream.read();
    ASSERT_EQ(answer.first().signatures.size(), 1u);
    EXPECT_EQ(answer.first().signatures[0], "gw1.anthropic.Eqk/=");
    ASSERT_EQ(answer.first().redacted.size(), 1u);
    EXPECT_EQ(answer.first().redacted[0], "gw1.anthropic.XYZ");
}

TEST(GeminiEncoder, ThoughtsAreNotForThoseWhoDidNotAsk) {
    ClientView view;
    view.show_reasoning = false;
    Stream stream(view);
    stream.start().open(0, BlockKind::reasoning).delta(0, "Hm");
    stream.text(EventKind::signature, 0, "S1", DialectId::anthropic).close(0);
    stream.open(1, BlockKind::reasoning).delta(1, "Hm");
    stream.text(EventKind::signature, 1, "S2").close(1).end(ir::Finish::stop);
    check::Answer answer = stream.read();
    EXPECT_EQ(answer.first().reasoning, "");
    ASSERT_EQ(answer.first().signatures.size(), 1u);  // the one that stands without its text
    EXPECT_EQ(answer.first().signatures[0], "S2");
}

TEST(GeminiEncoder, CandidatesFinishTogetherInTheLastChunk) {
    Stream stream;
    stream.start().open(0, BlockKind::text).delta(0, "a");
    stream.choice = 1;
    stream.open(1, BlockKind::text).delta(1, "b").close(1);
    StreamEvent finish = stream.at(EventKind::finish, 0);
    finish.finish = ir::Finish::content_filter;
    stream.send(finish);
    stream.choice = 0;
    stream.delta(0, "c").close(0).end(ir::Finish::refusal);
    check::Answer answer = stream.read();
    EXPECT_EQ(answer.choices.at(0).text, "ac");
    EXPECT_EQ(answer.choices.at(0).finish, "PROHIBITED_CONTENT");
    EXPECT_EQ(answer.choices.at(1).finish, "SAFETY");
}

TEST(GeminiEncoder, CitationsCountBytesOfTheWholeText) {
    Stream stream;
    stream.start().open(0, BlockKind::text).delta(0, "ab").close(0);
    stream.open(1, BlockKind::text).delta(1, "\xc3\xa9\\u00e9\\ud83d").delta(1, "\\ude00x");
    ir::Citation citation;
    citation.url = {"https://a.example/"};
    citation.title = {"A"};
    citation.start = 1;
    citation.end = 3;
    StreamEvent cite = stream.at(EventKind::cite, 1);
    cite.origin = DialectId::anthropic;
    cite.citation = &citation;
    stream.send(cite);
    citation.start = citation.end = -1;
    stream.send(cite).delta(1, "y").close(1).end(ir::Finish::stop);
    EXPECT_NE(
        stream.out.view().find(
            R"("groundingMetadata":{"groundingChunks":[{"web":{"uri":"https://a.example/",)"
            R"("title":"A"}}],"groundingSupports":[{"segment":{"startIndex":4,"endIndex":10},)"
            R"("groundingChunkIndices":[0]},{"segment":{"startIndex":2,"endIndex":12},)"
            R"("groundingChunkIndices":[0]}]})"),
        std::string_view::npos)
        << stream.out.view();
    stream.read();
}

TEST(GeminiEncoder, ImagesAreInlineData) {
    Stream stream;
    StreamEvent open = stream.start().at(EventKind::open, 0);
    open.block_kind = BlockKind::image;
    open.name = {"image/webp"};
    open.text = {"AAAA"};
    stream.send(open).close(0).end(ir::Finish::stop);
    EXPECT_EQ(stream.parts(0), R"([{"inlineData":{"mimeType":"image/webp","data":"AAAA"}}])");
}

TEST(GeminiEncoder, StructuredOutputByAForcedToolIsText) {
    ClientView view;
    view.json_tool = true;
    Stream stream(view);
    stream.start().open(0, BlockKind::tool, "a", kJsonTool).delta(0, "{\\\"a\\\":1}").close(0);
    stream.end(ir::Finish::tool_calls);
    check::Answer answer = stream.read();
    EXPECT_EQ(answer.first().text, "{\"a\":1}");
    EXPECT_TRUE(answer.first().calls.empty());
}

TEST(GeminiEncoder, AnErrorEndsTheStream) {
    Stream stream;
    stream.start().open(0, BlockKind::text).delta(0, "a");
    StreamEvent error = stream.at(EventKind::error, 0);
    error.error_class = ir::ErrorClass::overloaded;
    error.text = {"busy"};
    stream.send(error).delta(0, "b").end(ir::Finish::stop);
    ByteBuffer &out = stream.out;
    stream.encoder->ping(out);
    constexpr std::string_view kLast =
        "data: {\"error\":{\"code\":503,\"message\":\"busy\",\"status\":\"UNAVAILABLE\"}}\r\n\r\n";
    EXPECT_TRUE(out.view().ends_with(kLast)) << out.view();
    EXPECT_EQ(stream.read().error_class, "UNAVAILABLE");
}

TEST(GeminiEncoder, ArgumentsThatWaitAreLimited) {
    Stream stream;
    stream.start().open(0, BlockKind::tool, "a", "f").open(1, BlockKind::tool, "b", "g");
    std::string piece(1 << 20, 'x');
    for (int i = 0; i < 5; ++i) {
        stream.delta(0, piece).delta(1, piece);
    }
    check::Answer answer = stream.read();
    EXPECT_TRUE(answer.has_error);
    EXPECT_LT(stream.out.size(), 1000u);
}

TEST(GeminiEncoder, WithoutSseTheStreamIsOneArray) {
    ClientView view;
    view.json_array = true;
    Stream stream(view);
    stream.start();
    stream.encoder->ping(stream.out);
    stream.open(0, BlockKind::text).delta(0, "a").delta(0, "b").close(0).end(ir::Finish::stop);
    EXPECT_TRUE(stream.out.view().starts_with("\n[{\"candidates\"")) << stream.out.view();
    EXPECT_TRUE(stream.out.view().ends_with("}]"));
    EXPECT_EQ(stream.read().first().text, "ab");

    Stream broken(view);
    broken.start().open(0, BlockKind::text).delta(0, "a");
    ApiError error;
    error.error_class = ErrorClass::stream_truncated;
    broken.encoder->error(error, broken.out);
    broken.delta(0, "b");
    EXPECT_TRUE(
        broken.out.view().ends_with(",\r\n{\"error\":{\"code\":502,\"message\":\"stream_"
                                    "truncated\",\"status\":\"INTERNAL\"}}]"))
        << broken.out.view();
    EXPECT_TRUE(broken.read().has_error);

    Stream failed(view);
    failed.encoder->error(error, failed.out);
    EXPECT_TRUE(failed.read().has_error);
}

TEST(JsonArrayFraming, IsAnArrayWhateverCame) {
    ByteBuffer out;
    wire::JsonArrayFraming framing;
    framing.finish(out);
    framing.finish(out);
    framing.element("{}", out);
    framing.ping(out);
    EXPECT_EQ(out.view(), "[]");
    EXPECT_TRUE(framing.is_finished());

    out.clear();
    wire::JsonArrayFraming two;
    two.element("{\"a\":1}", out);
    EXPECT_TRUE(two.begin(out));
    out.append("2");
    two.finish(out);
    EXPECT_EQ(out.view(), "[{\"a\":1},\r\n2]");
    EXPECT_FALSE(two.begin(out));
}

// --- bodies -------------------------------------------------------------------------------------

std::string rendered(const ir::Response &response, const ClientView &view = {}) {
    ByteBuffer out;
    json::Writer writer(out);
    Arena arena;
    kGemini.render_response(response, view, arena, writer);
    check::Problems problems;
    check::gemini::read_body(out.view(), problems);
    for (const std::string &problem : problems) {
        ADD_FAILURE() << problem << "\n" << out.view();
    }
    return std::string(out.view());
}

TEST(GeminiResponse, PartsInTheirOrder) {
    ir::Response response;
    response.id = {"r1"};
    response.model = {"m"};
    response.usage = used();
    ir::Choice &choice = response.choices.emplace_back();
    ir::Reasoning thoughts;
    thoughts.text = {"Hm"};
    thoughts.signature = {"S"};
    thoughts.origin = DialectId::gemini;
    ir::Text text;
    text.text = {"a"};
    ir::Citation citation;
    citation.url = {"https://a.example/"};
    text.cited.push_back(citation);
    ir::ToolCall call;
    call.id = {"c"};
    call.name = {"f"};
    choice.parts = {{text}, {thoughts}, {call}, {ir::Refusal{{"no"}}}};
    choice.finish = ir::Finish::tool_calls;
    EXPECT_EQ(rendered(response),
              R"({"candidates":[{"content":{"parts":[{"text":"a"},{"text":"Hm","thought":true},)"
              R"({"functionCall":{"id":"c","name":"f","args":{}},"thoughtSignature":"S"},)"
              R"({"text":"no"}],"role":"model"},"finishReason":"STOP","index":0,)"
              R"("groundingMetadata":{"groundingChunks":[{"web":{"uri":"https://a.example/",)"
              R"("title":""}}],"groundingSupports":[{"segment":{"endIndex":1},)"
              R"("groundingChunkIndices":[0]}]}}],)"
              R"("usageMetadata":{"promptTokenCount":57,"cachedContentTokenCount":16,)"
              R"("candidatesTokenCount":10,"thoughtsTokenCount":30,"totalTokenCount":97},)"
              R"("modelVersion":"m","responseId":"r1"})");
}

TEST(GeminiResponse, EmptyAnswersAndLogprobs) {
    ir::Response response;
    ir::Choice &choice = response.choices.emplace_back();
    choice.finish = ir::Finish::length;
    choice.logprobs = {
        R"({"content":[{"token":"a","logprob":-0.5,"top_logprobs":[{"token":"b","logprob":-1}]}]})"};
    check::FixedIds ids;
    ClientView view = check::full_view(ids);
    view.model = "asked-for";
    std::string body = rendered(response, view);
    EXPECT_NE(body.find(R"("finishReason":"MAX_TOKENS")"), std::string::npos) << body;
    EXPECT_NE(body.find(R"("chosenCandidates":[{"token":"a","logProbability":-0.5}])"),
              std::string::npos);
    EXPECT_NE(body.find(R"("topCandidates":[{"candidates":[{"token":"b","logProbability":-1}]}])"),
              std::string::npos);
    EXPECT_NE(body.find(R"("modelVersion":"asked-for")"), std::string::npos);
    EXPECT_EQ(body.find("usageMetadata"), std::string::npos);
}

// --- errors and counts --------------------------------------------------------------------------

TEST(GeminiError, StatusAndNameOfTheClass) {
    ApiError error;
    error.error_class = ErrorClass::unsupported;
    error.message = {"no \\\"seed\\\" there"};
    error.param = {"seed"};
    ByteBuffer out;
    json::Writer writer(out);
    EXPECT_EQ(kGemini.render_error(error, "id", writer), 400);
    EXPECT_EQ(out.view(),
              R"({"error":{"code":400,"message":"no \"seed\" there","status":"INVALID_ARGUMENT",)"
              R"("details":[{"@type":"type.googleapis.com/google.rpc.BadRequest",)"
              R"("fieldViolations":[{"field":"seed","description":"no \"seed\" there"}]}]}})");
    EXPECT_EQ(spelling(ErrorClass::too_large).gemini_status, 400);
    EXPECT_EQ(spelling(ErrorClass::billing).gemini_name, "RESOURCE_EXHAUSTED");
}

TEST(GeminiCount, IsOneNumber) {
    ByteBuffer out;
    json::Writer writer(out);
    kGemini.render_counted(36, writer);
    EXPECT_EQ(out.view(), R"({"totalTokens":36})");
}

// --- pass-through -------------------------------------------------------------------------------

struct Watched {
    Observation frame(std::string_view data) {
        bytes = std::string(data) + std::string(json::kPadding, '\0');
        wire::SseEvent event;
        event.data = std::string_view(bytes).substr(0, data.size());
        event.has_data = true;
        return observer->on_frame(event);
    }
    bool finish() {
        ByteBuffer tail;
        return observer->finish(tail) && tail.size() == 0;
    }

    std::string bytes;
    std::unique_ptr<Observer> observer = kGemini.make_observer({});
};

TEST(GeminiObserver, SeesContentUsageAndTheEnd) {
    Watched watched;
    Observation seen =
        watched.frame(R"({"candidates":[{"content":{"parts":[{"text":""}]}}],"modelVersion":"m"})");
    EXPECT_FALSE(seen.is_content);
    EXPECT_FALSE(watched.finish());
    seen =
        watched.frame(R"({"candidates":[{"content":{"parts":[{"functionCall":{"name":"f"}}]}}]})");
    EXPECT_TRUE(seen.is_content);
    seen =
        watched.frame(R"({"candidates":[{"finishReason":"STOP"}],"usageMetadata":)"
                      R"({"promptTokenCount":5,"candidatesTokenCount":2,"thoughtsTokenCount":3}})");
    EXPECT_TRUE(seen.is_finish);
    EXPECT_TRUE(seen.has_usage);
    EXPECT_EQ(watched.observer->usage().output, 5);
    EXPECT_EQ(watched.observer->model(), "m");
    EXPECT_EQ(watched.observer->finish_reason(), "STOP");
    EXPECT_TRUE(watched.finish());
}

TEST(GeminiObserver, ACutStreamIsNotComplete) {
    Watched watched;
    watched.frame(R"({"candidates":[{"index":0,"finishReason":"STOP"},{"index":1}]})");
    EXPECT_FALSE(watched.finish());
    Watched blocked;
    blocked.frame(R"({"promptFeedback":{"blockReason":"SAFETY"}})");
    EXPECT_TRUE(blocked.finish());
}

TEST(GeminiObserver, ErrorsInEitherForm) {
    for (std::string_view frame :
         {R"({"error":{"code":429,"message":"slow","status":"RESOURCE_EXHAUSTED"}})",
          R"([{"error":{"code":429,"message":"slow","status":"RESOURCE_EXHAUSTED"}}])"}) {
        Watched watched;
        Observation seen = watched.frame(frame);
        EXPECT_TRUE(seen.is_error && seen.is_end);
        EXPECT_EQ(watched.observer->error().error_class, ErrorClass::rate_limit);
    }
}

}  // namespace
