// Chat completion streams as clients get them: exact bytes where clients depend on them, and the
// grammar of the stream (role first, calls numbered from 0, one finish, usage, [DONE]).
#include "t/unit/openai_testing.hpp"

namespace llm::openai_testing {
namespace {

using ir::BlockKind;
using ir::EventKind;
using ir::StreamEvent;

class Stream {
  public:
    explicit Stream(ClientView view = {}) {
        view.ids = &ids_;
        view.now = view.now == 0 ? 1700000000 : view.now;
        encoder_ = kOpenAi.make_encoder(view);
    }

    Stream &send(const StreamEvent &event) {
        encoder_->event(event, out_);
        return *this;
    }
    Stream &start(std::string_view id = "a1", std::string_view model = "m") {
        return send({.kind = EventKind::start, .id = {id}, .name = {model}, .created = 5});
    }
    Stream &open(uint32_t block, BlockKind kind, std::string_view id = {},
                 std::string_view name = {}, uint32_t choice = 0) {
        return send({.kind = EventKind::open,
                     .block_kind = kind,
                     .choice = choice,
                     .block = block,
                     .id = {id},
                     .name = {name}});
    }
    Stream &delta(uint32_t block, std::string_view text, uint32_t choice = 0) {
        return send({.kind = EventKind::delta, .choice = choice, .block = block, .text = {text}});
    }
    Stream &close(uint32_t block, uint32_t choice = 0) {
        return send({.kind = EventKind::close, .choice = choice, .block = block});
    }
    Stream &finish(ir::Finish finish, std::string_view native = {}, uint32_t choice = 0) {
        return send(
            {.kind = EventKind::finish, .finish = finish, .choice = choice, .native = {native}});
    }
    Stream &usage(int64_t input, int64_t output) {
        usage_.known = true;
        usage_.input = input;
        usage_.output = output;
        return send({.kind = EventKind::usage, .usage = &usage_});
    }
    Stream &end() { return send({.kind = EventKind::end}); }

    // What each frame since the last call says besides its constant part: the choices of a chunk,
    // or the whole frame.
    std::vector<std::string> frames() {
        std::vector<std::string> result;
        std::string_view rest = out_.view();
        while (!rest.empty()) {
            size_t end = rest.find("\n\n");
            EXPECT_NE(end, std::string_view::npos) << rest;
            std::string frame(rest.substr(0, end));
            rest.remove_prefix(end + 2);
            size_t choices = frame.find("\"choices\":");
            if (choices != std::string::npos) {
                Document document(std::string_view(frame).substr(6));
                prefixes.push_back(frame.substr(0, choices));
                frame = frame.substr(choices + 10);
                frame.pop_back();
            }
            result.push_back(frame);
        }
        out_.clear();
        return result;
    }
    std::string_view bytes() const { return out_.view(); }

    std::vector<std::string> prefixes;

