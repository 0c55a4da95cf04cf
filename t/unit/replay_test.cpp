// A whole answer as the events of a stream.
// The recorder writes each event as one short line "choice.block kind payload"; a test compares
// the whole list, so that order, numbering and omissions all count.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "translators/core/ir.hpp"

namespace llm::ir {
namespace {

// Each event as a short line.
class Recorder : public EventSink {
  public:
    void on_event(const StreamEvent &event) override {
        std::string at = std::to_string(event.choice) + "." + std::to_string(event.block) + " ";
        auto text = [](auto view) { return std::string(view.bytes); };
        switch (event.kind) {
            case EventKind::start:
                lines.push_back("start " + text(event.id) + " " + text(event.name));
                break;
            case EventKind::open:
                lines.push_back(at + "open " + std::to_string(static_cast<int>(event.block_kind)) +
                                text(event.id) + text(event.name) + text(event.raw));
                break;
            case EventKind::delta:
                lines.push_back(at + "delta " + text(event.text));
                break;
            case EventKind::signature:
                lines.push_back(at + "signature " + text(event.text));
                break;
            case EventKind::redacted:
                lines.push_back(at + "redacted " + text(event.text));
                break;
            case EventKind::cite:
                lines.push_back(at + "cite " + text(event.raw));
                break;
            case EventKind::close:
                lines.push_back(at + "close");
                break;
            case EventKind::logprobs:
                lines.push_back("logprobs " + text(event.raw));
                break;
            case EventKind::usage:
                lines.push_back("usage " + std::to_string(event.usage->total()));
                break;
            case EventKind::finish:
                lines.push_back("finish " + std::to_string(event.choice) + " " +
                                text(event.native));
                break;
            case EventKind::end:
                lines.push_back("end");
                break;
            case EventKind::error:
            case EventKind::ping:
                lines.push_back("unexpected");
                break;
        }
    }

    std::vector<std::string> lines;
};

using Lines = std::vector<std::string>;

Lines replayed(const Response &response) {
    Recorder recorder;
    replay(response, recorder);
    return recorder.lines;
}

TEST(Replay, BlocksInOrderAndOneDeltaEach) {
    Response response;
    response.id = {"id1"};
    response.model = {"m"};
    response.usage.known = true;
    response.usage.input = 3;
    response.usage.output = 4;
    Choice choice;
    choice.finish = Finish::tool_calls;
    choice.native_finish = {"tool_use"};
    Reasoning thought;
    thought.text = {"hm"};
    thought.signature = {"sig"};
    choice.parts.push_back({thought});
    Text text;
    text.text = {"hi\\n"};
    text.citations = {R"([{"a":1}, {"b":2}])"};
    choice.parts.push_back({text});
    ToolCall call;
    call.id = {"c1"};
    call.name = {"f"};
    call.arguments = "{\"x\":\"y\"}";
    choice.parts.push_back({call});
    response.choices.push_back(choice);
    EXPECT_EQ(replayed(response),
              (Lines{"start id1 m", "0.0 open 1", "0.0 delta hm", "0.0 signature sig", "0.0 close",
                     "0.1 open 0", "0.1 delta hi\\n", "0.1 cite {\"a\":1}", "0.1 cite {\"b\":2}",
                     "0.1 close", "0.2 open 2c1f", "0.2 delta {\\\"x\\\":\\\"y\\\"}", "0.2 close",
                     "usage 7", "finish 0 tool_use", "end"}));
}

TEST(Replay, RedactedReasoningStandsAlone) {
    Response response;
    Reasoning hidden;
    hidden.is_redacted = true;
    hidden.redacted = {"blob"};
    Text text;
    text.text = {"x"};
    response.choices.push_back({});
    response.choices[0].parts.push_back({hidden});
    response.choices[0].parts.push_back({text});
    EXPECT_EQ(replayed(response), (Lines{"start  ", "0.0 redacted blob", "0.1 open 0",
                                         "0.1 delta x", "0.1 close", "finish 0 ", "end"}));
}

TEST(Replay, BlocksAreNumberedOverAllChoices) {
    Response response;
    for (const char *words : {"one", "two"}) {
        Text text;
        text.text = {words};
        Choice choice;
        choice.parts.push_back({text});
        choice.logprobs = {"{}"};
        response.choices.push_back(choice);
    }
    EXPECT_EQ(replayed(response), (Lines{"start  ", "0.0 open 0", "0.0 delta one", "0.0 close",
                                         "logprobs {}", "1.1 open 0", "1.1 delta two", "1.1 close",
                                         "logprobs {}", "finish 0 ", "finish 1 ", "end"}));
}

TEST(Replay, Gotcha56_ASignatureWithoutTextIsKept) {
    Response response;
    Reasoning thought;
    thought.signature = {"sig"};
    Opaque opaque{DialectId::anthropic, {"server_tool_use"}, {"{\"type\":1}"}};
    Refusal refusal{{"no"}};
    response.choices.push_back({});
    response.choices[0].parts.push_back({Text{}});
    response.choices[0].parts.push_back({thought});
    response.choices[0].parts.push_back({opaque});
    response.choices[0].parts.push_back({refusal});
    EXPECT_EQ(replayed(response),
              (Lines{"start  ", "0.0 open 1", "0.0 signature sig", "0.0 close",
                     "0.1 open 5server_tool_use{\"type\":1}", "0.1 close", "0.2 open 3",
                     "0.2 delta no", "0.2 close", "finish 0 ", "end"}));
}

}  // namespace
}  // namespace llm::ir
