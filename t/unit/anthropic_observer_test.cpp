#include <gtest/gtest.h>

#include <string>

#include "translators/dialect/dialect.hpp"

namespace {

using namespace llm;

struct Watch final : public wire::SseHandler {
    std::unique_ptr<Observer> observer = kAnthropic.make_observer({});
    std::string seen;  // one letter per frame

    Status on_sse(const wire::SseEvent &event) override {
        Observation what = observer->on_frame(event);
        seen += what.is_error     ? 'E'
                : what.is_content ? 'C'
                : what.is_end     ? 'e'
                : what.is_finish  ? 'f'
                : what.has_usage  ? 'u'
                                  : '.';
        return {};
    }

    void feed(std::string_view bytes) {
        std::string padded(bytes);
        padded.append(json::kPadding, '\0');
        wire::SseSplitter splitter;
        EXPECT_TRUE(splitter.feed({padded.data(), bytes.size()}, *this));
    }
};

const std::string kStart =
    "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"m\","
    "\"model\":\"claude-x\",\"content\":[],\"stop_reason\":null,"
    "\"usage\":{\"input_tokens\":3,\"cache_read_input_tokens\":7,\"output_tokens\":1}}}\n\n";
const std::string kPing = "event: ping\ndata: {\"type\": \"ping\"}\n\n";
const std::string kEmptyText =
    "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,"
    "\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n";
const std::string kDelta =
    "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,"
    "\"delta\":{\"type\":\"text_delta\",\"text\":\"Hi\"}}\n\n";
const std::string kMessageDelta =
    "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":"
    "{\"stop_reason\":\"end_turn\"},\"usage\":{\"output_tokens\":9}}\n\n";
const std::string kStop = "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";

TEST(AnthropicObserver, Case2_LifecycleFramesAreNoContent) {
    Watch watch;
    watch.feed(kStart + kPing + kEmptyText);
    EXPECT_EQ(watch.seen, "u..");
    watch.feed(kDelta + kDelta + kMessageDelta + kStop);
    EXPECT_EQ(watch.seen, "u..C.fe");
    ByteBuffer tail;
    EXPECT_TRUE(watch.observer->finish(tail));
    EXPECT_EQ(tail.size(), 0u);
    EXPECT_EQ(watch.observer->usage().input, 10);
    EXPECT_EQ(watch.observer->usage().cache_read, 7);
    EXPECT_EQ(watch.observer->usage().output, 9);
    EXPECT_EQ(watch.observer->model(), "claude-x");
    EXPECT_EQ(watch.observer->finish_reason(), "end_turn");
}

TEST(AnthropicObserver, CallsThinkingAndRedactedBlocksAreContent) {
    auto first = [](std::string_view name, std::string_view data) {
        Watch watch;
        watch.feed("event: " + std::string(name) + "\ndata: " + std::string(data) + "\n\n");
        return watch.seen;
    };
    EXPECT_EQ(first("content_block_start", R"({"content_block":{"type":"tool_use","id":"t"}})"),
              "C");
    EXPECT_EQ(first("content_block_start", R"({"content_block":{"type":"redacted_thinking"}})"),
              "C");
    EXPECT_EQ(first("content_block_start",
                    R"({"content_block":{"type":"thinking","thinking":"","signature":""}})"),
              ".");
    EXPECT_EQ(first("content_block_delta", R"({"delta":{"type":"thinking_delta","thinking":"x"}})"),
              "C");
    EXPECT_EQ(
        first("content_block_delta", R"({"delta":{"type":"signature_delta","signature":"x"}})"),
        "C");
    EXPECT_EQ(
        first("content_block_delta", R"({"delta":{"type":"input_json_delta","partial_json":""}})"),
        ".");
}

TEST(AnthropicObserver, Case1_CutStreamIsIncomplete) {
    Watch watch;
    watch.feed(kStart + kEmptyText + kDelta);
    ByteBuffer tail;
    EXPECT_FALSE(watch.observer->finish(tail));
    EXPECT_EQ(tail.size(), 0u);
}

TEST(AnthropicObserver, Case8_MissingMessageStopIsAppended) {
    Watch watch;
    watch.feed(kStart + kEmptyText + kDelta + kMessageDelta);
    ByteBuffer tail;
    EXPECT_TRUE(watch.observer->finish(tail));
    EXPECT_EQ(tail.view(), kStop);
}

TEST(AnthropicObserver, Gotcha85_ErrorFramesAreSeenWithTheirClass) {
    Watch watch;
    watch.feed(kStart +
               "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\","
               "\"message\":\"Overloaded\"}}\n\n");
    EXPECT_EQ(watch.seen, "uE");
    EXPECT_EQ(watch.observer->error().error_class, ErrorClass::overloaded);
    EXPECT_EQ(watch.observer->error().message.bytes, "Overloaded");
    ByteBuffer tail;
    EXPECT_TRUE(watch.observer->finish(tail));  // it has its terminal frame
    EXPECT_EQ(tail.size(), 0u);
}

TEST(AnthropicObserver, Case7_UnreadableFramesPass) {
    Watch watch;
    watch.feed("event: content_block_delta\ndata: {\"typ\n\n: comment\n\n" + kDelta);
    EXPECT_EQ(watch.seen, "..C");
}

TEST(AnthropicObserver, FramesWithoutNamesAreReadByType) {
    Watch watch;
    watch.feed(
        "data: {\"type\":\"content_block_delta\",\"delta\":{\"text\":\"x\"}}\n\n"
        "data: {\"type\":\"message_stop\"}\n\n");
    EXPECT_EQ(watch.seen, "Ce");
}

TEST(AnthropicObserver, Gotcha105_WholeAnswerInMessageStart) {
    Watch watch;
    watch.feed(
        "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"content\":"
        "[{\"type\":\"tool_use\"}],\"stop_reason\":\"tool_use\"}}\n\n" +
        kStop);
    EXPECT_EQ(watch.seen, "Ce");
    EXPECT_EQ(watch.observer->finish_reason(), "tool_use");
}

}  // namespace