  private:
    Ids ids_;
    Usage usage_;
    std::unique_ptr<Encoder> encoder_;
    ByteBuffer out_;
};

using Frames = std::vector<std::string>;

std::string chunk(std::string_view delta, std::string_view finish = "null") {
    return R"([{"index":0,"delta":{)" + std::string(delta) +
           R"(},"logprobs":null,"finish_reason":)" + std::string(finish) + "}]";
}

const std::string kRole = chunk(R"("role":"assistant","content":"","refusal":null)");

TEST(ChatEncoder, Case43_TextStreamToTheByte) {
    Stream stream;
    stream.start().open(0, BlockKind::text).delta(0, "Hi \\u00e9").close(0);
    stream.finish(ir::Finish::stop, "end_turn").usage(3, 4).end();
    constexpr std::string_view kHead =
        "data: {\"id\":\"a1\",\"object\":\"chat.completion.chunk\",\"created\":5,\"model\":\"m\","
        "\"system_fingerprint\":null,\"choices\":";
    std::string expected;
    expected += std::string(kHead) + kRole + "}\n\n";
    expected += std::string(kHead) + chunk(R"("content":"Hi \u00e9")") + "}\n\n";
    expected += std::string(kHead) +
                R"([{"index":0,"delta":{},"logprobs":null,"native_finish_reason":"end_turn",)"
                R"("finish_reason":"stop"}]})"
                "\n\ndata: [DONE]\n\n";
    EXPECT_EQ(stream.bytes(), expected);
}

TEST(ChatEncoder, UsageOnlyWhenAskedForAndNullBefore) {
    ClientView view;
    view.usage_wanted = true;
    Stream stream(view);
    stream.start().open(0, BlockKind::text).delta(0, "x").close(0);
    stream.usage(1, 1).finish(ir::Finish::stop, "stop").usage(30, 4).end();
    Frames frames = stream.frames();
    ASSERT_EQ(frames.size(), 5u);
    EXPECT_EQ(frames[0], kRole + R"(,"usage":null)");
    EXPECT_EQ(frames[2], chunk("", R"("stop")") + R"(,"usage":null)");
    EXPECT_EQ(frames[3],
              R"([],"usage":{"prompt_tokens":30,"completion_tokens":4,"total_tokens":34,)"
              R"("prompt_tokens_details":{"cached_tokens":0,"audio_tokens":0},)"
              R"("completion_tokens_details":{"reasoning_tokens":0,"audio_tokens":0,)"
              R"("accepted_prediction_tokens":0,"rejected_prediction_tokens":0}})");
    EXPECT_EQ(frames[4], "data: [DONE]");
    for (const std::string &prefix : stream.prefixes) {
        EXPECT_EQ(prefix, stream.prefixes[0]);
    }
}

TEST(ChatEncoder, NoUsageChunkWhenTheProviderGaveNone) {
    ClientView view;
    view.usage_wanted = true;
    Stream stream(view);
    stream.start().finish(ir::Finish::stop, "stop").end();
    EXPECT_EQ(stream.frames().size(), 3u);
}

TEST(ChatEncoder, Case41_CallsAreNumberedFromZeroWhateverTheBlock) {
    Stream stream;
    stream.start().open(4, BlockKind::tool, "c1", "f").delta(4, R"({\"a\":1)").delta(4, "}");
    stream.open(7, BlockKind::tool, "c2", "g").close(4).close(7);
    stream.finish(ir::Finish::tool_calls, "tool_use").end();
    EXPECT_EQ(
        stream.frames(),
        (Frames{
            kRole,
            chunk(
                R"("tool_calls":[{"index":0,"id":"c1","type":"function","function":{"name":"f","arguments":""}}])"),
            chunk(R"("tool_calls":[{"index":0,"function":{"arguments":"{\"a\":1"}}])"),
            chunk(R"("tool_calls":[{"index":0,"function":{"arguments":"}"}}])"),
            chunk(
                R"("tool_calls":[{"index":1,"id":"c2","type":"function","function":{"name":"g","arguments":""}}])"),
            // G33: a call without arguments is closed as {}, which clients can parse.
            chunk(R"("tool_calls":[{"index":1,"function":{"arguments":"{}"}}])"),
            R"([{"index":0,"delta":{},"logprobs":null,"native_finish_reason":"tool_use","finish_reason":"tool_calls"}])",
            "data: [DONE]"}));
}

TEST(ChatEncoder, Gotcha33_BlankArgumentsBecomeAnObject) {
    Stream stream;
    stream.start().open(0, BlockKind::tool, "c", "f").delta(0, " \\n").delta(0, " ").close(0);
    EXPECT_EQ(stream.frames().back(),
              chunk(R"("tool_calls":[{"index":0,"function":{"arguments":"{}"}}])"));
}

TEST(ChatEncoder, ImagesAreCountedInTheirChoice) {
    Stream stream;
    stream.start();
    for (uint32_t block : {0, 1}) {
        stream.send({.kind = EventKind::open,
                     .block_kind = BlockKind::image,
                     .block = block,
                     .text = {"QUJD"},
                     .name = {"image/webp"}});
        stream.close(block);
    }
    std::vector<std::string> frames = stream.frames();
    ASSERT_EQ(frames.size(), 3u);
    EXPECT_EQ(frames[1], chunk(R"("images":[{"type":"image_url","image_url":)"
                               R"({"url":"data:image/webp;base64,QUJD"},"index":0}])"));
    EXPECT_EQ(frames[2], chunk(R"("images":[{"type":"image_url","image_url":)"
                               R"({"url":"data:image/webp;base64,QUJD"},"index":1}])"));
}

