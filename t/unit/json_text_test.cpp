// Text between JSON and plain: comparing, unescaping, escaping.
// Escaping and unescaping must be inverse for all UTF-8; bytes that are none become replacement
// characters and never reach a JSON string.
#include <gtest/gtest.h>

#include <string>

#include "translators/json/text.hpp"

namespace llm::json {
namespace {

TEST(JsonText, UnescapesWithoutCopyWhereNothingIsEscaped) {
    Arena arena;
    std::string text = "plain \xc3\xa9";
    EXPECT_EQ(unescape({text}, arena).data(), text.data());
}

TEST(JsonText, Unescapes) {
    Arena arena;
    EXPECT_EQ(unescape({R"(a\"\\\/\b\f\n\r\tz)"}, arena), "a\"\\/\b\f\n\r\tz");
    EXPECT_EQ(unescape({R"(\u0041\u00e9\u20AC\ud83d\ude00)"}, arena),
              "A\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80");
    EXPECT_EQ(unescape({R"(\u0000)"}, arena), std::string_view("\0", 1));
    EXPECT_EQ(unescape({""}, arena), "");
}

TEST(JsonText, UnpairedSurrogatesBecomeReplacementCharacters) {
    Arena arena;
    EXPECT_EQ(unescape({R"(\ud83d)"}, arena), "\xef\xbf\xbd");
    EXPECT_EQ(unescape({R"(\ude00x\ud83d\u0041)"}, arena),
              "\xef\xbf\xbdx\xef\xbf\xbd"
              "A");
    EXPECT_EQ(unescape({R"(\ud83d\ud83d\ude00)"}, arena), "\xef\xbf\xbd\xf0\x9f\x98\x80");
}

TEST(JsonText, BrokenEscapesStayAsWritten) {
    Arena arena;
    EXPECT_EQ(unescape({R"(a\q\u12)"}, arena), R"(a\q\u12)");
    EXPECT_EQ(unescape({"a\\"}, arena), "a\\");
}

TEST(JsonText, ComparesAsIfUnescaped) {
    EXPECT_TRUE(equals({"tool"}, "tool"));
    EXPECT_TRUE(equals({R"(t\u006fol)"}, "tool"));
    EXPECT_TRUE(equals({R"(\ud83d\ude00)"}, "\xf0\x9f\x98\x80"));
    EXPECT_TRUE(equals({R"(a\\)"}, "a\\"));
    EXPECT_FALSE(equals({"tool"}, "tools"));
    EXPECT_FALSE(equals({"tools"}, "tool"));
    EXPECT_FALSE(equals({R"(a\n)"}, R"(a\n)"));
    EXPECT_TRUE(equals({""}, ""));
    EXPECT_FALSE(equals({""}, "a"));
}

TEST(JsonText, Escapes) {
    Arena arena;
    EXPECT_EQ(escape("say \"hi\"\n\\ \x01\x1f\x7f \xc3\xa9", arena).bytes,
              "say \\\"hi\\\"\\n\\\\ \\u0001\\u001f\x7f \xc3\xa9");
    std::string text = "short-lived";
    JsonText escaped = escape(text, arena);
    text.assign("overwritten");
    EXPECT_EQ(escaped.bytes, "short-lived");
}

TEST(JsonText, EscapeAndUnescapeAreInverse) {
    Arena arena;
    for (size_t shift = 0; shift < 40; ++shift) {
        std::string plain(shift, 'x');
        for (int c = 0; c < 128; ++c) {
            plain += static_cast<char>(c);
        }
        plain += "\xe6\x97\xa5\xf0\x9f\x9a\x80 \xce\xa9";
        JsonText escaped = escape(plain, arena);
        EXPECT_EQ(unescape(escaped, arena), plain);
        EXPECT_TRUE(equals(escaped, plain));
    }
}

TEST(JsonText, BytesThatAreNoUtf8BecomeReplacementCharacters) {
    Arena arena;
    EXPECT_EQ(escape("a\xff"
                     "b",
                     arena)
                  .bytes,
              "a\xef\xbf\xbd"
              "b");
    EXPECT_EQ(escape("\xc3", arena).bytes, "\xef\xbf\xbd");
    EXPECT_EQ(escape("\xe2\x82", arena).bytes, "\xef\xbf\xbd\xef\xbf\xbd");
    EXPECT_EQ(escape("\xed\xa0\x80", arena).bytes, "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd");
    EXPECT_EQ(escape("\xf4\x90\x80\x80", arena).bytes.size(), 12u);
    EXPECT_EQ(escape("\xc0\xaf", arena).bytes.size(), 6u);
}

TEST(JsonText, BlankText) {
    EXPECT_TRUE(is_blank({""}));
    EXPECT_TRUE(is_blank({"  \\n\\t\\r\\u0020 "}));
    EXPECT_FALSE(is_blank({" x "}));
    EXPECT_FALSE(is_blank({"\\\\"}));
    EXPECT_FALSE(is_blank({"\\u00e9"}));
    EXPECT_FALSE(is_blank({"0"}));
}

}  // namespace
}  // namespace llm::json
