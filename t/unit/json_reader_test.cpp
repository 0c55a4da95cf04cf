// The JSON reader: what it accepts, what it refuses, and that its raw slices are exact.
// Every document is parsed with digits behind its end, so that a scan which runs past the end
// changes the result; the allocations are of exact size where a sanitizer should see it.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "translators/json/reader.hpp"

namespace llm::json {
namespace {

// Behind the document stand bytes that would continue it, so that reading too far shows.
class JsonReader : public testing::Test {
  protected:
    Result<Value> parse(std::string_view json, const Limits &limits = {}) {
        bytes_.assign(json);
        bytes_.append(kPadding, '1');
        return reader_.parse(std::string_view(bytes_).substr(0, json.size()), limits);
    }

    bool accepts(std::string_view json) { return static_cast<bool>(parse(json)); }

    Reader reader_;
    std::string bytes_;
};

TEST_F(JsonReader, WalksObjectsAndArrays) {
    auto root = parse(R"( { "a" : [ 1 , "two" , { "b" : null } , [ ] , { } ] , "c" : true } )");
    ASSERT_TRUE(root);
    EXPECT_EQ(root->size(), 2u);
    std::vector<std::string> seen;
    for (Value item : root->find("a").items()) {
        seen.emplace_back(item.raw().bytes);
    }
    EXPECT_EQ(seen, (std::vector<std::string>{"1", "\"two\"", "{ \"b\" : null }", "[ ]", "{ }"}));
    EXPECT_EQ(root->find("a").size(), 5u);
    EXPECT_TRUE(root->find("c").is_true());
    EXPECT_EQ(root->raw().bytes.front(), '{');
    EXPECT_EQ(root->raw().bytes.back(), '}');
    std::string keys;
    for (auto [key, value] : root->members()) {
        keys += key.bytes;
    }
    EXPECT_EQ(keys, "ac");
}

TEST_F(JsonReader, RawSlicesHaveNoWhiteSpaceAtTheirEnds) {
    auto root = parse("\n{\"s\":\"x \"  ,\"n\": -1.50e+3\t,\"b\":false \r\n,\"z\" :\n null }\n");
    ASSERT_TRUE(root);
    EXPECT_EQ(root->find("s").raw().bytes, "\"x \"");
    EXPECT_EQ(root->find("s").text().bytes, "x ");
    EXPECT_EQ(root->find("n").raw().bytes, "-1.50e+3");
    EXPECT_EQ(root->find("b").raw().bytes, "false");
    EXPECT_EQ(root->find("z").raw().bytes, "null");
    EXPECT_EQ(root->find("s").offset(), 6u);
}

TEST_F(JsonReader, ScalarsAreDocuments) {
    EXPECT_EQ(parse("42")->as_int(), 42);
    EXPECT_EQ(parse(" \"x\" ")->text().bytes, "x");
    EXPECT_TRUE(parse("null")->is_null());
    EXPECT_EQ(parse("false")->as_bool(), false);
}

TEST_F(JsonReader, AbsentValuesAreHarmless) {
    auto root = parse("{\"a\":1}");
    Value nothing = root->find("x").find("y");
    EXPECT_TRUE(nothing.absent());
    EXPECT_TRUE(nothing.is_unset());
    EXPECT_TRUE(nothing.raw().empty());
    EXPECT_TRUE(nothing.text().empty());
    EXPECT_FALSE(nothing.as_int());
    EXPECT_FALSE(nothing.as_double());
    EXPECT_FALSE(nothing.as_bool());
    EXPECT_EQ(nothing.size(), 0u);
    for (Value item : nothing.items()) {
        FAIL() << item.raw().bytes;
    }
    for (Member member : root->find("a").members()) {
        FAIL() << member.key.bytes;
    }
    EXPECT_TRUE(root->find("a").text().empty());
}

TEST_F(JsonReader, TheLastMemberOfANameCounts) {
    auto root = parse(R"({"a":1,"a":2,"\u0061":3,"ab":4})");
    EXPECT_EQ(root->find("a").as_int(), 3);
    EXPECT_EQ(root->find("ab").as_int(), 4);
}

TEST_F(JsonReader, Case69_DuplicateKeysAreFound) {
    EXPECT_EQ(duplicate_key(*parse(R"({"model":"x","n":1,"mod\u0065l":"y"})")), "mod\\u0065l");
    EXPECT_EQ(duplicate_key(*parse(R"({"a":1,"b":{"a":1}})")), "");
    EXPECT_EQ(duplicate_key(*parse(R"({"":1,"":2})")), "\"\"");
    EXPECT_EQ(duplicate_key(*parse("[1,1]")), "");
}

TEST_F(JsonReader, Numbers) {
    for (const char *good : {"0", "-0", "10", "1.5", "1e5", "1E+5", "-1.25e-10", "1e999",
                             "123456789012345678901234567890"}) {
        EXPECT_TRUE(accepts(good)) << good;
        EXPECT_TRUE(accepts(std::string("[") + good + "]")) << good;
    }
    for (const char *bad : {"01", "-", "+1", ".5", "1.", "1e", "1e+", "0x1", "1a", "--1", "1.2.3",
                            "NaN", "Infinity", "-Infinity", "1 2", "1_0", "00"}) {
        EXPECT_FALSE(accepts(bad)) << bad;
        EXPECT_FALSE(accepts(std::string("{\"a\":") + bad + "}")) << bad;
    }
}

TEST_F(JsonReader, WholeNumbersInAnyNotation) {
    EXPECT_EQ(parse("1e3")->as_int(), 1000);
    EXPECT_EQ(parse("3.0")->as_int(), 3);
    EXPECT_EQ(parse("-7")->as_int(), -7);
    EXPECT_EQ(parse("9223372036854775807")->as_int(), INT64_MAX);
    EXPECT_FALSE(parse("9223372036854775808")->as_int());
    EXPECT_FALSE(parse("3.5")->as_int());
    EXPECT_FALSE(parse("1e999")->as_int());
    EXPECT_FALSE(parse("\"3\"")->as_int());
    EXPECT_EQ(parse("0.25")->as_double(), 0.25);
}

TEST_F(JsonReader, Structure) {
    for (const char *bad : {"",
                            " ",
                            "{",
                            "[",
                            "}",
                            "]",
                            "{]",
                            "[}",
                            "[1",
                            "[1,",
                            "[1,]",
                            "[,1]",
                            "[1 2]",
                            "[,]",
                            "{\"a\"",
                            "{\"a\":",
                            "{\"a\":1",
                            "{\"a\":1,",
                            "{\"a\":1,}",
                            "{,}",
                            "{\"a\"}",
                            "{\"a\",1}",
                            "{\"a\" 1}",
                            "{1:2}",
                            "{a:1}",
                            "{\"a\":1 \"b\":2}",
                            "{\"a\"::1}",
                            "{\"a\":1}}",
                            "[] []",
                            "[]x",
                            "[]]",
                            "1,",
                            "\"a\"\"b\"",
                            "\"a\"b",
                            "[\"a\"b]",
                            ",",
                            ":",
                            "'a'",
                            "[1]//",
                            "nul",
                            "nullx",
                            "tru",
                            "falsey",
                            "True",
                            "[\"a\" \"b\"]",
                            "[\\\"a\\\"]",
                            "\\",
                            "[1\\2]",
                            "\xef\xbb\xbf{}"}) {
        EXPECT_FALSE(accepts(bad)) << bad;
    }
    for (const char *good :
         {"{}", "[]", " [ ] ", "[[],{}]", "{\"\":\"\"}", "[\"\"]", "{\"a\":{}}"}) {
        EXPECT_TRUE(accepts(good)) << good;
    }
}

TEST_F(JsonReader, ErrorsTellWhere) {
    auto result = parse("{\"a\": [1, x]}");
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().code, Errc::invalid_json);
    EXPECT_EQ(result.error().offset, 10u);
    EXPECT_EQ(parse("{} {}").error().offset, 3u);
    EXPECT_EQ(parse("").error().what, "empty document");
}

TEST_F(JsonReader, Escapes) {
    EXPECT_TRUE(accepts(R"(["\"\\\/\b\f\n\r\t","\u00e9\uD83D\uDE00","\\u12"])"));
    for (const char *bad : {R"("\x")", R"("\u12")", R"("\u12g4")", R"("\u")", R"("\u123)", R"("\ )",
                            R"({"\q":1})", R"(["a\u00"])", R"("\U0041")"}) {
        EXPECT_FALSE(accepts(bad)) << bad;
    }
    // The last backslash of a run belongs to the quote or not, by its parity.
    EXPECT_EQ(parse(R"(["\\","\\\"",1])")->size(), 3u);
    EXPECT_FALSE(accepts(R"(["\\\"])"));
}

// They are looked for in blocks: none is missed, and none is taken for two, wherever it stands.
TEST_F(JsonReader, EscapesAtEveryPlaceOfABlock) {
    struct Case {
        const char *text;
        bool is_good;
    };
    constexpr Case kCases[] = {
        {R"(\n)", true},           {R"(\\)", true},      {R"(\u00e9)", true},
        {R"(\ud83d\ude00)", true}, {R"(\\\n\")", true},  {R"(\\x)", true},
        {R"(\x)", false},          {R"(\\\x)", false},   {R"(\u12x4)", false},
        {R"(\ud83d)", false},      {R"(\ude00)", false}, {R"(\ud83d\\)", false},
        {R"(\ud83d\n)", false},
    };
    for (const Case &each : kCases) {
        for (size_t before = 0; before < 150; ++before) {
            for (size_t behind : {0, 1, 62, 63, 64, 200}) {
                for (const char *filler : {"x", "\\n"}) {
                    std::string text;
                    while (text.size() < before) {
                        text += filler;
                    }
                    text.append(each.text).append(behind, 'y');
                    text = "\"" + text + "\"";
                    std::vector<char> exact(text.begin(), text.end());
                    EXPECT_EQ(bool(reader_.parse({exact.data(), exact.size()})), each.is_good);
                    EXPECT_EQ(accepts("[\"\\t\"," + text + ",\"\\t\"]"), each.is_good) << text;
                }
            }
        }
    }
    auto bad = parse("[\"" + std::string(100, 'x') + "\\n" + std::string(100, 'x') + "\\q\"]");
    ASSERT_FALSE(bad);
    EXPECT_EQ(bad.error().offset, 204u);
}

TEST_F(JsonReader, RunsOfBackslashes) {
    for (size_t size = 0; size < 200; ++size) {
        for (size_t before : {0, 1, 30, 61, 62, 63, 64}) {
            std::string run = "[\"" + std::string(before, 'x') + std::string(size, '\\');
            EXPECT_EQ(accepts(run + "\",1]"), size % 2 == 0) << size;
            EXPECT_EQ(accepts(run + "n\",1]"), true) << size;
            EXPECT_EQ(accepts(run + "x\",1]"), size % 2 == 0) << size;
        }
    }
}

TEST_F(JsonReader, Case69_UnpairedSurrogates) {
    Limits lenient;
    lenient.allow_lone_surrogates = true;
    for (const char *lone : {R"("\ud83d")", R"("\ude00")", R"("\ud83d\ud83d")", R"("\ud83dx")",
                             R"("\ud83d\n")", R"({"\udc00":1})", R"("\ude00\ud83d")"}) {
        EXPECT_FALSE(parse(lone)) << lone;
        EXPECT_TRUE(parse(lone, lenient)) << lone;
    }
    EXPECT_TRUE(parse(R"("\ud83d\ude00")"));
    EXPECT_FALSE(parse(R"("\ud83")", lenient));
}

TEST_F(JsonReader, BytesThatAreNoText) {
    EXPECT_FALSE(accepts("\"\xff\""));
    EXPECT_FALSE(accepts("\"\xc3\""));
    EXPECT_FALSE(accepts("\"\xed\xa0\x80\""));  // a surrogate in UTF-8
    EXPECT_FALSE(accepts("\"\xc0\x80\""));      // overlong
    EXPECT_FALSE(accepts("\"a\nb\""));
    EXPECT_FALSE(accepts(std::string_view("\"a\0b\"", 5)));
    EXPECT_FALSE(accepts(std::string_view("[1,\0]", 5)));
    EXPECT_FALSE(accepts("[1,\f2]"));
    EXPECT_FALSE(accepts("[\"a\"\x0c]"));
    EXPECT_FALSE(accepts("[\"a\"\x1a]"));
    EXPECT_TRUE(accepts("\"\x7f \xe2\x80\xa8 \xf0\x9f\x9a\x80\""));
}

TEST_F(JsonReader, Case69_DepthIsLimited) {
    auto nested = [](size_t depth) { return std::string(depth, '[') + std::string(depth, ']'); };
    EXPECT_TRUE(accepts(nested(512)));
    EXPECT_FALSE(accepts(nested(513)));
    EXPECT_FALSE(accepts(std::string(1000000, '[')));
    std::string objects;
    for (int i = 0; i < 100000; ++i) {
        objects += "{\"a\":";
    }
    EXPECT_FALSE(accepts(objects));
    Limits flat;
    flat.max_depth = 1;
    EXPECT_TRUE(parse("[1,2]", flat));
    EXPECT_FALSE(parse("[1,[]]", flat));
}

TEST_F(JsonReader, TheNumberOfValuesIsLimited) {
    Limits few;
    few.max_nodes = 10;
    EXPECT_TRUE(parse("[1,2,3,4,5]", few));
    auto result = parse("[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15]", few);
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().code, Errc::too_large);
}