TEST(ChatEncoder, Case42_ATurnWithACallSaysToolCalls) {
    auto told = [](ir::Finish finish) {
        Stream stream;
        stream.start().open(0, BlockKind::tool, "c", "f").delta(0, "{}").close(0).finish(finish);
        return stream.frames().back();
    };
    EXPECT_EQ(told(ir::Finish::stop), chunk("", R"("tool_calls")"));
    EXPECT_EQ(told(ir::Finish::length), chunk("", R"("length")"));
    EXPECT_EQ(told(ir::Finish::refusal), chunk("", R"("content_filter")"));
}

TEST(ChatEncoder, FinishReasons) {
    auto told = [](ir::Finish finish) {
        Stream stream;
        stream.start().finish(finish);
        return stream.frames().back();
    };
    EXPECT_EQ(told(ir::Finish::stop_sequence), chunk("", R"("stop")"));
    EXPECT_EQ(told(ir::Finish::context_length), chunk("", R"("length")"));
    EXPECT_EQ(told(ir::Finish::content_filter), chunk("", R"("content_filter")"));
    EXPECT_EQ(told(ir::Finish::pause), chunk("", R"("stop")"));
    EXPECT_EQ(told(ir::Finish::malformed), chunk("", R"("stop")"));
    EXPECT_EQ(told(ir::Finish::other), chunk("", R"("stop")"));
    EXPECT_EQ(told(ir::Finish::error).substr(0, 16), R"(data: {"error":{)");
}

TEST(ChatEncoder, LegacyFunctionCall) {
    ClientView view;
    view.legacy_functions = true;
    Stream stream(view);
    stream.start().open(0, BlockKind::tool, "c1", "f").delta(0, "{}").close(0);
    stream.open(1, BlockKind::tool, "c2", "g").delta(1, "{}").close(1);
    stream.finish(ir::Finish::tool_calls).end();
    EXPECT_EQ(stream.frames(),
              (Frames{kRole, chunk(R"("function_call":{"name":"f","arguments":""})"),
                      chunk(R"("function_call":{"arguments":"{}"})"),
                      chunk("", R"("function_call")"), "data: [DONE]"}));
}

TEST(ChatEncoder, NamesAreTheClientsOwn) {
    std::vector<Renamed> renamed = {{{"my.tool"}, {"my_tool_1"}}};
    ClientView view;
    view.renamed = &renamed;
    Stream stream(view);
    stream.start().open(0, BlockKind::tool, "c", "my_tool_1");
    EXPECT_NE(stream.frames().back().find(R"("name":"my.tool")"), std::string::npos);
}

TEST(ChatEncoder, Case38_ThinkingAndItsSignature) {
    Stream stream;
    stream.start().open(0, BlockKind::reasoning).delta(0, "Hm");
    stream.send({.kind = EventKind::signature, .block = 0, .text = {"S=="}}).close(0);
    stream.send({.kind = EventKind::redacted, .block = 1, .text = {"R=="}});
    stream.finish(ir::Finish::stop);
    Frames frames = stream.frames();
    ASSERT_EQ(frames.size(), 4u);
    EXPECT_EQ(frames[1], chunk(R"("reasoning_content":"Hm")"));
    // All of them at once, with their texts, in front of the finish.
    EXPECT_EQ(
        frames[2],
        chunk(
            R"("thinking_blocks":[{"type":"thinking","thinking":"Hm","signature":"gw1.anthropic.S=="},)"
            R"({"type":"redacted_thinking","data":"gw1.anthropic.R=="}])"));
}

TEST(ChatEncoder, Case44_SignaturesSayWhoseTheyAre) {
    for (auto [origin, tag] :
         {std::pair{DialectId::openai, "gw1.openai."}, std::pair{DialectId::gemini, "gw1.gemini."},
          std::pair{DialectId::responses, "gw1.responses."}}) {
        Stream stream;
        stream.start().open(0, BlockKind::reasoning);
        stream.send({.kind = EventKind::signature, .text = {"S"}, .origin = origin});
        stream.send({.kind = EventKind::signature, .text = {"T"}, .origin = origin}).close(0);
        stream.finish(ir::Finish::stop);
        EXPECT_EQ(stream.frames()[1],
                  chunk(R"("thinking_blocks":[{"type":"thinking","thinking":"","signature":")" +
                        std::string(tag) + R"(ST"}])"));
    }
}

