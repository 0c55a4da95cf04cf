// What other gateways got wrong in answers, for every provider and every client. Unlike in the
// matrix, what a client reads is compared with what the provider said, and not with what was
// understood of it. Each test carries the numbers of its mistakes.
#include <gtest/gtest.h>

#include <set>

#include "t/check/aws_frames.hpp"
#include "t/check/dialect_check.hpp"
#include "t/check/pump.hpp"

namespace llm::check {
namespace {

using Kind = Scenario::Block::Kind;

std::string report(const Problems &problems) {
    std::string all;
    for (const std::string &problem : problems) {
        all += problem + "\n";
    }
    return all;
}

Scenario answer_of(DialectId provider, const std::vector<Scenario::Block> &blocks, uint64_t seed) {
    Scenario made;
    made.dialect = provider;
    made.seed = seed;
    made.blocks = blocks;
    made.finish = blocks.back().kind == Kind::call ? ir::Finish::tool_calls : ir::Finish::stop;
    made.input = 1042;
    made.cache_read = 1028;
    made.output = 25;
    Chance chance(seed);
    check_of(provider).fit(made, chance);
    return made;
}

Answer whole(DialectId client, const Scenario &scenario) {
    Document body(written_body(scenario));
    Arena arena;
    ir::Response response;
    EXPECT_TRUE(dialect(scenario.dialect).parse_response(body.root(), arena, response));
    FixedIds ids;
    ByteBuffer out;
    json::Writer writer(out);
    dialect(client).render_response(response, full_view(ids), arena, writer);
    Problems problems;
    Answer got = read_body(client, out.view(), problems);
    EXPECT_TRUE(problems.empty()) << report(problems) << out.view();
    return got;
}

Answer streamed(DialectId provider, DialectId client, std::string_view stream) {
    Problems problems;
    std::string out = translate(provider, client, stream);
    Answer got = read_stream(client, out, problems);
    EXPECT_TRUE(problems.empty()) << report(problems) << out;
    return got;
}

class MatrixGotchas : public testing::TestWithParam<DialectId> {};

INSTANTIATE_TEST_SUITE_P(Providers, MatrixGotchas, testing::ValuesIn(provider_dialects()),
                         [](const auto &at) { return std::string(dialect(at.param).name); });

// In both modes alike: each call with its name and arguments, the words before it, and a reason
// that makes an agent run them.
TEST_P(MatrixGotchas, Gotcha30_32_41_42_EveryCallOfATurnInBothModes) {
    const std::vector<Scenario::Block> blocks = {{Kind::text, "Let me see.", {}, {}, {}},
                                                 {Kind::call, R"({"a":1})", "call_1", "look", {}},
                                                 {Kind::call, R"({"b":[2]})", "call_2", "find", {}},
                                                 {Kind::call, R"({"c":{}})", "call_3", "look", {}}};
    Message expected;
    expected.finish = "tool_calls";
    expected.calls.resize(3);
    for (uint64_t seed = 1; seed <= 8; seed++) {
        Scenario scenario = answer_of(GetParam(), blocks, seed);
        for (size_t i = 1; i < blocks.size(); i++) {
            scenario.blocks[i].text = blocks[i].text;
        }
        for (DialectId client : client_dialects()) {
            if (check_of(client).is_text_only) {
                continue;
            }
            for (bool is_stream : {false, true}) {
                Answer got = is_stream ? streamed(GetParam(), client, written_stream(scenario))
                                       : whole(client, scenario);
                std::string where = std::string(dialect(client).name) +
                                    (is_stream ? ", stream, seed " : ", whole, seed ") +
                                    std::to_string(seed);
                const Message &message = got.first();
                EXPECT_EQ(message.text, blocks[0].text) << where;
                EXPECT_EQ(message.finish, check_of(client).finish_of(expected)) << where;
                ASSERT_EQ(message.calls.size(), 3u) << where;
                std::set<std::string> ids;
                for (size_t i = 0; i < 3; i++) {
                    EXPECT_EQ(message.calls[i].name, blocks[i + 1].name) << where;
                    EXPECT_TRUE(is_same_json(message.calls[i].arguments, blocks[i + 1].text))
                        << where << ": " << message.calls[i].arguments;
                    ids.insert(message.calls[i].id);
                }
                EXPECT_EQ(ids.size(), 3u) << where;
            }
        }
    }
}

TEST_P(MatrixGotchas, Gotcha71_CountersOfTheCacheInBothModes) {
    Scenario scenario = answer_of(GetParam(), {{Kind::text, "Hi", {}, {}, {}}}, 5);
    for (DialectId client : client_dialects()) {
        for (bool is_stream : {false, true}) {
            Answer got = is_stream ? streamed(GetParam(), client, written_stream(scenario))
                                   : whole(client, scenario);
            EXPECT_EQ(got.usage.input, 1042) << dialect(client).name << is_stream;
            EXPECT_EQ(got.usage.output, 25) << dialect(client).name << is_stream;
            EXPECT_EQ(got.usage.cache_read, scenario.cache_read)
                << dialect(client).name << is_stream;
        }
    }
    bool counts_cache = GetParam() != DialectId::ollama;
    EXPECT_EQ(scenario.cache_read, counts_cache ? 1028 : 0);
}

// Newer models sign thoughts that they do not show.
TEST_P(MatrixGotchas, Gotcha56_ASignatureAloneStreamsToo) {
    Scenario scenario = answer_of(GetParam(),
                                  {{Kind::reasoning, "", {}, {}, "RXZlcnkrYnl0ZQ=="},
                                   {Kind::call, R"({"a":1})", "call_1", "look", {}}},
                                  6);
    if (scenario.blocks[0].signature.empty()) {
        return;  // nothing is signed here
    }
    for (DialectId client : client_dialects()) {
        if (!check_of(client).is_text_only) {
            Answer got = streamed(GetParam(), client, written_stream(scenario));
            EXPECT_EQ(got.first().signatures.size(), 1u) << dialect(client).name;
        }
    }
}

// As long as words are missing, an end is no end.
TEST_P(MatrixGotchas, Gotcha8_85_86_ACutAnswerIsAnErrorForEveryClient) {
    std::string words = "one two three four five six seven eight nine ten eleven twelve";
    std::string stream =
        written_stream(answer_of(GetParam(), {{Kind::text, words, {}, {}, {}}}, 7));
    size_t cuts = 0;
    for (size_t end : frame_ends(GetParam(), stream)) {
        std::string_view cut = std::string_view(stream).substr(0, end);
        if (decode(GetParam(), cut).answer().first().text == words) {
            break;
        }
        for (DialectId client : client_dialects()) {
            Answer got = streamed(GetParam(), client, cut);
            EXPECT_TRUE(got.has_error) << dialect(client).name << " at " << end;
            EXPECT_FALSE(got.is_complete) << dialect(client).name << " at " << end;
        }
        cuts++;
    }
    EXPECT_GT(cuts, 1u);
}

// --- streams as they come ---------------------------------------------------------------------

struct Stream {
    DialectId provider;
    std::string bytes;
};

std::string sse(std::string_view frame) {
    return "data: " + std::string(frame) + "\n\n";
}

// The terminal frame is there, and no usage: nothing else is waited for, also not for the end of
// the connection. Bedrock and Gemini have no terminal frame.
TEST(MatrixGotchasOf, Gotcha76_TheTerminalFrameEndsAnAnswerWithoutUsage) {
    const Stream streams[] = {
        {DialectId::openai,
         sse(R"({"id":"a","model":"m","choices":[{"index":0,"delta":{"content":"Hi"},)"
             R"("finish_reason":"stop"}]})") +
             sse("[DONE]")},
        {DialectId::anthropic,
         sse(R"({"type":"message_start","message":{"id":"a","model":"m","content":[]}})") +
             sse(R"({"type":"content_block_start","index":0,"content_block":)"
                 R"({"type":"text","text":"Hi"}})") +
             sse(R"({"type":"content_block_stop","index":0})") +
             sse(R"({"type":"message_delta","delta":{"stop_reason":"end_turn"}})") +
             sse(R"({"type":"message_stop"})")},
        {DialectId::responses,
         sse(R"({"type":"response.output_text.delta","output_index":0,"delta":"Hi"})") +
             sse(R"({"type":"response.completed","response":{"status":"completed"}})")},
        {DialectId::cohere,
         sse(R"({"type":"content-delta","index":0,"delta":{"message":{"content":{"text":"Hi"}}}})") +
             sse(R"({"type":"message-end","delta":{"finish_reason":"COMPLETE"}})")},
        {DialectId::ollama,
         "{\"message\":{\"content\":\"Hi\"},\"done\":false}\n{\"done\":true,\"done_reason\":"
         "\"stop\"}\n"},
    };
    struct Sink final : ir::EventSink {
        void on_event(const ir::StreamEvent &event) override { encoder->event(event, out); }
        std::unique_ptr<Encoder> encoder;
        ByteBuffer out;
    };
    for (const Stream &stream : streams) {
        for (DialectId client : client_dialects()) {
            FixedIds ids;
            ClientView view = full_view(ids);
            view.usage_wanted = false;
            Sink sink;
            sink.encoder = dialect(client).make_encoder(view);
            auto decoder = dialect(stream.provider).make_decoder();
            std::string padded = stream.bytes + std::string(json::kPadding, ' ');
            decoder->feed({padded.data(), stream.bytes.size()}, sink);  // and no finish()
            std::string where = std::string(dialect(stream.provider).name) + " to " +
                                std::string(dialect(client).name);
            EXPECT_TRUE(decoder->ended()) << where;
            Problems problems;
            Answer got =
                check_of(client).read_stream(sink.out.view(), {.usage_chunk = false}, problems);
            EXPECT_TRUE(problems.empty()) << where << "\n" << report(problems) << sink.out.view();
            EXPECT_TRUE(got.is_complete) << where;
            EXPECT_EQ(got.first().text, "Hi") << where;
        }
    }
}

// The first frame has words in it, and neither id, role nor model: the start that clients need is
// made up, and the words follow it.
TEST(MatrixGotchasOf, Gotcha78_WordsOfTheFirstFrameFollowAStartThatIsMadeUp) {
    auto bedrock = [](std::string_view words) {
        return aws_event("contentBlockDelta", R"({"contentBlockIndex":0,"delta":{"text":")" +
                                                  std::string(words) + "\"}}");
    };
    const Stream streams[] = {
        {DialectId::openai, sse(R"({"choices":[{"index":0,"delta":{"content":"First"}}]})") +
                                sse(R"({"choices":[{"index":0,"delta":{"content":" words"},)"
                                    R"("finish_reason":"stop"}]})") +
                                sse("[DONE]")},
        {DialectId::responses,
         sse(R"({"type":"response.output_text.delta","output_index":0,"delta":"First"})") +
             sse(R"({"type":"response.output_text.delta","output_index":0,"delta":" words"})") +
             sse(R"({"type":"response.completed","response":{"status":"completed"}})")},
        {DialectId::gemini, sse(R"({"candidates":[{"content":{"parts":[{"text":"First"}]}}]})") +
                                sse(R"({"candidates":[{"content":{"parts":[{"text":" words"}]},)"
                                    R"("finishReason":"STOP"}]})")},
        {DialectId::bedrock, bedrock("First") + bedrock(" words") +
                                 aws_event("messageStop", R"({"stopReason":"end_turn"})")},
        {DialectId::cohere,
         sse(R"({"type":"content-delta","delta":{"message":{"content":{"text":"First"}}}})") +
             sse(R"({"type":"content-delta","delta":{"message":{"content":{"text":" words"}}}})") +
             sse(R"({"type":"message-end","delta":{"finish_reason":"COMPLETE"}})")},
        {DialectId::ollama,
         "{\"message\":{\"content\":\"First\"},\"done\":false}\n{\"message\":{\"content\":"
         "\" words\"},\"done\":true,\"done_reason\":\"stop\"}\n"},
    };
    for (const Stream &stream : streams) {
        for (DialectId client : client_dialects()) {
            Answer got = streamed(stream.provider, client, stream.bytes);
            std::string where = std::string(dialect(stream.provider).name) + " to " +
                                std::string(dialect(client).name);
            EXPECT_TRUE(got.is_complete) << where;
            EXPECT_EQ(got.first().text, "First words") << where;
        }
    }
}

// Nothing says that an answer begins: encoders make their start up themselves.
TEST(MatrixGotchasOf, Gotcha78_AnEncoderWithoutAStart) {
    for (DialectId client : client_dialects()) {
        FixedIds ids;
        auto encoder = dialect(client).make_encoder(full_view(ids));
        ByteBuffer out;
        Usage usage = {.input = 5, .output = 3, .known = true};
        encoder->event({.kind = ir::EventKind::open}, out);
        encoder->event({.kind = ir::EventKind::delta, .text = {"First"}}, out);
        encoder->event({.kind = ir::EventKind::delta, .text = {" words"}}, out);
        encoder->event({.kind = ir::EventKind::close}, out);
        encoder->event({.kind = ir::EventKind::usage, .usage = &usage}, out);
        encoder->event({.kind = ir::EventKind::finish}, out);
        encoder->event({.kind = ir::EventKind::end}, out);
        Problems problems;
        Answer got = read_stream(client, out.view(), problems);
        EXPECT_TRUE(problems.empty()) << report(problems) << out.view();
        EXPECT_EQ(got.first().text, "First words") << dialect(client).name;
    }
}

// An empty fragment in the middle of a call's arguments.
TEST(MatrixGotchasOf, Gotcha34_AnEmptyFragmentInsideACall) {
    auto chat = [](std::string_view call, std::string_view finish) {
        return sse(R"({"id":"a","model":"m","choices":[{"index":0,"delta":{"tool_calls":[{)" +
                   std::string(call) + R"(}]},"finish_reason":)" + std::string(finish) + "}]}");
    };
    auto messages = [](std::string_view json) {
        return sse(R"({"type":"content_block_delta","index":0,"delta":)"
                   R"({"type":"input_json_delta","partial_json":")" +
                   std::string(json) + "\"}}");
    };
    auto responses = [](std::string_view json) {
        return sse(R"({"type":"response.function_call_arguments.delta","output_index":0,)"
                   R"("delta":")" +
                   std::string(json) + "\"}");
    };
    auto bedrock = [](std::string_view json) {
        return aws_event("contentBlockDelta",
                         R"({"contentBlockIndex":0,"delta":{"toolUse":{"input":")" +
                             std::string(json) + "\"}}}");
    };
    auto cohere = [](std::string_view json) {
        return sse(R"({"type":"tool-call-delta","index":0,"delta":{"message":{"tool_calls":)"
                   R"({"function":{"arguments":")" +
                   std::string(json) + "\"}}}}}");
    };
    const std::string_view head = R"({\"a\":)";
    const Stream streams[] = {
        {DialectId::openai,
         chat(R"("index":0,"id":"c","function":{"name":"f","arguments":"{\"a\":"})", "null") +
             chat(R"("index":0,"function":{"arguments":""})", "null") +
             chat(R"("index":0,"function":{"arguments":"1}"})", "\"tool_calls\"") + sse("[DONE]")},
        {DialectId::anthropic,
         sse(R"({"type":"message_start","message":{"id":"a","model":"m","content":[]}})") +
             sse(R"({"type":"content_block_start","index":0,"content_block":)"
                 R"({"type":"tool_use","id":"c","name":"f","input":{}}})") +
             messages("") + messages(head) + messages("") + messages("1}") +
             sse(R"({"type":"content_block_stop","index":0})") +
             sse(R"({"type":"message_delta","delta":{"stop_reason":"tool_use"}})") +
             sse(R"({"type":"message_stop"})")},
        {DialectId::responses,
         sse(R"({"type":"response.output_item.added","output_index":0,"item":)"
             R"({"type":"function_call","call_id":"c","name":"f","arguments":""}})") +
             responses("") + responses(head) + responses("") + responses("1}") +
             sse(R"({"type":"response.completed","response":{"status":"completed"}})")},
        {DialectId::bedrock,
         aws_event("contentBlockStart",
                   R"({"contentBlockIndex":0,"start":{"toolUse":{"toolUseId":"c","name":"f"}}})") +
             bedrock("") + bedrock(head) + bedrock("") + bedrock("1}") +
             aws_event("contentBlockStop", R"({"contentBlockIndex":0})") +
             aws_event("messageStop", R"({"stopReason":"tool_use"})")},
        {DialectId::cohere,
         sse(R"({"type":"tool-call-start","index":0,"delta":{"message":{"tool_calls":)"
             R"({"id":"c","type":"function","function":{"name":"f","arguments":""}}}}})") +
             cohere("") + cohere(head) + cohere("") + cohere("1}") +
             sse(R"({"type":"tool-call-end","index":0})") +
             sse(R"({"type":"message-end","delta":{"finish_reason":"TOOL_CALL"}})")},
    };
    for (const Stream &stream : streams) {
        for (DialectId client : client_dialects()) {
            if (check_of(client).is_text_only) {
                continue;
            }
            Answer got = streamed(stream.provider, client, stream.bytes);
            std::string where = std::string(dialect(stream.provider).name) + " to " +
                                std::string(dialect(client).name);
            EXPECT_TRUE(got.is_complete) << where;
            ASSERT_EQ(got.first().calls.size(), 1u) << where;
            EXPECT_EQ(got.first().calls[0].arguments, R"({"a":1})") << where;
        }
    }
}

