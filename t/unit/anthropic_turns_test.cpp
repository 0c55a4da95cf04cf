#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "t/unit/anthropic_rendering.hpp"

namespace {

using namespace llm;
using namespace llm::test;

TEST(AnthropicTurns, R3_ConsecutiveTurnsOfOneRoleAreMerged) {
    EXPECT_EQ(
        messages(R"([{"role":"user","content":"a"},{"role":"user","content":"b"},)"
                 R"({"role":"assistant","content":"c"},{"role":"user","content":"d"}])"),
        R"([{"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]},)"
        R"({"role":"assistant","content":[{"type":"text","text":"c"}]},)"
        R"({"role":"user","content":[{"type":"text","text":"d"}]}])");
}

constexpr std::string_view kTwoCalls =
    R"({"role":"user","content":"go"},{"role":"assistant","content":[)"
    R"({"type":"tool_use","id":"a","name":"f","input":{}},)"
    R"({"type":"tool_use","id":"b","name":"g","input":{}}]})";

constexpr std::string_view kTwoCallsSent =
    R"([{"role":"user","content":[{"type":"text","text":"go"}]},{"role":"assistant","content":[)"
    R"({"type":"tool_use","id":"a","name":"f","input":{}},)"
    R"({"type":"tool_use","id":"b","name":"g","input":{}}]},)";

std::string after_two_calls(std::string_view rest) {
    std::string sent = messages("[" + std::string(kTwoCalls) + std::string(rest) + "]");
    EXPECT_EQ(sent.substr(0, kTwoCallsSent.size()), kTwoCallsSent);
    return sent.substr(std::min(sent.size(), kTwoCallsSent.size()));
}

constexpr std::string_view kResultA = R"({"type":"tool_result","tool_use_id":"a","content":"1"})";
constexpr std::string_view kResultB = R"({"type":"tool_result","tool_use_id":"b","content":"2"})";

std::string user(std::string_view blocks) {
    return R"({"role":"user","content":[)" + std::string(blocks) + "]}";
}

TEST(AnthropicTurns, Gotcha20_ResultsOfOneStepShareAMessageInTheOrderOfTheCalls) {
    std::string both = user(std::string(kResultA) + "," + std::string(kResultB));
    EXPECT_EQ(after_two_calls("," + user(kResultB) + "," + user(kResultA)), both + "]");
}

TEST(AnthropicTurns, Gotcha19_ResultsComeBeforeTheTextOfTheMessage) {
    std::string text = R"({"type":"text","text":"and"})";
    EXPECT_EQ(
        after_two_calls("," + user(text + "," + std::string(kResultB)) + "," + user(kResultA)),
        user(std::string(kResultA) + "," + std::string(kResultB) + "," + text) + "]");
}

TEST(AnthropicTurns, Gotcha22_MissingOrphanAndDuplicateResultsAreRepaired) {
    std::string missing =
        R"({"type":"tool_result","tool_use_id":"b","content":"[no result]","is_error":true})";
    EXPECT_EQ(after_two_calls("," + user(kResultA)),
              user(std::string(kResultA) + "," + missing) + "]");
    std::string other = R"({"type":"tool_result","tool_use_id":"a","content":"old"})";
    std::string orphan = R"({"type":"tool_result","tool_use_id":"zz","content":"x"})";
    EXPECT_EQ(after_two_calls("," + user(other + "," + orphan + "," + std::string(kResultB) + "," +
                                         std::string(kResultA))),
              user(std::string(kResultA) + "," + std::string(kResultB)) + "]");
    std::string both = after_two_calls("");  // the conversation ends with the calls
    EXPECT_NE(both.find(missing), std::string::npos);
    // Answers that come after the model went on belong to no call.
    std::string late = after_two_calls(R"(,{"role":"user","content":"never mind"},)"
                                       R"({"role":"assistant","content":"ok"},)" +
                                       user(kResultA));
    EXPECT_EQ(late.find(kResultA), std::string::npos);
    EXPECT_NE(late.find("never mind"), std::string::npos);
}

