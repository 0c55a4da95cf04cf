#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "t/check/pump.hpp"
#include "translators/dialect/dialect.hpp"

namespace {

using namespace llm;
using ir::BlockKind;
using ir::EventKind;

// Writes events down as short lines, one per event.
class Log final : public ir::EventSink {
  public:
    void on_event(const ir::StreamEvent &event) override {
        std::string line;
        std::string block = std::to_string(event.block);
        switch (event.kind) {
            case EventKind::start:
                line = "start " + str(event.id) + " " + str(event.name);
                break;
            case EventKind::open:
                line = "open " + block + " " + kind(event.block_kind);
                line += event.id.empty() ? "" : " " + str(event.id);
                line += event.name.empty() ? "" : " " + str(event.name);
                line += event.raw.empty() ? "" : " " + std::string(event.raw.bytes);
                break;
            case EventKind::delta:
                line = "delta " + block + " " + str(event.text);
                break;
            case EventKind::signature:
                line = "signature " + block + " " + str(event.text);
                break;
            case EventKind::redacted:
                line = "redacted " + block + " " + str(event.text);
                break;
            case EventKind::cite:
                line = "cite " + block + " " + std::string(event.raw.bytes);
                break;
            case EventKind::close:
                line = "close " + block;
                break;
            case EventKind::usage:
                line = "usage";
                break;
            case EventKind::finish:
                line = "finish " + std::to_string(static_cast<int>(event.finish)) + " " +
                       str(event.native) + " " + str(event.stop_sequence);
                finish = event.finish;
                break;
            case EventKind::end:
                line = "end";
                break;
            case EventKind::error:
                line = "error " + std::string(spelling(event.error_class).name);
                message = str(event.text);
                break;
            case EventKind::ping:
                line = "ping";
                break;
            case EventKind::logprobs:
                line = "logprobs";
                break;
        }
        if (event.usage != nullptr) {
            usage = *event.usage;
            line += " " + std::to_string(usage.input) + "/" + std::to_string(usage.output);
        }
        lines.push_back(line);
    }

    std::string all() const {
        std::string text;
        for (const std::string &line : lines) {
            text += line + "\n";
        }
        return text;
    }

    std::vector<std::string> lines;
    Usage usage;
    ir::Finish finish = ir::Finish::other;
    std::string message;

  private:
    static std::string str(JsonText text) { return std::string(text.bytes); }
    static std::string kind(BlockKind kind) {
        static const char *const kNames[] = {"text",    "reasoning", "tool",
                                             "refusal", "image",     "opaque"};
        return kNames[static_cast<int>(kind)];
    }
};

void feed(Decoder &decoder, std::string_view bytes, Log &log) {
    std::string padded(bytes);
    padded.append(json::kPadding, '\0');
    decoder.feed({padded.data(), bytes.size()}, log);
}

Log decode(std::string_view stream, size_t cut = 0) {
    Log log;
    auto decoder = kAnthropic.make_decoder();
    feed(*decoder, stream.substr(0, cut), log);
    feed(*decoder, stream.substr(cut), log);
    decoder->finish(log);
    EXPECT_TRUE(decoder->ended());
    return log;
}

std::string frame(std::string_view name, std::string_view data) {
    return "event: " + std::string(name) + "\ndata: {\"type\":\"" + std::string(name) + "\"" +
           std::string(data) + "}\n\n";
}

const std::string kStart =
    frame("message_start",
          R"(,"message":{"id":"msg_1","type":"message","role":"assistant","model":"claude",)"
          R"("content":[],"stop_reason":null,"usage":{"input_tokens":10,)"
          R"("cache_read_input_tokens":5,"output_tokens":1}})");
const std::string kStop = frame("message_stop", "");

std::string block_start(int index, std::string_view block) {
    return frame("content_block_start", ",\"index\":" + std::to_string(index) +
                                            ",\"content_block\":" + std::string(block));
}

std::string delta(int index, std::string_view members) {
    return frame("content_block_delta", ",\"index\":" + std::to_string(index) +
                                            ",\"delta\":{\"type\":" + std::string(members) + "}");
}

std::string stop(int index) {
    return frame("content_block_stop", ",\"index\":" + std::to_string(index));
}

std::string message_delta(std::string_view reason, int output) {
    return frame("message_delta", R"(,"delta":{"stop_reason":")" + std::string(reason) +
                                      R"(","stop_sequence":null},"usage":{"output_tokens":)" +
                                      std::to_string(output) + "}");
}

const std::string kText = kStart + block_start(0, R"({"type":"text","text":""})") +
                          frame("ping", "") + delta(0, R"("text_delta","text":"Hi \ud83d")") +
                          delta(0, R"("text_delta","text":"\ude00 x")") + stop(0) +
                          message_delta("end_turn", 7) + kStop;