// After the first words: an error that its client learns of, with the class that it has.
TEST(MatrixGotchasOf, Gotcha85_86_87_AnErrorInsideAStreamIsOneForEveryClient) {
    const Stream streams[] = {
        {DialectId::openai,
         sse(R"({"id":"a","model":"m","choices":[{"index":0,"delta":{"content":"Hi"}}]})") +
             sse(R"({"error":{"message":"slow","type":"rate_limit_error","code":429}})") +
             sse("[DONE]")},
        {DialectId::anthropic,
         sse(R"({"type":"message_start","message":{"id":"a","model":"m","content":[]}})") +
             sse(R"({"type":"content_block_start","index":0,"content_block":)"
                 R"({"type":"text","text":"Hi"}})") +
             "event: error\n" +
             sse(R"({"type":"error","error":{"type":"rate_limit_error","message":"slow"}})")},
        {DialectId::responses,
         sse(R"({"type":"response.output_text.delta","output_index":0,"delta":"Hi"})") +
             sse(R"({"type":"response.failed","response":{"status":"failed","error":)"
                 R"({"code":"rate_limit_exceeded","message":"slow"}}})")},
        {DialectId::gemini,
         sse(R"({"candidates":[{"content":{"parts":[{"text":"Hi"}]}}]})") +
             sse(R"({"error":{"code":429,"message":"slow","status":"RESOURCE_EXHAUSTED"}})")},
        {DialectId::bedrock,
         aws_event("contentBlockDelta", R"({"contentBlockIndex":0,"delta":{"text":"Hi"}})") +
             aws_exception("throttlingException", R"({"message":"slow"})")},
    };
    auto has = [](std::string_view text, std::string_view part) {
        return text.find(part) != std::string_view::npos;
    };
    for (const Stream &stream : streams) {
        for (DialectId client : client_dialects()) {
            std::string out = translate(stream.provider, client, stream.bytes);
            std::string where = std::string(dialect(stream.provider).name) + " to " +
                                std::string(dialect(client).name) + "\n" + out;
            Answer got = streamed(stream.provider, client, stream.bytes);
            EXPECT_TRUE(got.has_error) << where;
            EXPECT_FALSE(got.is_complete) << where;
            EXPECT_TRUE(has(out, "Hi")) << where;
            EXPECT_TRUE(has(out, "rate_limit") || has(out, "RESOURCE_EXHAUSTED")) << where;
        }
    }
}

}  // namespace
}  // namespace llm::check
