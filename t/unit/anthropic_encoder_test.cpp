#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "t/unit/anthropic_grammar.hpp"
#include "translators/dialect/dialect.hpp"

namespace {

using namespace llm;
using ir::BlockKind;
using ir::EventKind;
using ir::StreamEvent;

// Drives an encoder with short calls and keeps what it wrote.
class Stream {
  public:
    explicit Stream(const ClientView &view = {}) : encoder(kAnthropic.make_encoder(view)) {}

    Stream &start(const Usage *usage = nullptr) {
        StreamEvent event;
        event.kind = EventKind::start;
        event.id = {"msg_1"};
        event.name = {"m"};
        event.usage = usage;
        return send(event);
    }

    Stream &open(uint32_t block, BlockKind kind, std::string_view id = {},
                 std::string_view name = {}, std::string_view raw = {}) {
        StreamEvent event = at(EventKind::open, block);
        event.block_kind = kind;
        event.id = {id};
        event.name = {name};
        event.raw = {raw};
        return send(event);
    }

    Stream &text(EventKind kind, uint32_t block, std::string_view text) {
        StreamEvent event = at(kind, block);
        event.text = {text};
        return send(event);
    }

    Stream &delta(uint32_t block, std::string_view fragment) {
        return text(EventKind::delta, block, fragment);
    }

    Stream &close(uint32_t block) { return send(at(EventKind::close, block)); }

    Stream &finish(ir::Finish finish, std::string_view sequence = {}) {
        StreamEvent event = at(EventKind::finish, 0);
        event.finish = finish;
        event.stop_sequence = {sequence};
        return send(event);
    }

    Stream &usage(const Usage &usage) {
        StreamEvent event = at(EventKind::usage, 0);
        event.usage = &usage;
        return send(event);
    }

    Stream &end() { return send(at(EventKind::end, 0)); }

    Stream &send(const StreamEvent &event) {
        encoder->event(event, out);
        return *this;
    }

    // Everything behind message_start and its ping, one line per frame, event lines left out.
    std::string frames() const {
        std::string text(out.view());
        size_t ping = text.find("event: ping");
        text.erase(0, ping == std::string::npos ? 0 : text.find("\n\n", ping) + 2);
        std::string lines;
        for (size_t at = 0; (at = text.find("data: ", at)) != std::string::npos;) {
            size_t stop = text.find('\n', at);
            lines += text.substr(at + 6, stop - at - 6) + "\n";
            at = stop;
        }
        return lines;
    }

    std::string fault(bool may_be_open = false) const {
        return test::grammar_fault(out.view(), may_be_open);
    }

    static StreamEvent at(EventKind kind, uint32_t block) {
        StreamEvent event;
        event.kind = kind;
        event.block = block;
        return event;
    }

    std::unique_ptr<Encoder> encoder;
    ByteBuffer out;
};

Usage counts(int64_t input, int64_t cache_read, int64_t output) {
    Usage usage;
    usage.input = input;
    usage.cache_read = cache_read;
    usage.output = output;
    usage.known = true;
    return usage;
}

std::string start_block(int index, std::string_view block) {
    return R"({"type":"content_block_start","index":)" + std::to_string(index) +
           R"(,"content_block":)" + std::string(block) + "}\n";
}

std::string delta_line(int index, std::string_view members) {
    return R"({"type":"content_block_delta","index":)" + std::to_string(index) +
           R"(,"delta":{"type":)" + std::string(members) + "}}\n";
}

std::string stop_block(int index) {
    return R"({"type":"content_block_stop","index":)" + std::to_string(index) + "}\n";
}

std::string last(std::string_view reason, std::string_view usage) {
    return R"({"type":"message_delta","delta":{"stop_reason":")" + std::string(reason) +
           R"(","stop_sequence":null},"usage":{)" + std::string(usage) +
           "}}\n{\"type\":\"message_stop\"}\n";
}

constexpr std::string_view kNoUsage =
    R"("input_tokens":0,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,)"
    R"("output_tokens":0)";

