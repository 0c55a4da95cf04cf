#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "t/check/pump.hpp"
#include "translators/dialect/dialect.hpp"

namespace {

using namespace llm;
using ir::BlockKind;
using ir::EventKind;

constexpr std::string_view kFinishNames[] = {
    "stop",    "stop_sequence", "length", "context_length", "tool_calls", "content_filter",
    "refusal", "pause",         "bad",    "error",          "other"};

// Events as short lines.
class Log final : public ir::EventSink {
  public:
    void on_event(const ir::StreamEvent &event) override {
        constexpr std::string_view kKinds[] = {"text",    "reasoning", "tool",
                                               "refusal", "image",     "opaque"};
        std::string block = std::to_string(event.block);
        switch (event.kind) {
            case EventKind::start:
                add("start " + str(event.id) + " " + str(event.name));
                break;
            case EventKind::open:
                add("open " + block + " " + std::string(kKinds[size_t(event.block_kind)]) + " " +
                    str(event.id) + " " + str(event.name) +
                    std::string(event.raw.bytes.substr(0, 20)) + str(event.text));
                break;
            case EventKind::delta:
                add("delta " + block + " " + str(event.text));
                break;
            case EventKind::signature:
                add("signature " + block + " " + str(event.text));
                break;
            case EventKind::cite:
                add("cite " + block + (event.raw.empty() ? "" : " raw") +
                    (event.citation == nullptr ? ""
                                               : " " + str(event.citation->url) + " " +
                                                     std::to_string(event.citation->start) + ".." +
                                                     std::to_string(event.citation->end)));
                break;
            case EventKind::close:
                add("close " + block);
                break;
            case EventKind::logprobs:
                add("logprobs " + std::string(event.raw.bytes));
                break;
            case EventKind::usage:
                add("usage " + std::to_string(event.usage->input) + " " +
                    std::to_string(event.usage->output));
                break;
            case EventKind::finish:
                add("finish " + std::string(kFinishNames[size_t(event.finish)]) + " " +
                    str(event.native));
                break;
            case EventKind::end:
                add("end");
                break;
            case EventKind::error:
                add("error " + std::string(spelling(event.error_class).name));
                break;
            case EventKind::redacted:
            case EventKind::ping:
                break;
        }
    }

    std::string lines;

