// Ids and names of tools as each target wants them.
// The hashes are SHA-256 of the original text, computed apart from this code. What conforms stays;
// what is rewritten is rewritten the same way each time and is mapped back.
#include <gtest/gtest.h>

#include <string>

#include "translators/dialect/tool_names.hpp"

namespace llm {
namespace {

class ToolNames : public testing::Test {
  protected:
    std::string openai_id(std::string_view id) {
        return std::string(call_id_for_openai({id}, arena_).bytes);
    }
    std::string anthropic_id(std::string_view id) {
        return std::string(call_id_for_anthropic({id}, arena_).bytes);
    }
    std::string mistral_id(std::string_view id) {
        return std::string(call_id_for_mistral({id}, arena_).bytes);
    }
    std::string sent(std::string_view name) {
        return std::string(tool_name_for_target({name}, renamed_, arena_).bytes);
    }
    std::string shown(std::string_view name) {
        return std::string(tool_name_for_client({name}, &renamed_).bytes);
    }

    Arena arena_;
    std::vector<Renamed> renamed_;
};

TEST_F(ToolNames, IdsThatConformStay) {
    for (const char *id :
         {"call_15X0Q2MmkK1IeFfiol9LFlqb", "toolu_01DQcPyBm9AKWFQPiMHmiih8", "x"}) {
        EXPECT_EQ(openai_id(id), id);
        EXPECT_EQ(anthropic_id(id), id);
    }
}

TEST_F(ToolNames, Gotcha45_NineCharactersForMistral) {
    EXPECT_EQ(mistral_id("rEJDoePqM"), "rEJDoePqM");
    EXPECT_EQ(mistral_id("call_15X0Q2MmkK1IeFfiol9LFlqb"), "gtnxCEaRn");
    EXPECT_EQ(mistral_id("functions.add:0"), "7hBrWovId");
    EXPECT_EQ(mistral_id(std::string(65, 'a')), "hvBuXwv9V");
    EXPECT_EQ(mistral_id("\xc3\xa9:1"), "THHrkzjJ3");
    EXPECT_EQ(mistral_id("a_b-c_d-e").size(), 9u);
    EXPECT_EQ(mistral_id("a_b-c_d-e").find_first_of("_-"), std::string::npos);
}

TEST_F(ToolNames, Gotcha43_LongIdsForOpenAi) {
    EXPECT_EQ(openai_id(std::string(40, 'x')), std::string(40, 'x'));
    EXPECT_EQ(openai_id(std::string(41, 'x')), "call_3164596df4fdd018b2c567ec8c03e79b");
    EXPECT_EQ(openai_id("functions.add:0"), "functions.add:0");
    EXPECT_EQ(openai_id("\xc3\xa9:1"), "\xc3\xa9:1");
}

TEST_F(ToolNames, Gotcha44_IdsWithOtherCharactersForAnthropic) {
    EXPECT_EQ(anthropic_id("functions.add:0"), "functions_add_0_2aab2b9e");
    EXPECT_EQ(anthropic_id("\xc3\xa9:1"), "___1_6136fedb");
    EXPECT_EQ(anthropic_id("\\u00e9:1"), "___1_6136fedb");
    EXPECT_EQ(anthropic_id(std::string(65, 'a')), std::string(65, 'a'));
    EXPECT_EQ(anthropic_id(""), "_e3b0c442");
}

TEST_F(ToolNames, Gotcha46_RewritingAgainChangesNothing) {
    for (std::string id :
         {std::string("a.b:c"), std::string(70, 'q'), std::string("\xf0\x9f\x9a\x80")}) {
        EXPECT_EQ(anthropic_id(anthropic_id(id)), anthropic_id(id));
        EXPECT_EQ(openai_id(openai_id(id)), openai_id(id));
    }
    EXPECT_NE(anthropic_id("a.b"), anthropic_id("a:b"));
}

TEST_F(ToolNames, InventedIdsDifferByAnswerAndPlace) {
    std::string first(invent_call_id({"resp_1"}, 0, arena_).bytes);
    EXPECT_EQ(first.size(), 29u);
    EXPECT_EQ(first.substr(0, 5), "call_");
    EXPECT_EQ(first, invent_call_id({"resp_1"}, 0, arena_).bytes);
    EXPECT_NE(first, invent_call_id({"resp_1"}, 1, arena_).bytes);
    EXPECT_NE(first, invent_call_id({"resp_2"}, 0, arena_).bytes);
    EXPECT_EQ(anthropic_id(first), first);
}

TEST_F(ToolNames, NamesThatConformStay) {
    EXPECT_EQ(sent("ok_name-1"), "ok_name-1");
    EXPECT_EQ(sent(std::string(64, 'n')), std::string(64, 'n'));
    EXPECT_TRUE(renamed_.empty());
    EXPECT_EQ(shown("ok_name-1"), "ok_name-1");
}

TEST_F(ToolNames, OtherNamesAreRewrittenAndMappedBack) {
    EXPECT_EQ(sent("get.weather"), "get_weather");
    EXPECT_EQ(sent("search files"), "search_files");
    EXPECT_EQ(sent("get.weather"), "get_weather");
    EXPECT_EQ(renamed_.size(), 2u);
    EXPECT_EQ(shown("get_weather"), "get.weather");
    EXPECT_EQ(shown("unknown"), "unknown");
    EXPECT_EQ(tool_name_for_client({"x"}, nullptr).bytes, "x");
}

TEST_F(ToolNames, Gotcha48_LongNames) {
    std::string name = "mcp__server__" + std::string(56, 't');
    std::string short_name = sent(name);
    EXPECT_EQ(short_name.size(), 64u);
    EXPECT_EQ(short_name.substr(0, 57), name.substr(0, 57));
    EXPECT_EQ(short_name[57], '_');
    EXPECT_EQ(shown(short_name), name);
    std::string longer = name + "u";
    EXPECT_NE(sent(longer), short_name);
    EXPECT_FALSE(sent("").empty());
}

TEST_F(ToolNames, ConformingNamesKeepTheirsWhateverTheOrder) {
    plan_tool_names({{"a.b"}, {"a_b"}, {"a b"}}, renamed_, arena_);
    EXPECT_EQ(sent("a.b"), "a_b_2e7336");
    EXPECT_EQ(sent("a_b"), "a_b");
    EXPECT_NE(sent("a b"), sent("a.b"));
    EXPECT_EQ(shown("a_b_2e7336"), "a.b");
    EXPECT_EQ(shown("a_b"), "a_b");
}

TEST_F(ToolNames, TwoNamesNeverMeet) {
    EXPECT_EQ(sent("a.b"), "a_b");
    std::string other = sent("a:b");
    EXPECT_NE(other, "a_b");
    std::string plain = sent("a_b");
    EXPECT_NE(plain, "a_b");
    EXPECT_EQ(shown(plain), "a_b");
    EXPECT_EQ(shown(other), "a:b");
    EXPECT_EQ(sent("a_b"), plain);
}

}  // namespace
}  // namespace llm
