// Pass-through of messages requests: what changes in the client's bytes, and what does not.
#include <gtest/gtest.h>

#include "translators/dialect/dialect.hpp"

namespace llm {
namespace {

std::string spliced(std::string body, std::string_view model) {
    std::string padded = body + std::string(json::kPadding, '\0');
    json::Reader reader;
    Result<json::Value> root = reader.parse(std::string_view(padded).substr(0, body.size()));
    EXPECT_TRUE(root);
    Target target;
    target.model = model;
    std::vector<Edit> edits;
    Notes notes;
    EXPECT_TRUE(kAnthropic.splice_request(*root, Envelope(), target, edits, notes));
    for (auto edit = edits.rbegin(); edit != edits.rend(); ++edit) {
        body.replace(edit->begin, edit->end - edit->begin, edit->text);
    }
    return body;
}

TEST(MessagesSplice, OnlyTheModelChanges) {
    EXPECT_EQ(spliced(R"({ "x" : 1.50, "model" : "a" , "messages":[ ] })", "bb"),
              R"({ "x" : 1.50, "model" : "bb" , "messages":[ ] })");
    EXPECT_EQ(spliced(R"({"model":"a","messages":[]})", "a"), R"({"model":"a","messages":[]})");
}

TEST(MessagesSplice, Case38_Gotcha58_SignedThinkingStaysByteForByte) {
    std::string body =
        R"({"messages":[{"role":"assistant","content":[ {"type":"thinking", "thinking":"",)"
        R"("signature":"c2ln"} ,{"type":"redacted_thinking","data":"eA=="}]}],"model":"a"})";
    EXPECT_EQ(spliced(body, "a"), body);
}

TEST(MessagesSplice, Case38_UnsignedThinkingIsDroppedWhole) {
    EXPECT_EQ(spliced(R"({"messages":[{"role":"assistant","content":[)"
                      R"({"type":"thinking","thinking":"hm","signature":""},)"
                      R"({"type":"text","text":"hi"}]}],"model":"a"})",
                      "b"),
              R"({"messages":[{"role":"assistant","content":[)"
              R"({"type":"text","text":"hi"}]}],"model":"b"})");
    EXPECT_EQ(spliced(R"({"model":"a","messages":[{"role":"assistant","content":[)"
                      R"({"type":"thinking","thinking":"hm"}]}]})",
                      "a"),
              R"x({"model":"a","messages":[{"role":"assistant","content":[)x"
              R"x({"type":"text","text":"(empty)"}]}]})x");
}

}  // namespace
}  // namespace llm