  private:
    static std::string str(JsonText text) { return std::string(text.bytes); }
    void add(const std::string &line) { lines += line + "\n"; }
};

std::string decode(std::string_view stream) {
    std::string padded(stream);
    padded.append(json::kPadding, ' ');
    Log log;
    std::unique_ptr<Decoder> decoder = kGemini.make_decoder();
    decoder->feed({padded.data(), stream.size()}, log);
    decoder->finish(log);
    EXPECT_TRUE(decoder->ended());
    return log.lines;
}

std::string chunk(std::string_view parts, std::string_view rest = "") {
    return R"(data: {"candidates": [{"content": {"parts": [)" + std::string(parts) +
           R"(],"role": "model"})" + std::string(rest) +
           R"(}],"modelVersion": "m","responseId": "r"})" + "\r\n\r\n";
}

constexpr std::string_view kStop = R"(,"finishReason": "STOP")";

TEST(GeminiDecoder, Gotcha2CrLfStreams) {
    EXPECT_EQ(
        decode(chunk(R"({"text": "Hel"})") + chunk(R"({"text": "lo"})", kStop)),
        "start r m\nopen 0 text  \ndelta 0 Hel\ndelta 0 lo\nclose 0\nfinish stop STOP\nend\n");
}

TEST(GeminiDecoder, ThoughtsComeBeforeTextOfTheSameChunk) {
    EXPECT_EQ(decode(chunk(R"({"text": "Hm", "thought": true}, {"text": "Hi"})", kStop)),
              "start r m\nopen 0 reasoning  \ndelta 0 Hm\nclose 0\nopen 1 text  \ndelta 1 Hi\n"
              "close 1\nfinish stop STOP\nend\n");
}

TEST(GeminiDecoder, Gotcha30CallsOfOneChunkHaveTheirArguments) {
    std::string stream = chunk(
        R"({"functionCall": {"id": "1", "name": "add", "args": {"b": 3}}, "thoughtSignature": "S"},)"
        R"({"functionCall": {"id": "2", "name": "mul"}})",
        kStop);
    EXPECT_EQ(decode(stream),
              "start r m\nopen 0 reasoning  \nsignature 0 S\nclose 0\nopen 1 tool 1 add\n"
              "delta 1 {\\\"b\\\": 3}\nclose 1\nopen 2 tool 2 mul\ndelta 2 {}\nclose 2\n"
              "finish tool_calls STOP\nend\n");
}

TEST(GeminiDecoder, Gotcha39TheReasonComesBehindTheCall) {
    std::string lines = decode(chunk(R"({"functionCall": {"name": "f", "args": {}}})") +
                               chunk(R"({"text": ""})", kStop));
    EXPECT_NE(lines.find("finish tool_calls STOP"), std::string::npos) << lines;
}

TEST(GeminiDecoder, Gotcha40OnlyStopBecomesToolCalls) {
    std::string call = R"({"functionCall": {"name": "f", "args": {}}})";
    EXPECT_NE(decode(chunk(call, R"(,"finishReason":"MAX_TOKENS")")).find("finish length"),
              std::string::npos);
    EXPECT_NE(decode(chunk(call, R"(,"finishReason":"SAFETY")")).find("finish content_filter"),
              std::string::npos);
    EXPECT_NE(decode(chunk(call, R"(,"finishReason":"UNEXPECTED_TOOL_CALL")")).find("tool_calls"),
              std::string::npos);
    EXPECT_NE(decode(chunk("", R"(,"finishReason":"UNEXPECTED_TOOL_CALL")")).find("finish bad"),
              std::string::npos);
}

TEST(GeminiDecoder, Gotcha102EmptyTextWithASignatureKeepsIt) {
    EXPECT_EQ(decode(chunk(R"({"text": "Hi"})") +
                     chunk(R"({"text": "", "thoughtSignature": "S"})", kStop)),
              "start r m\nopen 0 text  \ndelta 0 Hi\nclose 0\nopen 1 reasoning  \nsignature 1 S\n"
              "close 1\nfinish stop STOP\nend\n");
}

TEST(GeminiDecoder, ASignatureOfNothingIsForTheNextCallOrTheEnd) {
    std::string alone = R"({"text": "", "thoughtSignature": "S"})";
    std::string call = R"({"functionCall": {"id": "1", "name": "f"}})";
    EXPECT_EQ(decode(chunk(alone) + chunk(call, kStop)),
              "start r m\nopen 0 reasoning  \nsignature 0 S\nclose 0\nopen 1 tool 1 f\n"
              "delta 1 {}\nclose 1\nfinish tool_calls STOP\nend\n");
    EXPECT_EQ(decode(chunk(alone, kStop)),
              "start r m\nopen 0 reasoning  \nsignature 0 S\nclose 0\nfinish stop STOP\nend\n");
}

TEST(GeminiDecoder, ThoughtsBeforeACallCarryItsSignature) {
    EXPECT_EQ(decode(chunk(R"({"text": "Hm", "thought": true})") +
                     chunk(R"({"functionCall": {"id": "1", "name": "f"}, "thoughtSignature": "S"})",
                           kStop)),
              "start r m\nopen 0 reasoning  \ndelta 0 Hm\nsignature 0 S\nclose 0\n"
              "open 1 tool 1 f\ndelta 1 {}\nclose 1\nfinish tool_calls STOP\nend\n");
}

TEST(GeminiDecoder, ArgumentsInPiecesBecomeOneObject) {
    auto call = [](std::string_view inside) {
        return chunk(R"({"functionCall": {)" + std::string(inside) + "}}");
    };
    std::string stream =
        call(R"("name":"f","id":"1","willContinue":true)") +
        call(
            R"("partialArgs":[{"jsonPath":"$.a.b[1]","stringValue":"x\n","willContinue":true}],"willContinue":true)") +
        call(
            R"("partialArgs":[{"jsonPath":"$.a.b[1]","stringValue":"y"},{"jsonPath":"$['c d']","numberValue":1.50},{"jsonPath":"$.e","boolValue":true},{"jsonPath":"$.n","nullValue":"NULL_VALUE"}],"willContinue":true)") +
        call("") + chunk("", kStop);
    EXPECT_EQ(decode(stream),
              "start r m\nopen 0 tool 1 f\n"
              R"(delta 0 {\"a\":{\"b\":[null,\"x\\ny\"]},\"c d\":1.50,\"e\":true,\"n\":null})"
              "\nclose 0\nfinish tool_calls STOP\nend\n");
}

TEST(GeminiDecoder, ArgumentsWithoutEndEndWithTheReason) {
    std::string stream =
        chunk(
            R"({"functionCall": {"name":"f","id":"1","willContinue":true,"partialArgs":[{"jsonPath":"$.a","stringValue":"x"}]}})") +
        chunk("", kStop);
    EXPECT_NE(decode(stream).find("delta 0 {\\\"a\\\":\\\"x\\\"}\nclose 0\nfinish tool_calls"),
              std::string::npos);
}

TEST(GeminiDecoder, PiecesOfArgumentsCannotGrowWithoutBound) {
    auto path = [](std::string_view at) {
        return decode(chunk(R"({"functionCall": {"name":"f","partialArgs":[{"jsonPath":")" +
                                std::string(at) + R"(","stringValue":"x"}]}})",
                            kStop));
    };
    for (std::string_view bad :
         {"$.a[99999999999]", "$.a[-1]", "a.b", "$", "$.a[", "$..b", "$.a['"}) {
        EXPECT_NE(path(bad).find("error upstream_protocol"), std::string::npos) << bad;
    }
    std::string deep = "$";
    for (int i = 0; i < 200; ++i) {
        deep += ".a";
    }
    EXPECT_NE(path(deep).find("error upstream_protocol"), std::string::npos);
}