TEST(AnthropicDecoder, Case41_EmptyAndRepeatedIdsAreReplaced) {
    std::string stream = kStart;
    for (int i = 0; i < 3; ++i) {
        stream += block_start(i, std::string(R"({"type":"tool_use","id":")") + (i < 2 ? "t" : "") +
                                     R"(","name":"f","input":{}})") +
                  stop(i);
    }
    Log log = decode(stream + message_delta("tool_use", 5) + kStop);
    ASSERT_EQ(log.lines.size(), 13u) << log.all();
    EXPECT_EQ(log.lines[1], "open 0 tool t f");
    EXPECT_EQ(log.lines[4].substr(0, 17), "open 1 tool call_");
    EXPECT_EQ(log.lines[7].substr(0, 17), "open 2 tool call_");
    EXPECT_NE(log.lines[4].substr(12), log.lines[7].substr(12));
}

TEST(AnthropicDecoder, TextAnswer) {
    Log log = decode(kText);
    EXPECT_EQ(log.all(),
              "start msg_1 claude 15/1\nping\nopen 0 text\ndelta 0 Hi \\ud83d\n"
              "delta 0 \\ude00 x\nclose 0\nusage 15/7\nfinish 0 end_turn \nend\n");
    EXPECT_EQ(log.usage.cache_read, 5);
}

const std::string kToolsAndThinking =
    kStart + block_start(0, R"({"type":"thinking","thinking":"","signature":""})") +
    delta(0, R"("thinking_delta","thinking":"Hm")") +
    delta(0, R"("signature_delta","signature":"c2ln")") + stop(0) +
    block_start(1, R"({"type":"redacted_thinking","data":"ZGF0YQ=="})") + stop(1) +
    block_start(2, R"({"type":"text","text":""})") + stop(2) +
    block_start(3, R"({"type":"tool_use","id":"toolu_1","name":"add","input":{}})") +
    delta(3, R"("input_json_delta","partial_json":"")") +
    delta(3, R"("input_json_delta","partial_json":"{\"a\":")") +
    delta(3, R"("input_json_delta","partial_json":"12345678901234567890}")") + stop(3) +
    block_start(4, R"({"type":"tool_use","id":"toolu_2","name":"now","input":{}})") + stop(4) +
    message_delta("tool_use", 30) + kStop;

TEST(AnthropicDecoder, Case40_ThinkingAndToolCalls) {
    EXPECT_EQ(decode(kToolsAndThinking).all(),
              "start msg_1 claude 15/1\nopen 0 reasoning\ndelta 0 Hm\nsignature 0 c2ln\nclose 0\n"
              "redacted 1 ZGF0YQ==\n"
              "open 2 tool toolu_1 add\ndelta 2 {\\\"a\\\":\ndelta 2 12345678901234567890}\n"
              "close 2\nopen 3 tool toolu_2 now\ndelta 3 {}\nclose 3\nusage 15/30\n"
              "finish 4 tool_use \nend\n");
}

TEST(AnthropicDecoder, Case11_BytesSplitAnywhere) {
    for (const std::string &stream : {kText, kToolsAndThinking}) {
        std::string whole = decode(stream).all();
        for (size_t cut = 0; cut <= stream.size(); ++cut) {
            ASSERT_EQ(decode(stream, cut).all(), whole) << cut;
        }
        Log bytes;
        auto decoder = kAnthropic.make_decoder();
        for (char byte : stream) {
            feed(*decoder, {&byte, 1}, bytes);
        }
        decoder->finish(bytes);
        EXPECT_EQ(bytes.all(), whole);
    }
}