TEST(AnthropicEncoder, Case43_StartCarriesEveryMemberAndOnePingFollows) {
    Stream stream;
    stream.start();
    EXPECT_EQ(
        stream.out.view(),
        "event: message_start\n"
        R"(data: {"type":"message_start","message":{"id":"msg_1","type":"message",)"
        R"("role":"assistant","model":"m","content":[],"stop_reason":null,"stop_sequence":null,)"
        R"("usage":{"input_tokens":0,"cache_creation_input_tokens":0,)"
        R"("cache_read_input_tokens":0,"output_tokens":0}}})"
        "\n\nevent: ping\ndata: {\"type\": \"ping\"}\n\n");
}

// streams.md S8.1: text, then two parallel calls, usage at the end.
TEST(AnthropicEncoder, Case41_ParallelToolCallsAfterText) {
    Stream stream;
    stream.start().open(0, BlockKind::text).delta(0, "I'll add").close(0);
    stream.open(1, BlockKind::tool, "call_a", "add").delta(1, R"({\"a\":)");
    stream.open(2, BlockKind::tool, "call_b", "mul").delta(2, "{").delta(1, "2}").delta(2, "}");
    EXPECT_EQ(stream.frames().find("call_b"), std::string::npos) << "waits for the first call";
    stream.close(1).close(2).usage(counts(57, 16, 40)).finish(ir::Finish::tool_calls).end();
    EXPECT_EQ(stream.frames(),
              start_block(0, R"({"type":"text","text":""})") +
                  delta_line(0, R"("text_delta","text":"I'll add")") + stop_block(0) +
                  start_block(1, R"({"type":"tool_use","id":"call_a","name":"add","input":{}})") +
                  delta_line(1, R"("input_json_delta","partial_json":"{\"a\":")") +
                  delta_line(1, R"("input_json_delta","partial_json":"2}")") + stop_block(1) +
                  start_block(2, R"({"type":"tool_use","id":"call_b","name":"mul","input":{}})") +
                  delta_line(2, R"("input_json_delta","partial_json":"{}")") + stop_block(2) +
                  last("tool_use", R"("input_tokens":41,"cache_creation_input_tokens":0,)"
                                   R"("cache_read_input_tokens":16,"output_tokens":40)"));
    EXPECT_EQ(stream.fault(), "");
}

TEST(AnthropicEncoder, Gotcha31_InterleavedCallsNeverShareABlock) {
    Stream stream;
    stream.start();
    for (uint32_t call = 0; call < 4; ++call) {
        stream.open(call, BlockKind::tool, "id", "f");
    }
    for (int round = 0; round < 3; ++round) {
        for (uint32_t call = 0; call < 4; ++call) {
            stream.delta(call, std::to_string(call));
        }
    }
    for (uint32_t call = 4; call-- > 0;) {  // closed in the wrong order, too
        stream.close(call);
    }
    stream.finish(ir::Finish::tool_calls).end();
    EXPECT_EQ(stream.fault(), "");
    EXPECT_NE(stream.frames().find(delta_line(3, R"("input_json_delta","partial_json":"333")")),
              std::string::npos);
}

TEST(AnthropicEncoder, Case42_ATurnWithACallSaysToolUse) {
    auto reason = [](ir::Finish finish, bool with_call) {
        Stream stream;
        stream.start();
        if (with_call) {
            stream.open(0, BlockKind::tool, "id", "f").close(0);
        }
        std::string frames = stream.finish(finish, "END").end().frames();
        EXPECT_EQ(stream.fault(), "");
        size_t at = frames.find("stop_reason\":\"") + 14;
        return frames.substr(at, frames.find('"', at) - at);
    };
    EXPECT_EQ(reason(ir::Finish::stop, true), "tool_use");
    EXPECT_EQ(reason(ir::Finish::tool_calls, true), "tool_use");
    EXPECT_EQ(reason(ir::Finish::other, true), "tool_use");
    EXPECT_EQ(reason(ir::Finish::length, true), "max_tokens");
    EXPECT_EQ(reason(ir::Finish::refusal, true), "refusal");
    EXPECT_EQ(reason(ir::Finish::tool_calls, false), "end_turn");
    EXPECT_EQ(reason(ir::Finish::stop, false), "end_turn");
    EXPECT_EQ(reason(ir::Finish::stop_sequence, false), "stop_sequence");
    EXPECT_EQ(reason(ir::Finish::content_filter, false), "refusal");
    EXPECT_EQ(reason(ir::Finish::context_length, false), "model_context_window_exceeded");
    EXPECT_EQ(reason(ir::Finish::pause, false), "pause_turn");
}

TEST(AnthropicEncoder, Case38_ThinkingSignaturesAndRedactedBlocks) {
    Stream stream;
    stream.start().open(0, BlockKind::reasoning).delta(0, "Hm");
    stream.text(EventKind::signature, 0, "c2ln").close(0);
    stream.text(EventKind::redacted, 1, "ZGF0YQ==");
    stream.open(2, BlockKind::reasoning).text(EventKind::signature, 2, "b25seQ==").close(2);
    stream.open(3, BlockKind::reasoning).close(3);  // nothing in it: no block
    stream.finish(ir::Finish::stop).end();
    EXPECT_EQ(stream.frames(),
              start_block(0, R"({"type":"thinking","thinking":"","signature":""})") +
                  delta_line(0, R"("thinking_delta","thinking":"Hm")") +
                  delta_line(0, R"("signature_delta","signature":"c2ln")") + stop_block(0) +
                  start_block(1, R"({"type":"redacted_thinking","data":"ZGF0YQ=="})") +
                  stop_block(1) +
                  start_block(2, R"({"type":"thinking","thinking":"","signature":""})") +
                  delta_line(2, R"("signature_delta","signature":"b25seQ==")") + stop_block(2) +
                  last("end_turn", R"("input_tokens":0,"cache_creation_input_tokens":0,)"
                                   R"("cache_read_input_tokens":0,"output_tokens":1)"));
    EXPECT_EQ(stream.fault(), "");
}

// What a foreign provider signed, with a tag that says whose it is; own ones are never touched.
TEST(AnthropicEncoder, Gotcha57_SignaturesOfOtherProvidersAreTagged) {
    Stream stream;
    stream.start();
    for (uint32_t block : {0u, 1u}) {
        stream.open(block, BlockKind::reasoning).delta(block, "Hm");
        StreamEvent event = Stream::at(EventKind::signature, block);
        event.origin = block == 0 ? DialectId::bedrock : DialectId::anthropic;
        event.text = {"signed"};
        stream.send(event).close(block);
    }
    StreamEvent redacted = Stream::at(EventKind::redacted, 2);
    redacted.origin = DialectId::bedrock;
    redacted.text = {"hidden"};
    stream.send(redacted).finish(ir::Finish::stop).end();
    EXPECT_EQ(stream.fault(), "");
    std::string frames = stream.frames();
    EXPECT_NE(frames.find(R"("signature":"gw1.bedrock.signed")"), std::string::npos);
    EXPECT_NE(frames.find(R"("signature":"signed")"), std::string::npos);
    EXPECT_NE(frames.find(R"("data":"gw1.bedrock.hidden")"), std::string::npos);
}

// Gemini signs calls: a block of thinking without text stands for that, also while a call before
// it is still open.
TEST(AnthropicEncoder, Gotcha61_SignedCallsHaveABlockBefore) {
    for (bool is_second : {false, true}) {
        Stream stream;
        stream.start();
        if (is_second) {
            stream.open(0, BlockKind::tool, "c0", "f").delta(0, "{");
        }
        stream.open(1, BlockKind::reasoning);
        StreamEvent event = Stream::at(EventKind::signature, 1);
        event.origin = DialectId::gemini;
        event.text = {"sig"};
        stream.send(event).close(1).open(2, BlockKind::tool, "c2", "g").delta(2, "{}");
        if (is_second) {
            stream.delta(0, "}").close(0);
        }
        stream.close(2).finish(ir::Finish::tool_calls).end();
        EXPECT_EQ(stream.fault(), "");
        std::string frames = stream.frames();
        size_t block = frames.find(R"({"type":"thinking","thinking":"","signature":""})");
        size_t signature = frames.find(R"("signature":"gw1.gemini.sig")");
        size_t call = frames.find(R"("id":"c2")");
        EXPECT_LT(block, signature);
        EXPECT_LT(signature, call);
        EXPECT_NE(call, std::string::npos);
    }
}

TEST(AnthropicEncoder, CitationsOfOtherProvidersAreLeftOut) {
    Stream stream;
    stream.start().open(0, BlockKind::text).delta(0, "Hm");
    StreamEvent foreign = Stream::at(EventKind::cite, 0);
    foreign.origin = DialectId::openai;
    foreign.raw = {R"({"type":"char_location","x":"foreign"})"};
    stream.send(foreign).close(0).finish(ir::Finish::stop).end();
    EXPECT_EQ(stream.frames().find("foreign"), std::string::npos);
    EXPECT_EQ(stream.fault(), "");
}

TEST(AnthropicEncoder, ThinkingIsHiddenFromAClientThatDidNotAskForIt) {
    ClientView view;
    view.show_reasoning = false;
    Stream stream(view);
    stream.start().open(0, BlockKind::reasoning).delta(0, "Hm").close(0);
    stream.text(EventKind::redacted, 1, "ZGF0YQ==");
    stream.open(2, BlockKind::text).delta(2, "Hi").close(2).finish(ir::Finish::stop).end();
    EXPECT_EQ(stream.frames().find("thinking"), std::string::npos);
    EXPECT_NE(stream.frames().find(start_block(0, R"({"type":"text","text":""})")),
              std::string::npos);
    EXPECT_EQ(stream.fault(), "");
}

TEST(AnthropicEncoder, EmptyBlocksAreNotSent) {
    Stream stream;
    stream.start().open(0, BlockKind::text).delta(0, "").close(0);
    stream.finish(ir::Finish::stop).end();
    EXPECT_EQ(stream.frames(), last("end_turn", kNoUsage));
    EXPECT_EQ(stream.fault(), "");
}

TEST(AnthropicEncoder, TextThatGoesOnBehindACallBecomesANewBlock) {
    Stream stream;
    stream.start().open(0, BlockKind::text).delta(0, "a");
    stream.open(1, BlockKind::tool, "id", "f").delta(0, "b").delta(1, "{}").delta(0, "c");
    stream.close(1).delta(0, "d").close(0).finish(ir::Finish::stop).end();
    EXPECT_EQ(stream.fault(), "");
    EXPECT_NE(stream.frames().find(stop_block(1) + start_block(2, R"({"type":"text","text":""})") +
                                   delta_line(2, R"("text_delta","text":"bc")") +
                                   delta_line(2, R"("text_delta","text":"d")") + stop_block(2)),
              std::string::npos);
}

TEST(AnthropicEncoder, JsonToolIsTheTextOfTheAnswer) {
    ClientView view;
    view.json_tool = true;
    Stream stream(view);
    stream.start().open(0, BlockKind::tool, "toolu_1", "json_tool_call");
    stream.delta(0, R"({\"a\":)").delta(0, "1}").close(0).finish(ir::Finish::tool_calls).end();
    EXPECT_EQ(stream.frames().substr(0, stream.frames().find("{\"type\":\"message_delta\"")),
              start_block(0, R"({"type":"text","text":""})") +
                  delta_line(0, R"("text_delta","text":"{\"a\":")") +
                  delta_line(0, R"("text_delta","text":"1}")") + stop_block(0));
    EXPECT_NE(stream.frames().find("end_turn"), std::string::npos);
}

TEST(AnthropicEncoder, NamesAreTheClientsOwn) {
    std::vector<Renamed> renamed = {{{"get.weather"}, {"get_weather"}}};
    ClientView view;
    view.renamed = &renamed;
    Stream stream(view);
    stream.start().open(0, BlockKind::tool, "id", "get_weather");
    EXPECT_NE(stream.frames().find(R"("name":"get.weather")"), std::string::npos);
}

TEST(AnthropicEncoder, ErrorIsTerminalAtAnyPlace) {
    Stream stream;
    stream.start().open(0, BlockKind::text).delta(0, "a");
    StreamEvent error = Stream::at(EventKind::error, 0);
    error.error_class = ErrorClass::overloaded;
    error.text = {"Overloaded"};
    stream.send(error).delta(0, "b").close(0).finish(ir::Finish::stop).end();
    stream.encoder->ping(stream.out);
    stream.encoder->error({}, stream.out);
    EXPECT_EQ(stream.frames().substr(stream.frames().find("{\"type\":\"error\"")),
              R"({"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}})"
              "\n");
    EXPECT_EQ(stream.fault(), "");
}