TEST(GeminiDecoder, ABlockedPromptIsAFilteredAnswer) {
    EXPECT_EQ(decode("data: {\"promptFeedback\":{\"blockReason\":\"SAFETY\"},"
                     "\"usageMetadata\":{\"promptTokenCount\":12,\"totalTokenCount\":12}}\n\n"),
              "start  \nusage 12 0\nfinish content_filter SAFETY\nend\n");
}

TEST(GeminiDecoder, UsageOfTheLastObjectWinsWhole) {
    auto usage = [](std::string_view counts, std::string_view rest) {
        return R"(data: {"candidates":[{"content":{}, "index":0)" + std::string(rest) +
               R"(}],"usageMetadata":{)" + std::string(counts) + "}}\n\n";
    };
    std::string lines = decode(
        usage(R"("promptTokenCount":57,"totalTokenCount":57,"candidatesTokenCount":99)", "") +
        usage(R"("promptTokenCount":20,"toolUsePromptTokenCount":7,"thoughtsTokenCount":42,)"
              R"("totalTokenCount":69)",
              kStop) +
        usage(R"("trafficType":"ON_DEMAND")", ""));
    EXPECT_NE(lines.find("usage 27 42\n"), std::string::npos) << lines;
}

TEST(GeminiDecoder, Gotcha8AnEndBeforeTheReasonIsACut) {
    EXPECT_EQ(decode(chunk(R"({"text": "Hel"})")),
              "start r m\nopen 0 text  \ndelta 0 Hel\nerror stream_truncated\n");
    EXPECT_EQ(decode(""), "error stream_truncated\n");
    std::string whole = chunk(R"({"text": "Hi"})", kStop);
    EXPECT_NE(decode(whole.substr(0, whole.size() - 4)).find("end\n"), std::string::npos);
    EXPECT_NE(decode(whole.substr(0, whole.size() - 5)).find("truncated"), std::string::npos);
}

TEST(GeminiDecoder, EveryCandidateNeedsItsReason) {
    auto two = [](std::string_view first, std::string_view second) {
        return R"(data: {"candidates":[{"index":0,"content":{"parts":[{"text":"a"}]})" +
               std::string(first) + R"(},{"index":1,"content":{"parts":[{"text":"b"}]})" +
               std::string(second) + "}]}\n\n";
    };
    EXPECT_NE(decode(two(kStop, "")).find("error stream_truncated"), std::string::npos);
    EXPECT_EQ(decode(two(kStop, "") + two("", kStop)),
              "start  \nopen 0 text  \ndelta 0 a\nopen 1 text  \ndelta 1 b\ndelta 0 a\ndelta 1 b\n"
              "close 0\nclose 1\nfinish stop STOP\nfinish stop STOP\nend\n");
}