TEST(AnthropicTurns, CallsOfOneIdAreToldApart) {
    auto call = [](std::string_view id, std::string_view name) {
        return std::string(R"({"type":"tool_use","id":")").append(id).append(R"(","name":")") +
               std::string(name) + R"(","input":{}})";
    };
    auto result = [](std::string_view id, std::string_view text) {
        return std::string(R"({"type":"tool_result","tool_use_id":")").append(id) +
               R"(","content":")" + std::string(text) + "\"}";
    };
    auto said = [](std::string_view role, std::string_view blocks) {
        return std::string(R"({"role":")").append(role) + R"(","content":[)" + std::string(blocks) +
               "]}";
    };
    std::string go = said("user", R"({"type":"text","text":"go"})");
    // Two at once, and again in the next step; "c_2" is taken by one that is really called so.
    std::string sent = messages(
        "[" + go + "," +
        said("assistant", call("c_2", "f") + "," + call("c", "f") + "," + call("c", "g")) + "," +
        said("user", result("c", "of f") + "," + result("c", "of g") + "," + result("c_2", "2")) +
        "," + said("assistant", call("c", "h") + "," + call("c", "i")) + "," +
        said("user", result("c", "of h")) + "]");
    EXPECT_EQ(
        sent,
        "[" + go + "," +
            said("assistant", call("c_2", "f") + "," + call("c", "f") + "," + call("c_3", "g")) +
            "," +
            said("user",
                 result("c_2", "2") + "," + result("c", "of f") + "," + result("c_3", "of g")) +
            "," + said("assistant", call("c_4", "h") + "," + call("c_5", "i")) + "," +
            said("user",
                 result("c_4", "of h") +
                     R"(,{"type":"tool_result","tool_use_id":"c_5","content":"[no result]",)"
                     R"("is_error":true})") +
            "]");
}

TEST(AnthropicTurns, Gotcha16_BlankTextIsNeverSent) {
    EXPECT_EQ(messages(R"([{"role":"user","content":" \n"},{"role":"assistant","content":""},)"
                       R"({"role":"user","content":[{"type":"text","text":""},)"
                       R"({"type":"text","text":"b"}]}])"),
              R"([{"role":"user","content":[{"type":"text","text":"b"}]}])");
    EXPECT_EQ(messages(R"([{"role":"user","content":"\t"}])"),
              R"x([{"role":"user","content":[{"type":"text","text":"(empty)"}]}])x");
    EXPECT_EQ(
        after_two_calls("," + user(R"({"type":"tool_result","tool_use_id":"a","content":""},)" +
                                   std::string(kResultB))),
        user(R"({"type":"tool_result","tool_use_id":"a"},)" + std::string(kResultB)) + "]");
}

TEST(AnthropicTurns, R1_SystemTextInTheMiddle) {
    std::string_view list = R"([{"role":"user","content":"a"},{"role":"system","content":"rules"},)"
                            R"({"role":"assistant","content":"b"},{"role":"user","content":"c"}])";
    EXPECT_NE(messages(list).find(R"([{"role":"user","content":[{"type":"text","text":"a"},)"
                                  R"({"type":"text","text":"<system>rules</system>"}]})"),
              std::string::npos);
    Target target = modern();
    target.traits.system_in_messages = true;
    EXPECT_NE(messages(list, target)
                  .find(R"({"role":"system","content":[{"type":"text","text":"rules"}]})"),
              std::string::npos);
    // Never between calls and their results.
    EXPECT_EQ(after_two_calls(R"(,{"role":"system","content":"r"},)" +
                              user(std::string(kResultA) + "," + std::string(kResultB))),
              user(std::string(kResultA) + "," + std::string(kResultB) +
                   R"(,{"type":"text","text":"<system>r</system>"})") +
                  "]");
}

TEST(AnthropicTurns, R1_OnlySystemText) {
    ir::Request request;
    request.model = {"m"};
    request.system.push_back({{"S"}, {}, {}});
    Arena arena;
    EXPECT_TRUE(render(request, classic(), arena)
                    .has(R"("system":"S","messages":[{"role":"user","content":)"
                         R"([{"type":"text","text":"."}]}])"));
}

TEST(AnthropicTurns, FirstMessageIsTheUsers) {
    EXPECT_EQ(messages(R"([{"role":"assistant","content":"Hello!"},{"role":"user","content":"a"}])")
                  .substr(0, 59),
              R"([{"role":"user","content":[{"type":"text","text":"."}]},{"r)");
}

