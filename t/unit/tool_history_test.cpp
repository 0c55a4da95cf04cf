// The calls and results of a history, as order_tool_calls leaves them for the targets.
#include "t/unit/openai_testing.hpp"

namespace llm::openai_testing {
namespace {

std::string call(std::string_view id, std::string_view name) {
    return R"({"id":")" + std::string(id) + R"(","type":"function","function":{"name":")" +
           std::string(name) + R"(","arguments":"{}"}})";
}

std::string calls(const std::vector<std::string> &all) {
    std::string list;
    for (const std::string &one : all) {
        list += (list.empty() ? "" : ",") + one;
    }
    return R"({"role":"assistant","content":null,"tool_calls":[)" + list + "]}";
}

std::string result(std::string_view id, std::string_view text) {
    return R"({"role":"tool","tool_call_id":")" + std::string(id) + R"(","content":")" +
           std::string(text) + R"("})";
}

// "turn: name=id, ..." of calls and "id: text" of results, in their order.
std::string ids_of(const std::vector<std::string> &messages) {
    std::string list = R"({"role":"user","content":"go"})";
    for (const std::string &message : messages) {
        list += "," + message;
    }
    Parsed parsed(with_messages(list));
    EXPECT_TRUE(parsed.status);
    std::string out;
    for (const ir::Turn &turn : parsed.request.turns) {
        std::string line;
        for (const ir::Part &part : turn.parts) {
            if (const auto *call = std::get_if<ir::ToolCall>(&part.is)) {
                line += " " + std::string(call->name.bytes) + "=" + std::string(call->id.bytes);
            } else if (const auto *result = std::get_if<ir::ToolResult>(&part.is)) {
                const ir::Text &text = std::get<ir::Text>(result->parts.at(0).is);
                line +=
                    " " + std::string(result->call_id.bytes) + ":" + std::string(text.text.bytes);
            }
        }
        out += line.empty() ? "" : line + " |";
    }
    return out;
}

TEST(ToolHistory, IdsThatAreTheirOwnStay) {
    EXPECT_EQ(ids_of({calls({call("a", "f"), call("b", "g")}), result("b", "1"), result("a", "2"),
                      calls({call("c", "f")}), result("c", "3")}),
              " f=a g=b | b:1 a:2 | f=c | c:3 |");
}

TEST(ToolHistory, ResultsOfOneIdBelongToItsCallsInTheirOrder) {
    EXPECT_EQ(ids_of({calls({call("a", "f"), call("b", "g"), call("a", "h")}), result("a", "1"),
                      result("b", "2"), result("a", "3")}),
              " f=a g=b h=a_2 | a:1 b:2 a_2:3 |");
    // One more than there are calls replaces that of the last one.
    EXPECT_EQ(ids_of({calls({call("a", "f"), call("a", "g")}), result("a", "1"), result("a", "2"),
                      result("a", "3")}),
              " f=a g=a_2 | a:1 a_2:2 a_2:3 |");
}

TEST(ToolHistory, NewIdsAreNobodyElses) {
    EXPECT_EQ(ids_of({calls({call("a", "f"), call("a_2", "g"), call("a", "h"), call("a_2", "i")}),
                      result("a_2", "1"), result("a", "2"), result("a", "3")}),
              " f=a g=a_2 h=a_3 i=a_2_2 | a_2:1 a:2 a_3:3 |");
}

// What the provider has in its cache is the beginning of the next request.
TEST(ToolHistory, WhatComesLaterChangesNoId) {
    std::vector<std::string> messages = {calls({call("a", "f"), call("a", "g")}), result("a", "1"),
                                         result("a", "2")};
    std::string before = ids_of(messages);
    messages.push_back(calls({call("a_2", "h"), call("a", "i"), call("", "j")}));
    messages.push_back(result("a_2", "3"));
    EXPECT_EQ(ids_of(messages).substr(0, before.size()), before);
    EXPECT_NE(ids_of(messages).find("h=a_2_2"), std::string::npos);
}

TEST(ToolHistory, AnEarlierTurnsIdIsNotAnswered) {
    EXPECT_EQ(ids_of({calls({call("a", "f")}), result("a", "1"), calls({call("b", "g")}),
                      result("a", "late"), result("b", "2")}),
              " f=a | a:1 | g=b | a:late b:2 |");
    EXPECT_EQ(ids_of({calls({call("a", "f")}), calls({call("a", "g")}), result("a", "1"),
                      result("a", "2"), result("x", "3")}),
              " f=a g=a_2 | a:1 a_2:2 x:3 |");
}

TEST(ToolHistory, IdsAreOneHoweverTheyAreWritten) {
    EXPECT_EQ(ids_of({calls({call("\\u0061", "f"), call("a\\\"b", "g")}), result("a", "1"),
                      result("\\u0061\\u0022b", "2")}),
              " f=\\u0061 g=a\\\"b | \\u0061:1 a\\\"b:2 |");
}

TEST(ToolHistory, CallsWithoutIdsGetOne) {
    std::string ids =
        ids_of({calls({call("", "f"), call("", "g")}), result("", "1"), result("", "2")});
    size_t first = ids.find("f=call_");
    size_t second = ids.find("g=call_");
    ASSERT_NE(first, std::string::npos) << ids;
    ASSERT_NE(second, std::string::npos) << ids;
    std::string f = ids.substr(first + 2, 29);
    std::string g = ids.substr(second + 2, 29);
    EXPECT_NE(f, g);
    EXPECT_EQ(ids, " f=" + f + " g=" + g + " | " + f + ":1 " + g + ":2 |");
}

}  // namespace
}  // namespace llm::openai_testing