TEST(GeminiDecoder, AnErrorInsideTheStreamEndsIt) {
    std::string error = R"({"error":{"code":503,"message":"overloaded","status":"UNAVAILABLE"}})";
    std::string text = chunk(R"({"text": "Hi"})");
    EXPECT_NE(
        decode(text + "data: " + error + "\n\n" + chunk("", kStop)).find("error overloaded\n"),
        std::string::npos);
    EXPECT_NE(decode("data: [" + error + "]\n\n").find("error overloaded\n"), std::string::npos);
    EXPECT_NE(decode("data: {\"cand\n\n").find("error upstream_protocol\n"), std::string::npos);
}

TEST(GeminiDecoder, ImagesAndServerBlocksKeepTheirPlace) {
    EXPECT_EQ(decode(chunk(R"({"executableCode": {"code": "1"}, "thoughtSignature": "S"},)"
                           R"({"inlineData": {"mimeType": "image/png", "data": "QUJD"}})",
                           kStop)),
              "start r m\nopen 0 opaque  executableCode{\"executableCode\": {\nclose 0\n"
              "open 1 image  image/pngQUJD\nclose 1\nfinish stop STOP\nend\n");
}

TEST(GeminiDecoder, CitationsCountCodePointsWhereTheApiCountsBytes) {
    // "\xc3\xa9\xf0\x9f\x98\x80 x": 2 + 4 + 1 + 1 bytes, 4 code points; the grin is an escape, cut
    // between two chunks.
    std::string grounding =
        R"(,"groundingMetadata":{"groundingChunks":[{"web":{"uri":"u","title":"t"}}],)"
        R"("groundingSupports":[{"segment":{"startIndex":6,"endIndex":8,"text":" x"},)"
        R"("groundingChunkIndices":[0]}]})";
    std::string lines = decode(chunk("{\"text\": \"\xc3\xa9\\ud83d\"}") +
                               chunk(R"({"text": "\ude00 x"},{"text":"","thoughtSignature":"S"})",
                                     grounding + std::string(kStop)));
    EXPECT_NE(lines.find("cite 0 raw u 2..4\nclose 0\nopen 1 reasoning  \nsignature 1 S"),
              std::string::npos)
        << lines;
}

TEST(GeminiDecoder, CitationsOfATextThatACallFollows) {
    std::string grounding =
        R"(,"groundingMetadata":{"groundingChunks":[{"web":{"uri":"u"}}]})" + std::string(kStop);
    std::string call = R"({"functionCall":{"name":"f","args":{}}})";
    for (const std::string &stream : {chunk(R"({"text":"t"},)" + call, grounding),
                                      chunk(R"({"text":"t"})") + chunk(call, grounding)}) {
        std::string lines = decode(stream);
        EXPECT_NE(lines.find("cite 0 raw u"), std::string::npos) << lines;
    }
    // The last of several texts.
    std::string lines = decode(
        chunk(R"({"text":"s"},{"executableCode":{"code":"1"}},{"text":"t"},)" + call, grounding));
    EXPECT_NE(lines.find("cite 2 raw u"), std::string::npos) << lines;
}

TEST(GeminiDecoder, ProbabilitiesInTheFormOfChat) {
    std::string result =
        R"(,"logprobsResult":{"chosenCandidates":[{"token":"a","logProbability":-0.5}],)"
        R"("topCandidates":[{"candidates":[{"token":"b","logProbability":-1.25}]}]})";
    std::string lines = decode(chunk(R"({"text": "a"})", result + std::string(kStop)));
    EXPECT_NE(lines.find(R"(logprobs {"content":[{"token":"a","logprob":-0.5,"bytes":null,)"
                         R"("top_logprobs":[{"token":"b","logprob":-1.25,"bytes":null}]}])"),
              std::string::npos)
        << lines;
}