TEST(AnthropicDecoder, Gotcha106_InputInTheStartEventIsHeldUntilTheStop) {
    std::string start =
        block_start(0, R"({"type":"tool_use","id":"t","name":"roll","input":{"player":"p 1"}})");
    Log whole = decode(kStart + start + stop(0) + message_delta("tool_use", 3) + kStop);
    EXPECT_EQ(whole.lines[2], R"(delta 0 {\"player\":\"p 1\"})");
    Log fragments =
        decode(kStart + start + delta(0, R"("input_json_delta","partial_json":"{\"a\":1}")") +
               stop(0) + message_delta("tool_use", 3) + kStop);
    EXPECT_EQ(fragments.lines[2], R"(delta 0 {\"a\":1})");
    EXPECT_EQ(fragments.lines[3], "close 0");
}

TEST(AnthropicDecoder, Gotcha105_WholeAnswerInMessageStart) {
    Log log =
        decode(frame("message_start",
                     R"(,"message":{"id":"m","model":"c","content":[{"type":"tool_use","id":"t",)"
                     R"("name":"roll","input":{"p":2}}],"stop_reason":"tool_use",)"
                     R"("usage":{"input_tokens":0,"output_tokens":0}})") +
               kStop);
    EXPECT_EQ(log.all(),
              "start m c 0/0\nopen 0 tool t roll\ndelta 0 {\\\"p\\\":2}\nclose 0\nusage 0/0\n"
              "finish 4 tool_use \nend\n");
}

TEST(AnthropicDecoder, Gotcha107_SecondMessageStart) {
    std::string other =
        frame("message_start", R"(,"message":{"id":"msg_2","model":"c","content":[]})");
    std::string text = block_start(0, R"({"type":"text","text":"a"})");
    EXPECT_EQ(decode(kStart + kStart + text + stop(0) + message_delta("end_turn", 2) + kStop)
                  .lines.back(),
              "end");
    EXPECT_EQ(
        decode(kStart + other + text + stop(0) + message_delta("end_turn", 2) + kStop).lines.back(),
        "end");
    Log spliced = decode(kStart + text + other + kStop);
    EXPECT_EQ(spliced.lines.back(), "error upstream_protocol");
}

TEST(AnthropicDecoder, Case1_CutStreamIsAnError) {
    for (size_t cut : {size_t{0}, kStart.size(), kText.find("message_delta") - 9}) {
        Log log = decode(kText.substr(0, cut));
        EXPECT_EQ(log.lines.back(), "error stream_truncated") << cut;
        EXPECT_EQ(log.all().find("finish"), std::string::npos);
    }
}

TEST(AnthropicDecoder, Case8_MissingMessageStopIsAccepted) {
    std::string whole = decode(kText).all();
    EXPECT_EQ(decode(kText.substr(0, kText.size() - kStop.size())).all(), whole);
    EXPECT_EQ(decode(kText.substr(0, kText.size() - 9)).all(), whole);  // cut inside it
    EXPECT_EQ(decode(kText.substr(0, kText.size() - 2)).all(), whole);  // no blank line
}

TEST(AnthropicDecoder, Case7_Gotcha111_MalformedFrameIsAnErrorAndEndsTheStream) {
    Log log = decode(kStart + "event: content_block_delta\ndata: {\"type\":\n\n" + kStop);
    EXPECT_EQ(log.all(), "start msg_1 claude 15/1\nerror upstream_protocol\n");
}

TEST(AnthropicDecoder, ErrorFrameIsTerminal) {
    Log log = decode(
        kStart + frame("error", R"(,"error":{"type":"overloaded_error","message":"Overloaded"})") +
        message_delta("end_turn", 3) + kStop);
    EXPECT_EQ(log.all(), "start msg_1 claude 15/1\nerror overloaded\n");
    EXPECT_EQ(log.message, "Overloaded");
}

TEST(AnthropicDecoder, RefusalKeepsTheTextBeforeIt) {
    Log log = decode(kStart + block_start(0, R"({"type":"text","text":"So"})") + stop(0) +
                     frame("message_delta",
                           R"(,"delta":{"stop_reason":"refusal","stop_details":{"type":"refusal",)"
                           R"("explanation":"No."}},"usage":{"output_tokens":4})") +
                     kStop);
    EXPECT_EQ(log.all(),
              "start msg_1 claude 15/1\nopen 0 text\ndelta 0 So\nclose 0\nopen 1 refusal\n"
              "delta 1 No.\nclose 1\nusage 15/4\nfinish 6 refusal \nend\n");
}

TEST(AnthropicDecoder, StopSequenceAndUnknownReasons) {
    Log log = decode(kStart +
                     frame("message_delta",
                           R"(,"delta":{"stop_reason":"stop_sequence","stop_sequence":"END"})") +
                     kStop);
    EXPECT_EQ(log.lines[log.lines.size() - 2], "finish 1 stop_sequence END");
    EXPECT_EQ(decode(kStart + message_delta("brand_new", 1) + kStop).finish, ir::Finish::other);
    EXPECT_EQ(decode(kStart + message_delta("max_tokens", 1) + kStop).finish, ir::Finish::length);
}

TEST(AnthropicDecoder, Gotcha40_OnlyStopIsOverriddenByCalls) {
    std::string call =
        block_start(0, R"({"type":"tool_use","id":"t","name":"f","input":{}})") + stop(0);
    EXPECT_EQ(decode(kStart + call + message_delta("end_turn", 1) + kStop).finish,
              ir::Finish::tool_calls);
    EXPECT_EQ(decode(kStart + call + message_delta("max_tokens", 1) + kStop).finish,
              ir::Finish::length);
    EXPECT_EQ(decode(kStart + call + kStop).finish, ir::Finish::tool_calls);
}

TEST(AnthropicDecoder, ServerToolBlocksComeWhole) {
    Log log = decode(
        kStart +
        block_start(0, R"({"type":"server_tool_use","id":"s","name":"web_search","input":{}})") +
        delta(0, R"("input_json_delta","partial_json":"{\"query\":")") +
        delta(0, R"("input_json_delta","partial_json":"\"x\"}")") + stop(0) +
        block_start(1, R"({"type":"web_search_tool_result","tool_use_id":"s","content":[]})") +
        stop(1) + block_start(2, R"({"type":"compaction","content":null})") +
        delta(2, R"("compaction_delta","content":"Sum")") + stop(2) + message_delta("end_turn", 3) +
        kStop);
    EXPECT_EQ(log.lines[1],
              "open 0 opaque server_tool_use "
              R"({"type":"server_tool_use","id":"s","name":"web_search","input":{"query":"x"}})");
    EXPECT_EQ(log.lines[3],
              "open 1 opaque web_search_tool_result "
              R"({"type":"web_search_tool_result","tool_use_id":"s","content":[]})");
    EXPECT_EQ(log.lines[5], R"(open 2 opaque compaction {"type":"compaction","content":"Sum"})");
    EXPECT_EQ(log.finish, ir::Finish::stop);
}

TEST(AnthropicDecoder, UnknownFramesAreIgnored) {
    Log log = decode(kStart + frame("brand_new", "") + "data: [1]\n\n" + ": comment\n\n" +
                     block_start(0, R"({"type":"text","text":""})") +
                     delta(0, R"("brand_new_delta","x":1)") +
                     delta(0, R"("citations_delta","citation":{"type":"char_location"})") +
                     stop(0) + message_delta("end_turn", 2) + kStop);
    EXPECT_EQ(log.all(),
              "start msg_1 claude 15/1\nping\nopen 0 text\ncite 0 {\"type\":\"char_location\"}\n"
              "close 0\nusage 15/2\nfinish 0 end_turn \nend\n");
}

TEST(AnthropicDecoder, Gotcha70_UsageReplacesAndNeverAdds) {
    Log log = decode(kStart +
                     frame("message_delta",
                           R"(,"delta":{"stop_reason":"end_turn"},"usage":{"input_tokens":20,)"
                           R"("cache_read_input_tokens":5,"cache_creation_input_tokens":null,)"
                           R"("output_tokens":9,"output_tokens_details":{"thinking_tokens":4}})") +
                     kStop);
    EXPECT_EQ(log.usage.input, 25);
    EXPECT_EQ(log.usage.cache_read, 5);
    EXPECT_EQ(log.usage.output, 9);
    EXPECT_EQ(log.usage.reasoning, 4);
}

TEST(AnthropicDecoder, BlocksOutOfOrderAreAProtocolError) {
    std::string text = R"({"type":"text","text":"a"})";
    EXPECT_EQ(decode(kStart + block_start(1, text) + stop(1) + block_start(1, text)).lines.back(),
              "error upstream_protocol");
    EXPECT_EQ(
        decode(kStart + block_start(0, text) + delta(3, R"("text_delta","text":"b")")).lines.back(),
        "error upstream_protocol");
    EXPECT_EQ(decode(kStart + block_start(5000, text)).lines.back(), "error upstream_protocol");
    EXPECT_EQ(decode(kStop).lines.back(), "error upstream_protocol");
}

TEST(AnthropicDecoder, MemoryOfALongStreamStaysFlat) {
    Log log;
    auto decoder = kAnthropic.make_decoder();
    feed(*decoder, kStart + block_start(0, R"({"type":"text","text":""})"), log);
    std::string piece = delta(0, R"("text_delta","text":"some words of an answer")");
    feed(*decoder, piece + piece.substr(0, 40), log);
    feed(*decoder, piece.substr(40), log);
    size_t before = decoder->memory();
    for (int i = 0; i < 2000; ++i) {
        feed(*decoder, piece.substr(0, 50), log);
        feed(*decoder, piece.substr(50), log);
    }
    EXPECT_LE(decoder->memory(), before + 512);
}

TEST(AnthropicDecoder, ACallWithoutANameIsAnError) {
    std::string stream =
        "data: {\"type\":\"message_start\",\"message\":{\"id\":\"m\",\"model\":\"x\"}}\n\n"
        "data: {\"type\":\"content_block_start\",\"index\":0,"
        "\"content_block\":{\"type\":\"tool_use\",\"id\":\"t\"}}\n\n";
    check::EventLog log = check::decode(DialectId::anthropic, stream);
    EXPECT_TRUE(log.problems().empty());
    EXPECT_EQ(log.answer().error_class, "upstream_protocol");
}

}  // namespace