TEST(ChatEncoder, HiddenReasoningLeavesNothing) {
    ClientView view;
    view.show_reasoning = false;
    Stream stream(view);
    stream.start().open(0, BlockKind::reasoning).delta(0, "Hm").close(0);
    EXPECT_EQ(stream.frames(), Frames{kRole});
}

TEST(ChatEncoder, CitationsBecomeAnnotationsBeforeTheFinish) {
    Stream stream;
    stream.start().open(0, BlockKind::text).delta(0, "\\ud83d").delta(0, "\\ude00\\n").close(0);
    stream.open(1, BlockKind::text);
    ir::Citation whole_block{{"https://e.x"}, {"T"}, {}, 0, -1};
    ir::Citation part{{"https://e.x/2"}, {}, {}, 1, 3};
    ir::Citation nowhere{{"https://e.x/3"}, {}, {}, -1, -1};
    ir::Citation document{{}, {"a document"}, {"quote"}, 0, 1};
    for (const ir::Citation *citation : {&whole_block, &part, &nowhere, &document}) {
        stream.send({.kind = EventKind::cite,
                     .block = 1,
                     .raw = {R"({"type":"x"})"},
                     .citation = citation});
    }
    stream.delta(1, "caf\xc3\xa9").close(1).finish(ir::Finish::stop);
    Frames frames = stream.frames();
    ASSERT_EQ(frames.size(), 6u);
    auto annotation = [](std::string_view url, std::string_view title, int from, int to) {
        return R"({"type":"url_citation","url_citation":{"url":")" + std::string(url) +
               R"(","title":")" + std::string(title) + R"(","start_index":)" +
               std::to_string(from) + R"(,"end_index":)" + std::to_string(to) + "}}";
    };
    EXPECT_EQ(frames[4], chunk(R"("annotations":[)" + annotation("https://e.x", "T", 2, 6) + "," +
                               annotation("https://e.x/2", "", 3, 5) + "," +
                               annotation("https://e.x/3", "", 6, 6) + "]"));
    EXPECT_EQ(frames[5], chunk("", R"("stop")"));
}

TEST(ChatEncoder, AnnotationsAreBounded) {
    Stream stream;
    stream.start();
    std::string url(8000, 'u');
    ir::Citation cite;
    cite.url = {url};
    for (uint32_t block = 0; block < 1000; ++block) {
        stream.open(block, BlockKind::text);
        stream.send({.kind = EventKind::cite, .block = block, .citation = &cite}).close(block);
    }
    stream.finish(ir::Finish::stop);
    EXPECT_LT(stream.bytes().size(), 300u << 10);
    EXPECT_EQ(stream.frames().size(), 3u);
}

TEST(ChatEncoder, RefusalAndLogprobs) {
    Stream stream;
    stream.start().open(0, BlockKind::refusal).delta(0, "No");
    stream.send({.kind = EventKind::logprobs, .raw = {R"({"content":[]})"}});
    EXPECT_EQ(
        stream.frames(),
        (Frames{kRole, chunk(R"("refusal":"No")"),
                R"([{"index":0,"delta":{},"logprobs":{"content":[]},"finish_reason":null}])"}));
}

TEST(ChatEncoder, EachChoiceBeginsWithItsRole) {
    Stream stream;
    stream.start().open(0, BlockKind::text, {}, {}, 1).delta(0, "b", 1).close(0, 1);
    stream.finish(ir::Finish::stop).finish(ir::Finish::length, {}, 1).end();
    Frames frames = stream.frames();
    ASSERT_EQ(frames.size(), 6u);
    EXPECT_EQ(frames[1].substr(0, 38), R"([{"index":1,"delta":{"role":"assistant)");
    EXPECT_EQ(frames[2].substr(0, 35), R"([{"index":1,"delta":{"content":"b"})");
    EXPECT_EQ(frames[4].substr(0, 11), R"([{"index":1)");
}

TEST(ChatEncoder, Case1_NothingFollowsAnError) {
    Stream stream;
    stream.start().send({.kind = EventKind::error,
                         .error_class = ir::ErrorClass::stream_truncated,
                         .text = {"cut"}});
    stream.delta(0, "late").end();
    Frames frames = stream.frames();
    ASSERT_EQ(frames.size(), 2u);
    EXPECT_EQ(frames[1], R"(data: {"error":{"message":"cut","type":"server_error","param":null,)"
                         R"("code":"stream_truncated"}})");
}