TEST(AnthropicTurns, Gotcha17_PrefillIsTrimmed) {
    EXPECT_NE(messages(R"([{"role":"user","content":"a"},{"role":"assistant","content":"{ \n "}])")
                  .find(R"({"role":"assistant","content":[{"type":"text","text":"{"}]})"),
              std::string::npos);
}

TEST(AnthropicTurns, Gotcha18_PrefillToModelsWithoutIt) {
    std::string body = R"({"model":"m","messages":[{"role":"user","content":"a"},)"
                       R"({"role":"assistant","content":"So"}]})";
    Parsed parsed(body, true);
    Target target = modern();
    Rendered refused = render(parsed, target);
    ASSERT_FALSE(refused.status);
    EXPECT_EQ(refused.status.error().code, Errc::unsupported);
    EXPECT_EQ(refused.status.error().param, "prefill");
    target.drop_params = true;
    Rendered emulated = render(parsed, target);
    EXPECT_TRUE(emulated.has(R"([{"type":"text","text":"a"},)"
                             R"({"type":"text","text":"Continue exactly from: So"}])"));
    EXPECT_TRUE(emulated.dropped("prefill"));
    // A turn that paused in a server tool is continued by every model.
    Parsed paused(R"({"model":"m","messages":[{"role":"user","content":"a"},{"role":"assistant",)"
                  R"("content":[{"type":"server_tool_use","id":"s","name":"x","input":{}}]}]})");
    EXPECT_TRUE(render(paused, modern()).status);
}

TEST(AnthropicTurns, Gotcha57_ForeignOrUnsignedThinkingIsNeverSent) {
    ir::Request request;
    request.turns.push_back({ir::Role::user, {{ir::Text{{"a"}, {}, {}}}}});
    ir::Turn turn;
    turn.role = ir::Role::assistant;
    ir::Reasoning foreign;
    foreign.text = {"foreign"};
    foreign.signature = {"x"};
    ir::Reasoning unsigned_one;
    unsigned_one.text = {"unsigned"};
    unsigned_one.origin = DialectId::anthropic;
    ir::Reasoning good = unsigned_one;
    good.text = {""};
    good.signature = {"c2ln"};
    turn.parts = {{foreign}, {unsigned_one}, {good}, {ir::Text{{"b"}, {}, {}}}};
    request.turns.push_back(turn);
    request.turns.push_back({ir::Role::user, {{ir::Text{{"c"}, {}, {}}}}});
    Arena arena;
    Rendered rendered = render(request, classic(), arena);
    EXPECT_TRUE(rendered.has(R"({"role":"assistant","content":[{"type":"thinking","thinking":"",)"
                             R"("signature":"c2ln"},{"type":"text","text":"b"}]})"))
        << rendered.body;
    EXPECT_FALSE(rendered.has("foreign"));
}

TEST(AnthropicTurns, Gotcha49_ArgumentsAreAlwaysAnObject) {
    ir::Request request;
    ir::Turn turn;
    turn.role = ir::Role::assistant;
    for (std::string_view arguments : {"", "{\"a\":", "{\"id\":1234567890123456789}"}) {
        ir::ToolCall call;
        call.id = {arguments.empty() ? "functions.add:0" : arguments.size() > 6 ? "c" : "b"};
        call.name = {"f"};
        call.arguments = arguments;
        turn.parts.push_back({call});
    }
    request.turns.push_back(turn);
    Arena arena;
    Rendered rendered = render(request, classic(), arena);
    EXPECT_TRUE(rendered.has(R"("id":"functions_add_0_2aab2b9e","name":"f","input":{}})"));  // G44
    EXPECT_TRUE(rendered.has(R"("tool_use_id":"functions_add_0_2aab2b9e")"));                // G46
    EXPECT_TRUE(rendered.has(R"("input":{"raw_arguments":"{\"a\":"}})"));
    EXPECT_TRUE(rendered.has(R"("input":{"id":1234567890123456789}})"));  // G72
}

TEST(AnthropicTurns, ImagesAndDocuments) {
    ir::Request request;
    ir::Turn turn;
    ir::Image image;
    image.source.kind = ir::SourceKind::url;
    image.source.data = {"data:image/jpg;base64,iVBORw0KGgoAAAANSUhEUgAA"};
    turn.parts.push_back({image});
    image.source.data = {"https://example.com/a.png"};
    turn.parts.push_back({image});
    ir::Document document;
    document.source.mime = {"text/plain"};
    document.source.data = {"SGksICJ5b3Ui"};
    document.title = {"a.txt"};
    turn.parts.push_back({document});
    document.source.mime = {"application/pdf"};
    document.source.data = {"JVBERi0xLjQK"};
    turn.parts.push_back({document});
    request.turns.push_back(turn);
    Arena arena;
    Rendered rendered = render(request, classic(), arena);
    EXPECT_TRUE(
        rendered.has(R"({"type":"image","source":{"type":"base64","media_type":"image/png",)"
                     R"("data":"iVBORw0KGgoAAAANSUhEUgAA"}})"))
        << rendered.body;
    EXPECT_TRUE(rendered.has(
        R"({"type":"image","source":{"type":"url","url":"https://example.com/a.png"}})"));
    EXPECT_TRUE(
        rendered.has(R"({"type":"document","source":{"type":"text",)"
                     R"("media_type":"text/plain","data":"Hi, \"you\""},"title":"a.txt"})"));
    EXPECT_TRUE(rendered.has(R"("media_type":"application/pdf","data":"JVBERi0xLjQK")"));
}

TEST(AnthropicTurns, R12_TheDetailOfImagesIsNamed) {
    ir::Request request;
    ir::Image image;
    image.source.kind = ir::SourceKind::url;
    image.source.data = {"https://example.com/a.png"};
    image.detail = {"auto"};
    request.turns.push_back({ir::Role::user, {{image}}});
    Arena arena;
    EXPECT_FALSE(render(request, classic(), arena).dropped("detail"));
    image.detail = {"low"};
    request.turns[0].parts.push_back({image});
    EXPECT_TRUE(render(request, classic(), arena).dropped("detail"));
}

TEST(AnthropicTurns, AudioAndForeignFilesAreRefused) {
    ir::Request request;
    request.turns.push_back({ir::Role::user, {{ir::Audio{{"wav"}, {"AAAA"}}}}});
    Arena arena;
    Target target = classic();
    Rendered refused = render(request, target, arena);
    ASSERT_FALSE(refused.status);
    EXPECT_EQ(refused.status.error().code, Errc::unsupported);
    EXPECT_EQ(refused.status.error().param, "input_audio");
    target.drop_params = true;
    Rendered dropped = render(request, target, arena);
    EXPECT_TRUE(dropped.has("(empty)"));
    EXPECT_TRUE(dropped.dropped("input_audio"));
}

TEST(AnthropicTurns, Case39_AtMostFourCacheMarksTheLastOnes) {
    std::string mark = R"("cache_control":{"type":"ephemeral"})";
    Parsed parsed(R"({"model":"m","tools":[{"name":"f","input_schema":{"type":"object"},)" + mark +
                  R"(}],"system":[{"type":"text","text":"S",)" + mark +
                  R"(}],"messages":[{"role":"user","content":[{"type":"text","text":"a",)" + mark +
                  R"(},{"type":"text","text":"b",)" + mark + R"(},{"type":"text","text":"c",)" +
                  mark + R"(},{"type":"text","text":"d"},{"type":"text","text":" ",)" + mark +
                  "}]}]}");
    Rendered rendered = render(parsed);
    size_t count = 0;
    for (size_t at = 0; (at = rendered.body.find("cache_control", at)) != std::string::npos; ++at) {
        ++count;
    }
    EXPECT_EQ(count, 4u);
    EXPECT_TRUE(rendered.has(R"("system":[{"type":"text","text":"S"}])")) << rendered.body;
    EXPECT_TRUE(rendered.has(R"({"type":"text","text":"d",)" + mark));  // moved from the blank one
}

TEST(AnthropicThinking, Gotcha55_ToolTurnWithoutThinkingTurnsItOff) {
    std::string calls = "[" + std::string(kTwoCalls) + "," + user(kResultA) + "]";
    Parsed bare(R"({"model":"m","thinking":{"type":"enabled","budget_tokens":2000},"messages":)" +
                calls + "}");
    Rendered rendered = render(bare);
    EXPECT_FALSE(rendered.has("\"thinking\""));
    EXPECT_TRUE(rendered.dropped("thinking"));
    calls.insert(calls.find(R"({"type":"tool_use")"),
                 R"({"type":"thinking","thinking":"","signature":"c2ln"},)");  // G56
    Parsed thought(
        R"({"model":"m","thinking":{"type":"enabled","budget_tokens":2000},"messages":)" + calls +
        "}");
    Rendered kept = render(thought);
    EXPECT_TRUE(kept.has(R"("thinking":{"type":"enabled","budget_tokens":2000})"));
    EXPECT_TRUE(kept.has(R"({"type":"thinking","thinking":"","signature":"c2ln"})"));
}

}  // namespace