TEST(GeminiDecoder, InventedIdsDifferBetweenCallsAndAnswers) {
    auto ids = [](std::string_view answer) {
        std::string call = R"({"functionCall":{"name":"f","args":{}}})";
        return decode(R"(data: {"candidates":[{"content":{"parts":[)" + call + "," + call +
                      R"(]},"finishReason":"STOP"}],"responseId":")" + std::string(answer) +
                      "\"}\n\n");
    };
    std::string one = ids("one");
    size_t first = one.find("call_");
    size_t second = one.find("call_", first + 1);
    ASSERT_NE(second, std::string::npos) << one;
    EXPECT_NE(one.substr(first, 29), one.substr(second, 29));
    EXPECT_EQ(ids("one"), one);
    EXPECT_NE(ids("two"), one);
}

// --- whole answers ------------------------------------------------------------------------------

std::string replayed(std::string_view body) {
    check::Document document(body);
    Arena arena;
    ir::Response response;
    Status status = kGemini.parse_response(document.root(), arena, response);
    if (!status) {
        return "failed";
    }
    Log log;
    ir::replay(response, log);
    return log.lines;
}

TEST(GeminiAnswer, ABodySaysWhatItsStreamSays) {
    std::string body =
        R"({"candidates":[{"content":{"parts":[{"text":"Hm","thought":true},{"text":"a"},)"
        R"({"text":"b"},{"functionCall":{"id":"1","name":"f","args":{"x":"\"y\\n\""}},)"
        R"("thoughtSignature":"S"},{"text":"c","thoughtSignature":"T"}]},"finishReason":"STOP",)"
        R"("groundingMetadata":{"groundingChunks":[{"web":{"uri":"u"}}]}}],)"
        R"("usageMetadata":{"promptTokenCount":3,"candidatesTokenCount":2},"responseId":"r"})";
    EXPECT_EQ(replayed(body),
              "start r \nopen 0 reasoning  \ndelta 0 Hm\nclose 0\nopen 1 text  \ndelta 1 ab\n"
              "close 1\nopen 2 reasoning  \nsignature 2 S\nclose 2\nopen 3 tool 1 f\n"
              R"(delta 3 {\"x\":\"\\\"y\\\\n\\\"\"})"
              "\nclose 3\nopen 4 text  \ndelta 4 c\ncite 4 raw u -1..-1\nclose 4\n"
              "open 5 reasoning  \nsignature 5 T\nclose 5\nusage 3 2\n"
              "finish tool_calls STOP\nend\n");
}

TEST(GeminiAnswer, IndentsOfABodyDoNotReachTheArguments) {
    std::string lines = replayed(
        "{\"candidates\":[{\"content\":{\"parts\":[{\"functionCall\":{"
        "\"id\":\"1\",\"name\":\"f\",\"args\":{\n  \"a b\" : [\n 1.50, "
        "\"x \\\" y\"\n]\r\n}}}]},\"finishReason\":\"STOP\"}]}");
    EXPECT_NE(lines.find(R"(delta 0 {\"a b\":[1.50,\"x \\\" y\"]})"), std::string::npos) << lines;
}

TEST(GeminiAnswer, WithoutContentOrCandidates) {
    EXPECT_EQ(replayed(R"({"candidates":[{"finishReason":"MAX_TOKENS"}],"responseId":"r"})"),
              "start r \nfinish length MAX_TOKENS\nend\n");
    EXPECT_EQ(replayed(R"({"candidates":[],"promptFeedback":{"blockReason":"OTHER"}})"),
              "start  \nfinish content_filter OTHER\nend\n");
    EXPECT_EQ(replayed(R"({"candidates":[]})"), "failed");
    EXPECT_EQ(replayed("{}"), "failed");
}

TEST(GeminiAnswer, CountedTokens) {
    check::Document document(R"({"totalTokens":36,"totalBillableCharacters":123})");
    EXPECT_EQ(kGemini.parse_count(document.root()), 36);
    check::Document none("{}");
    EXPECT_EQ(kGemini.parse_count(none.root()), std::nullopt);
}

}  // namespace