TEST_F(JsonReader, EveryPrefixIsRefused) {
    std::string whole =
        R"({"m":[{"role":"user","content":"a\u00e9\n\\"},-1.5e3,true,null],"x":{}})";
    ASSERT_TRUE(accepts(whole));
    for (size_t size = 0; size < whole.size(); ++size) {
        EXPECT_FALSE(accepts(whole.substr(0, size))) << size;
    }
}

TEST_F(JsonReader, TokensAtEveryPlaceOfABlock) {
    // Stage 1 works on blocks of 64 bytes: the same document at every distance from their borders.
    for (size_t spaces = 0; spaces < 130; ++spaces) {
        std::string json = std::string(spaces, ' ') + R"({"k\\":["\"",1.25,true,{"b":"\\"}]})";
        auto root = parse(json);
        ASSERT_TRUE(root) << spaces;
        Value list = root->find("k\\");
        EXPECT_EQ(list.raw().bytes, R"(["\"",1.25,true,{"b":"\\"}])");
        EXPECT_EQ((*list.items().begin()).text().bytes, "\\\"");
    }
}

TEST_F(JsonReader, ReadsUnpaddedBytes) {
    std::unique_ptr<char[]> exact(new char[7]);
    memcpy(exact.get(), "{\"a\":1}", 7);
    auto root = reader_.parse_unpadded({exact.get(), 7});
    exact.reset();
    ASSERT_TRUE(root);
    EXPECT_EQ(root->find("a").as_int(), 1);
    EXPECT_FALSE(reader_.parse_unpadded(""));
}

TEST_F(JsonReader, WorksAgainAfterErrorsAndGiants) {
    EXPECT_FALSE(accepts("[1,"));
    EXPECT_TRUE(accepts("[" + std::string(8u << 20, ' ') + "]"));
    std::string many = "[0";
    for (int i = 0; i < 500000; ++i) {
        many += ",0";
    }
    EXPECT_EQ(parse(many + "]")->size(), 500001u);
    EXPECT_EQ(parse("{\"a\":[1]}")->find("a").size(), 1u);
    EXPECT_EQ(parse(many + "]")->size(), 500001u);
}

}  // namespace
}  // namespace llm::json
