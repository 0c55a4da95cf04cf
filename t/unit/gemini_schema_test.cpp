// JSON Schema cut down to what Gemini takes (the other way: gemini_schema_parse.cpp).
#include <gtest/gtest.h>

#include <chrono>
#include <string>

#include "t/check/pump.hpp"
#include "translators/dialect/gemini_schema.hpp"

namespace {

using namespace llm;

std::string rewritten(std::string_view schema, bool is_parameters = false) {
    check::Document document(schema);
    EXPECT_TRUE(bool(document)) << schema;
    Arena arena;
    return std::string(gemini::rewrite_schema(document.root(), is_parameters, {}, arena).bytes);
}

// The schema of one property.
std::string property(std::string_view schema, std::string_view rest = "") {
    std::string whole = rewritten(R"({"type":"object","properties":{"p":)" + std::string(schema) +
                                  "}" + std::string(rest) + "}");
    constexpr std::string_view kHead = R"({"type":"object","properties":{"p":)";
    EXPECT_EQ(whole.substr(0, kHead.size()), kHead);
    return whole.substr(kHead.size(), whole.size() - kHead.size() - 2);
}

TEST(GeminiSchema, Gotcha50KeywordsThatTheApiDoesNotKnow) {
    EXPECT_EQ(
        rewritten(R"({"$schema":"s","type":"object","additionalProperties":false,)"
                  R"("properties":{"q":{"type":"string","examples":["x"],"title":"T"}},)"
                  R"("required":["q"],"if":{},"not":{}})"),
        R"({"type":"object","properties":{"q":{"type":"string","title":"T"}},"required":["q"]})");
}

TEST(GeminiSchema, Gotcha51PropertiesNamedLikeKeywordsStay) {
    EXPECT_EQ(rewritten(R"({"type":"object","properties":{"not":{"type":"string"},)"
                        R"("default":{"type":"integer"},"$ref":{"type":"string"}},)"
                        R"("required":["not","gone"]})"),
              R"({"type":"object","properties":{"not":{"type":"string"},)"
              R"("default":{"type":"integer"},"$ref":{"type":"string"}},"required":["not"]})");
}

TEST(GeminiSchema, NullIsNoType) {
    EXPECT_EQ(property(R"({"type":["string","null"]})"), R"({"type":"string","nullable":true})");
    EXPECT_EQ(property(R"({"type":["string","integer","null"]})"),
              R"({"anyOf":[{"type":"string"},{"type":"integer"}],"nullable":true})");
    EXPECT_EQ(property(R"({"anyOf":[{"type":"integer","description":"n"},{"type":"null"}]})"),
              R"({"type":"integer","nullable":true,"description":"n"})");
    EXPECT_EQ(property(R"({"oneOf":[{"type":"string"},{"type":"number"},{"type":"null"}]})"),
              R"({"anyOf":[{"type":"string"},{"type":"number"}],"nullable":true})");
    EXPECT_EQ(property(R"({"enum":["a",null,""]})"),
              R"({"type":"string","enum":["a"],"nullable":true})");
}

TEST(GeminiSchema, ValuesOfOtherTypesThanText) {
    EXPECT_EQ(property(R"({"const":"x"})"), R"({"type":"string","enum":["x"]})");
    EXPECT_EQ(property(R"({"const":true})"), R"({"type":"boolean"})");
    EXPECT_EQ(property(R"({"type":"integer","enum":[1,2]})"), R"({"type":"integer"})");
    EXPECT_EQ(property(R"({"enum":[1.5]})"), R"({"type":"number"})");
}

TEST(GeminiSchema, Bounds) {
    EXPECT_EQ(property(R"({"type":"integer","exclusiveMinimum":0,"exclusiveMaximum":10})"),
              R"({"type":"integer","minimum":1,"maximum":9})");
    EXPECT_EQ(property(R"({"type":"integer","minimum":3,"exclusiveMinimum":true})"),
              R"({"type":"integer","minimum":4})");
    EXPECT_EQ(property(R"({"type":"number","exclusiveMinimum":0,"maximum":1.50})"),
              R"({"type":"number","maximum":1.50})");
    EXPECT_EQ(property(R"({"type":"string","format":"uri","minLength":2})"),
              R"({"type":"string","minLength":2})");
}

TEST(GeminiSchema, ArraysHaveItems) {
    for (const char *array :
         {R"({"type":"array"})", R"({"type":"array","items":{}})",
          R"({"type":"array","items":[{"type":"integer"}]})", R"({"type":"array","items":true})"}) {
        EXPECT_EQ(property(array), R"({"type":"array","items":{"type":"string"}})") << array;
    }
}

TEST(GeminiSchema, ReferencesAreInlinedAndCyclesCut) {
    EXPECT_EQ(property(R"({"$ref":"#/$defs/a~1b","description":"d"})",
                       R"(,"$defs":{"a/b":{"type":"number","description":"other"}})"),
              R"({"type":"number","description":"d"})");
    EXPECT_EQ(
        property(
            R"({"$ref":"#/$defs/N"})",
            R"(,"$defs":{"N":{"properties":{"v":{"type":"string"},"n":{"$ref":"#/$defs/N"}}}})"),
        R"({"type":"object","properties":{"v":{"type":"string"},"n":{"type":"object"}}})");
    EXPECT_EQ(property(R"({"$ref":"#/$defs/gone"})"), R"({"type":"object"})");
    EXPECT_EQ(property(R"({"$ref":"#/properties/p"})"), R"({"type":"object"})");
}

TEST(GeminiSchema, AllOfIsMerged) {
    EXPECT_EQ(
        property(
            R"({"allOf":[{"type":"object","properties":{"x":{"type":"string"}},"required":["x"]},)"
            R"({"properties":{"y":{"type":"integer"}},"required":["y"]}]})"),
        R"({"type":"object","properties":{"x":{"type":"string"},"y":{"type":"integer"}},)"
        R"("required":["x","y"]})");
}

TEST(GeminiSchema, ParametersAreAnObjectWithPropertiesOrLeftOut) {
    EXPECT_EQ(rewritten(R"({"type":"object","properties":{}})", true), "");
    EXPECT_EQ(rewritten(R"({"type":"object"})", true), "");
    EXPECT_EQ(rewritten(R"({"type":"string"})", true), "");
    EXPECT_EQ(rewritten(R"({"anyOf":[{"properties":{"a":{"type":"string"}}},)"
                        R"({"properties":{"b":{"type":"string"}}}]})",
                        true),
              R"({"type":"object","properties":{"a":{"type":"string"},"b":{"type":"string"}}})");
}

TEST(GeminiSchema, WhatReferencesMultiplyIsBounded) {
    // Each level refers to the next one ten times.
    std::string wide = R"({"type":"object","properties":{"a":{"$ref":"#/$defs/d0"}},"$defs":{)";
    for (int i = 0; i < 12; ++i) {
        wide += (i > 0 ? ",\"d" : "\"d") + std::to_string(i) + R"(":{"properties":{)";
        for (int k = 0; k < 10; ++k) {
            wide += (k > 0 ? ",\"k" : "\"k") + std::to_string(k) + R"(":{"$ref":"#/$defs/d)" +
                    std::to_string(i + 1) + "\"}";
        }
        wide += "}}";
    }
    wide += R"(,"d12":{"type":"string"}}})";
    auto begin = std::chrono::steady_clock::now();
    EXPECT_LT(rewritten(wide).size(), 4u << 20);

    // One large text, referred to often.
    std::string large = R"({"type":"object","$defs":{"L":{"type":"string","description":")" +
                        std::string(1 << 20, 'x') + R"("}},"properties":{)";
    for (int i = 0; i < 5000; ++i) {
        large += (i > 0 ? ",\"k" : "\"k") + std::to_string(i) + R"(":{"$ref":"#/$defs/L"})";
    }
    large += "}}";
    EXPECT_LT(rewritten(large).size(), 16u << 20);

    std::string deep;
    for (int i = 0; i < 400; ++i) {
        deep += R"({"items":)";
    }
    deep += "{}" + std::string(400, '}');
    EXPECT_NE(rewritten(deep), "");
    EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(20));
}

}  // namespace
