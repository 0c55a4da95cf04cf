// What the ledger and the commit point learn from a chat stream that passes through untouched.
#include "t/unit/openai_testing.hpp"

namespace llm::openai_testing {
namespace {

class Watch : public wire::SseHandler {
  public:
    explicit Watch(bool hide_usage = false) {
        observer = kOpenAi.make_observer({.hide_usage = hide_usage});
    }

    Status on_sse(const wire::SseEvent &frame) override {
        seen.push_back(observer->on_frame(frame));
        return {};
    }
    Watch &feed(std::string_view stream) {
        Padded bytes(stream);
        EXPECT_TRUE(splitter_.feed(bytes.view(), *this));
        return *this;
    }
    // The tail that the client must still get, or "cut".
    std::string finish() {
        EXPECT_TRUE(splitter_.finish(*this));
        ByteBuffer tail;
        return observer->finish(tail) ? std::string(tail.view()) : "cut";
    }

    std::unique_ptr<Observer> observer;
    std::vector<Observation> seen;

  private:
    wire::SseSplitter splitter_;
};

TEST(ChatObserver, Case2_RoleOnlyChunkIsNoContent) {
    Watch watch;
    watch.feed(stream_of({delta(R"("role":"assistant","content":"","refusal":null)"),
                          delta(R"("content":null,"tool_calls":null,"reasoning":"")"),
                          delta(R"("content":"x")")}));
    EXPECT_FALSE(watch.seen[0].is_content);
    EXPECT_FALSE(watch.seen[1].is_content);
    EXPECT_TRUE(watch.seen[2].is_content);
    EXPECT_EQ(watch.observer->model(), "m");
}

TEST(ChatObserver, EveryKindOfContentCounts) {
    for (std::string_view members :
         {R"("content":"x")", R"("reasoning_content":"x")", R"("reasoning":"x")",
          R"("refusal":"x")", R"("tool_calls":[{"index":0,"function":{"name":"f"}}])",
          R"("function_call":{"name":"f"})", R"("images":[{"image_url":{"url":"data:"}}])",
          R"("content":[{"type":"thinking","thinking":[{"type":"text","text":"x"}]}])"}) {
        Watch watch;
        watch.feed(stream_of({delta(members)}));
        EXPECT_TRUE(watch.seen[0].is_content) << members;
    }
}

TEST(ChatObserver, Case51_HidesTheUsageChunkThatTheClientDidNotAskFor) {
    std::string stream = stream_of(
        {delta(R"("content":"x")") + R"(,"usage":null)",
         delta("", R"("stop")") + R"(,"usage":null)",
         R"("choices":[],"usage":{"prompt_tokens":5,"completion_tokens":2,"total_tokens":7})"});
    Watch hiding(true);
    hiding.feed(stream);
    EXPECT_EQ(hiding.finish(), "");
    EXPECT_FALSE(hiding.seen[0].hide);
    EXPECT_TRUE(hiding.seen[1].is_finish);
    EXPECT_FALSE(hiding.seen[1].hide);
    EXPECT_TRUE(hiding.seen[2].hide);
    EXPECT_TRUE(hiding.seen[2].has_usage);
    EXPECT_TRUE(hiding.seen[3].is_end);
    EXPECT_FALSE(hiding.seen[3].hide);
    EXPECT_EQ(hiding.observer->usage().input, 5);
    EXPECT_EQ(hiding.observer->usage().output, 2);
    EXPECT_EQ(hiding.observer->finish_reason(), "stop");

    Watch open;
    open.feed(stream);
    EXPECT_FALSE(open.seen[2].hide);
    EXPECT_EQ(open.observer->usage().output, 2);
}

TEST(ChatObserver, UsageInAChunkWithChoicesIsNotHidden) {
    Watch watch(true);
    watch.feed(stream_of(
        {delta(R"("content":"x")"),
         delta("", R"("stop")") + R"(, "usage" : {"prompt_tokens":5,"completion_tokens":2})"}));
    EXPECT_FALSE(watch.seen[1].hide);
    EXPECT_TRUE(watch.seen[1].has_usage);
    EXPECT_EQ(watch.observer->usage().input, 5);
}

TEST(ChatObserver, TextThatLooksLikeMembersIsText) {
    Watch watch;
    watch.feed(stream_of({delta(R"("content":"x")"),
                          delta(R"("content":"\"usage\":{\"prompt_tokens\":9},\"error\":1")")}));
    EXPECT_FALSE(watch.observer->usage().known);
    EXPECT_FALSE(watch.seen[1].is_error);
    EXPECT_FALSE(watch.seen[1].is_finish);
}

TEST(ChatObserver, Case8_AddsTheMissingDone) {
    std::string stream = stream_of({delta(R"("content":"x")"), delta("", R"("stop")")}, false);
    Watch watch;
    EXPECT_EQ(watch.feed(stream).finish(), "data: [DONE]\n\n");
    Watch unterminated;
    EXPECT_EQ(unterminated.feed(std::string_view(stream).substr(0, stream.size() - 2)).finish(),
              "\n\ndata: [DONE]\n\n");
}

TEST(ChatObserver, Case1_CutStreamIsNotComplete) {
    Watch watch;
    EXPECT_EQ(watch.feed(stream_of({delta(R"("content":"x")")}, false)).finish(), "cut");
    Watch nothing;
    EXPECT_EQ(nothing.finish(), "cut");
}

TEST(ChatObserver, Gotcha85_SeesErrorsBeforeAndAfterContent) {
    Watch first;
    first.feed("data: {\"error\":{\"message\":\"slow down\",\"code\":429}}\n\n");
    EXPECT_TRUE(first.seen[0].is_error);
    EXPECT_EQ(first.observer->error().error_class, ErrorClass::rate_limit);
    EXPECT_EQ(first.finish(), "");

    Watch later;
    later.feed(stream_of({delta(R"("content":"x")")}, false) +
               "event: error\ndata: {\"error\":{\"message\":\"no\",\"status_code\":400,"
               "\"type\":\"invalid_request_error\"}}\n\n");
    EXPECT_TRUE(later.seen[1].is_error);
    EXPECT_EQ(later.observer->error().error_class, ErrorClass::invalid_request);
}

TEST(ChatObserver, Gotcha86_AnErrorForAFinishReasonIsOne) {
    for (std::string_view text : {"", "Half of"}) {
        Watch watch;
        watch.feed(stream_of(
            {delta(R"("content":")" + std::string(text) + '"'), delta("", R"("error")")}));
        EXPECT_FALSE(watch.seen.front().is_error);
        EXPECT_TRUE(watch.seen.at(1).is_error);
        EXPECT_EQ(watch.observer->error().code.bytes, "error");
    }
    Watch watch;
    watch.feed("data: [DONE]\n\n");
    EXPECT_TRUE(watch.seen.front().is_error) << "a stream without an answer";
}

TEST(ChatObserver, NullErrorIsNone) {
    Watch watch;
    watch.feed(stream_of({delta(R"("content":"x")") + R"(,"error":null)"}));
    EXPECT_FALSE(watch.seen[0].is_error);
}

TEST(ChatObserver, Case7_FramesThatCannotBeReadPass) {
    Watch watch;
    watch.feed("data: {broken\n\n: comment\n\n" +
               stream_of({delta(R"("content":"x")", R"("stop")")}));
    EXPECT_FALSE(watch.seen[0].is_content || watch.seen[0].is_error || watch.seen[0].hide);
    EXPECT_FALSE(watch.seen[1].hide);
    EXPECT_TRUE(watch.seen[2].is_content);
    EXPECT_EQ(watch.finish(), "");
}

}  // namespace
}  // namespace llm::openai_testing
