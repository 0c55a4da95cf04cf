#include "translators/dialect/anthropic_schema.hpp"

#include <gtest/gtest.h>

#include <string>

namespace {

using namespace llm;

std::string rewrite(std::string_view schema, std::string_view description = {}) {
    json::Reader reader;
    Arena arena;
    auto root = reader.parse_unpadded(schema);
    EXPECT_TRUE(root);
    return std::string(anthropic::rewrite_schema(*root, {description}, arena).bytes);
}

TEST(AnthropicSchema, EveryObjectIsClosed) {
    EXPECT_EQ(rewrite(R"({"type":"object","properties":{"a":{"type":"object","properties":)"
                      R"({"b":{"type":"string"}}}},"required":["a"],"additionalProperties":true})"),
              R"({"type":"object","properties":{"a":{"type":"object","properties":)"
              R"({"b":{"type":"string"}},"additionalProperties":false}},"required":["a"],)"
              R"("additionalProperties":false})");
}

TEST(AnthropicSchema, Gotcha91_ConstraintsMoveIntoTheDescription) {
    EXPECT_EQ(rewrite(R"({"type":"integer","minimum":1,"maximum":10,"description":"A number"})"),
              R"({"type":"integer","description":"A number\n\n{minimum: 1, maximum: 10}"})");
    EXPECT_EQ(rewrite(R"({"type":"number","exclusiveMinimum":0})"),
              R"({"type":"number","description":"{exclusiveMinimum: 0}"})");
    EXPECT_EQ(rewrite(R"({"type":"string","minLength":2,"pattern":"^a"})"),
              R"({"type":"string","description":"{minLength: 2, pattern: \"^a\"}"})");
}

TEST(AnthropicSchema, OnlyKnownStringFormatsStay) {
    EXPECT_EQ(rewrite(R"({"type":"string","format":"date"})"),
              R"({"type":"string","format":"date"})");
    EXPECT_EQ(rewrite(R"({"type":"string","format":"regex"})"),
              R"({"type":"string","description":"{format: \"regex\"}"})");
}

TEST(AnthropicSchema, ArraysKeepAMinimumOfNoneOrOne) {
    EXPECT_EQ(rewrite(R"({"type":"array","items":{"type":"string"},"minItems":1,"maxItems":3})"),
              R"({"type":"array","items":{"type":"string"},"minItems":1,)"
              R"("description":"{maxItems: 3}"})");
    EXPECT_EQ(
        rewrite(R"({"type":"array","items":{"type":"integer"},"minItems":2,"uniqueItems":true})"),
        R"({"type":"array","items":{"type":"integer"},)"
        R"("description":"{minItems: 2, uniqueItems: true}"})");
}

TEST(AnthropicSchema, OneOfBecomesAnyOfAndReferencesStay) {
    EXPECT_EQ(rewrite(R"({"type":"object","properties":{"o":{"oneOf":[{"type":"string"},)"
                      R"({"$ref":"#/$defs/P"}]},"e":{"type":"string","enum":["a","b"]}},)"
                      R"("$defs":{"P":{"type":"object","properties":{"x":{"type":"number"}},)"
                      R"("required":["x"]}}})"),
              R"({"type":"object","properties":{"o":{"anyOf":[{"type":"string"},)"
              R"({"$ref":"#/$defs/P"}]},"e":{"type":"string","enum":["a","b"]}},)"
              R"("$defs":{"P":{"type":"object","properties":{"x":{"type":"number"}},)"
              R"("required":["x"],"additionalProperties":false}},"additionalProperties":false})");
}

TEST(AnthropicSchema, Gotcha51_PropertiesThatAreCalledLikeKeywordsStay) {
    EXPECT_EQ(rewrite(R"({"type":"object","properties":{"not":{"type":"string"},)"
                      R"("minimum":{"type":"number","minimum":3}}})"),
              R"({"type":"object","properties":{"not":{"type":"string"},)"
              R"("minimum":{"type":"number","description":"{minimum: 3}"}},)"
              R"("additionalProperties":false})");
}

TEST(AnthropicSchema, DescriptionOfTheFormatGoesToTheRoot) {
    EXPECT_EQ(rewrite(R"({"type":"string"})", "What for"),
              R"({"type":"string","description":"What for"})");
    EXPECT_EQ(rewrite(R"({"type":"string","description":"Own"})", "What for"),
              R"({"type":"string","description":"What for\n\nOwn"})");
}

TEST(AnthropicSchema, DeepSchemasDoNotBreakTheWriter) {
    std::string schema = R"({"type":"string"})";
    for (int level = 0; level < 100; ++level) {
        schema = R"({"type":"object","properties":{"p":)" + schema + "}}";
    }
    std::string rewritten = rewrite(schema);
    json::Reader reader;
    EXPECT_TRUE(reader.parse_unpadded(rewritten));
}

}  // namespace
