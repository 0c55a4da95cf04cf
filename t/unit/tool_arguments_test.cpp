// Tool arguments for targets that want an object.
// Whatever the arguments are, the result is one JSON object; what was one already keeps every
// byte.
#include <gtest/gtest.h>

#include <string>

#include "translators/dialect/tool_arguments.hpp"
#include "translators/json/reader.hpp"

namespace llm {
namespace {

std::string object(std::string_view arguments) {
    Arena arena;
    std::string result(arguments_as_object(arguments, arena).bytes);
    json::Reader reader;
    auto root = reader.parse_unpadded(result);
    EXPECT_TRUE(root && root->is_object()) << result;
    return result;
}

TEST(ToolArguments, Gotcha72_ObjectsStayByteForByte) {
    for (const char *text : {"{\"a\":1}", "{\"id\":1234567890123456789,\"x\":1.0,\"y\":1e3}",
                             "{\"b\":1,\"a\":2,\"b\":3}", "{\"a\": 1}", "{}", "{ }"}) {
        EXPECT_EQ(object(text), text);
    }
    EXPECT_EQ(object(" \n{\"a\": 1}\t"), "{\"a\": 1}");
}

TEST(ToolArguments, Gotcha33_NothingIsAnEmptyObject) {
    EXPECT_EQ(object(""), "{}");
    EXPECT_EQ(object("  \n"), "{}");
    EXPECT_EQ(object("null"), "{}");
    EXPECT_EQ(object(" null "), "{}");
}

TEST(ToolArguments, Gotcha49_EverythingElseIsWrapped) {
    EXPECT_EQ(object("[1,2]"), R"({"raw_arguments":"[1,2]"})");
    EXPECT_EQ(object("\"x\""), R"({"raw_arguments":"\"x\""})");
    EXPECT_EQ(object("{\"a\":"), R"({"raw_arguments":"{\"a\":"})");
    EXPECT_EQ(object("{\"a\":1}{\"b\":2}"), R"({"raw_arguments":"{\"a\":1}{\"b\":2}"})");
    EXPECT_EQ(object("hello\n"), R"({"raw_arguments":"hello\n"})");
    EXPECT_EQ(object("{}}"), R"({"raw_arguments":"{}}"})");
    EXPECT_EQ(object(R"({"a":"\ud83d"})"), R"({"raw_arguments":"{\"a\":\"\\ud83d\"}"})");
}

}  // namespace
}  // namespace llm