TEST(AnthropicEncoder, AFailedFinishIsAnError) {
    Stream stream;
    stream.start().open(0, BlockKind::text).delta(0, "a").close(0);
    stream.finish(ir::Finish::error).end();
    EXPECT_NE(stream.frames().find(R"("type":"api_error")"), std::string::npos);
    EXPECT_EQ(stream.frames().find("message_stop"), std::string::npos);
    EXPECT_EQ(stream.fault(), "");
}

TEST(AnthropicEncoder, PingsOnlyBetweenStartAndEnd) {
    Stream stream;
    stream.encoder->ping(stream.out);
    EXPECT_EQ(stream.out.size(), 0u);
    stream.start().send(Stream::at(EventKind::ping, 0));
    EXPECT_EQ(stream.frames(), "{\"type\": \"ping\"}\n");
    stream.finish(ir::Finish::stop).end();
    size_t size = stream.out.size();
    stream.encoder->ping(stream.out);
    EXPECT_EQ(stream.out.size(), size);
}

TEST(AnthropicEncoder, UsageIsEstimatedWhenNobodyCounted) {
    ClientView view;
    view.request_bytes = 400;
    Stream stream(view);
    stream.start().open(0, BlockKind::text).delta(0, "twelve bytes").close(0);
    stream.finish(ir::Finish::stop).end();
    EXPECT_NE(stream.out.view().find(R"("input_tokens":100)"), std::string_view::npos);
    EXPECT_NE(stream.frames().find(R"("output_tokens":3)"), std::string::npos);
}