TEST(ChatEncoder, AnswersWithoutIdModelOrTimeGetOurs) {
    ClientView view;
    view.model = "shown";
    view.now = 99;
    Stream stream(view);
    stream.send({.kind = EventKind::start});
    stream.frames();
    EXPECT_EQ(stream.prefixes[0],
              "data: {\"id\":\"chatcmpl-00000000000000010000000000000002\",\"object\":"
              "\"chat.completion.chunk\",\"created\":99,\"model\":\"shown\","
              "\"system_fingerprint\":null,");
}

TEST(ChatEncoder, Case13_PingIsACommentThatReadersSkip) {
    std::unique_ptr<Encoder> encoder = kOpenAi.make_encoder({});
    ByteBuffer out;
    encoder->ping(out);
    EXPECT_EQ(out.view(), ": ping\n\n");
    EXPECT_EQ(out.view(), kOpenAi.ping_frame);
}

TEST(ChatEncoder, StructuredOutputByAForcedToolIsText) {
    ClientView view;
    view.json_tool = true;
    Stream stream(view);
    stream.start().open(0, BlockKind::tool, "c", kJsonTool).delta(0, R"({\"a\":)").delta(0, "1}");
    stream.close(0).finish(ir::Finish::tool_calls, "tool_use").end();
    Frames frames = stream.frames();
    ASSERT_EQ(frames.size(), 5u);
    EXPECT_EQ(frames[1], chunk(R"("content":"{\"a\":")"));
    EXPECT_EQ(frames[2], chunk(R"("content":"1}")"));
    EXPECT_NE(frames[3].find(R"("finish_reason":"stop")"), std::string::npos);
}

TEST(ChatEncoder, R5_FreeTextToolsGetTheirText) {
    std::vector<std::string_view> custom = {"patch"};
    ClientView view;
    view.custom_tools = &custom;
    Stream stream(view);
    stream.start().open(0, BlockKind::tool, "c", "patch");
    stream.delta(0, R"({\"inp)").delta(0, R"(ut\": \"a\\n)").delta(0, R"(\\\"b\\\"\"})");
    stream.close(0).open(1, BlockKind::tool, "d", "patch").delta(1, R"({\"cut)").close(1);
    Frames frames = stream.frames();
    ASSERT_EQ(frames.size(), 6u);
    EXPECT_EQ(frames[1], chunk(R"("tool_calls":[{"index":0,"id":"c","type":"custom",)"
                               R"("custom":{"name":"patch","input":""}}])"));
    EXPECT_EQ(frames[2], chunk(R"("tool_calls":[{"index":0,"custom":{"input":"a\n"}}])"));
    EXPECT_EQ(frames[3], chunk(R"("tool_calls":[{"index":0,"custom":{"input":"\"b\""}}])"));
    EXPECT_EQ(frames[5], chunk(R"("tool_calls":[{"index":1,"custom":{"input":"{\"cut"}}])"));
    // What is held is bounded.
    stream.open(2, BlockKind::tool, "e", "patch");
    std::string piece(3u << 20, 'x');
    stream.delta(2, piece).delta(2, piece);
    EXPECT_EQ(stream.frames().size(), 1u);
    stream.delta(2, piece).close(2);
    frames = stream.frames();
    ASSERT_EQ(frames.size(), 1u);
    EXPECT_NE(frames[0].find("too large"), std::string::npos);
}

TEST(ChatEncoder, OurOwnStreamReadsBackAsTheSameAnswer) {
    ClientView view;
    view.usage_wanted = true;
    Stream stream(view);
    stream.start().open(0, BlockKind::reasoning).delta(0, "Hm").close(0);
    stream.open(1, BlockKind::text).delta(1, "Hi").close(1);
    stream.open(2, BlockKind::tool, "c", "f").delta(2, "{}").close(2);
    stream.usage(7, 8).finish(ir::Finish::tool_calls, "tool_calls").end();
    EXPECT_EQ(decode_pieces({stream.bytes()}),
              (Frames{"start a1 m", "open 0 reasoning", "delta 0 Hm", "close 0", "open 1 text",
                      "delta 1 Hi", "close 1", "open 2 tool c f", "delta 2 {}", "usage 7+8",
                      "close 2", "finish tool_calls (tool_calls)", "end"}));
}

}  // namespace
}  // namespace llm::openai_testing