TEST(AnthropicEncoder, Gotcha71_StartUsageIsKeptAndCachedTokensSubtracted) {
    Usage known = counts(1042, 1028, 1);
    Stream stream;
    stream.start(&known);
    EXPECT_NE(stream.out.view().find(R"("input_tokens":14,"cache_creation_input_tokens":0,)"
                                     R"("cache_read_input_tokens":1028)"),
              std::string_view::npos);
}

TEST(AnthropicEncoder, ServerBlocksPassAndForeignOnesDoNot) {
    Stream stream;
    stream.start();
    stream.open(0, BlockKind::opaque, {}, "web_search_tool_result",
                "{\"type\":\"web_search_tool_result\",\n\"content\":[]}");
    stream.close(0).open(1, BlockKind::opaque, {}, "image_generation_call", "{}").close(1);
    stream.finish(ir::Finish::stop).end();
    EXPECT_EQ(stream.frames(),
              start_block(0, R"({"type":"web_search_tool_result", "content":[]})") + stop_block(0) +
                  last("end_turn", kNoUsage));
    EXPECT_EQ(stream.fault(), "");
}

TEST(AnthropicEncoder, TheQueueIsLimited) {
    Stream stream;
    stream.start().open(0, BlockKind::tool, "a", "f").open(1, BlockKind::tool, "b", "f");
    std::string piece(1 << 20, 'x');
    for (int i = 0; i < 7; ++i) {
        stream.delta(1, piece);
    }
    EXPECT_EQ(stream.frames().find("\"error\""), std::string::npos);
    stream.delta(1, piece).delta(1, piece).close(0).close(1).end();
    EXPECT_NE(stream.frames().find("\"error\""), std::string::npos);
    EXPECT_EQ(stream.fault(), "");
}

TEST(AnthropicEncoder, OtherAlternativesAreLeftOut) {
    Stream stream;
    stream.start().open(0, BlockKind::text).delta(0, "a");
    StreamEvent other = Stream::at(EventKind::open, 1);
    other.choice = 1;
    stream.send(other);
    other.kind = EventKind::delta;
    other.text = {"second"};
    stream.send(other).close(0).finish(ir::Finish::stop).end();
    EXPECT_EQ(stream.frames().find("second"), std::string::npos);
    EXPECT_EQ(stream.fault(), "");
}

}  // namespace
