// The JSON writer: commas, colons, escaping, nesting.
// What balanced calls write must parse, whatever bytes the plain strings hold; expectations are
// the exact bytes, as clients and caches compare them.
#include <gtest/gtest.h>

#include <string>

#include "translators/json/reader.hpp"
#include "translators/json/writer.hpp"

namespace llm::json {
namespace {

TEST(JsonWriter, PlacesCommasAndColons) {
    ByteBuffer out;
    Writer w(out);
    w.object().key("a").number(1).key("b").array().number(-2).boolean(true).null();
    w.object().end().array().end().object().key("c").boolean(false).end().end();
    w.key("d").raw({"{\"x\": 1}"}).end();
    EXPECT_EQ(out.view(), R"({"a":1,"b":[-2,true,null,{},[],{"c":false}],"d":{"x": 1}})");
}

TEST(JsonWriter, TextStaysEscapedAndPlainIsEscaped) {
    ByteBuffer out;
    Writer w(out);
    w.array().text({R"(a\u00e9\n)"}).plain("a\"b\n").text({""}).plain("").end();
    EXPECT_EQ(out.view(), R"(["a\u00e9\n","a\"b\n","",""])");
}

TEST(JsonWriter, StringsInPieces) {
    ByteBuffer out;
    Writer w(out);
    w.object().key("s").open_text().piece({R"(x\ty)"}).piece_plain("\"").piece({""}).close_text();
    w.key(JsonText{R"(k\n)"}).open_text().close_text().end();
    EXPECT_EQ(out.view(), R"({"s":"x\ty\"","k\n":""})");
}

// With what was borrowed put in, it is the same output.
TEST(JsonWriter, LongTextsAreBorrowed) {
    std::string lender(3 * Writer::kLeastBorrowed, 'x');
    std::string_view all = lender;
    std::string_view least = all.substr(10, Writer::kLeastBorrowed);
    std::string_view shorter = all.substr(0, Writer::kLeastBorrowed - 1);
    std::string other(Writer::kLeastBorrowed, 'y');
    auto write = [&](Writer &w) {
        w.array().text({least}).text({shorter}).text({other}).text({all}).plain(least).raw({least});
        w.object().key("s").open_text().piece({"a"}).piece({least}).piece({"b"}).close_text();
        w.key("r").raw({all}).key("n").number(1).end().end();
    };
    ByteBuffer whole;
    Writer copying(whole);
    write(copying);

    ByteBuffer out;
    Writer w(out);
    std::vector<Borrowed> borrowed;
    w.borrow(lender, borrowed);
    write(w);
    EXPECT_EQ(borrowed.size(), 6u);
    EXPECT_LT(out.size(), shorter.size() + other.size() + 200);
    std::string together;
    size_t at = 0;
    for (const Borrowed &text : borrowed) {
        EXPECT_GE(text.bytes.data(), lender.data());
        together += out.view().substr(at, text.at - at);
        together += text.bytes;
        at = text.at;
    }
    together += out.view().substr(at);
    EXPECT_EQ(together, whole.view());
}

TEST(JsonWriter, NumbersAtTheirLimits) {
    ByteBuffer out;
    Writer w(out);
    w.array().number(INT64_MIN).number(INT64_MAX).number(0).end();
    EXPECT_EQ(out.view(), "[-9223372036854775808,9223372036854775807,0]");
}

TEST(JsonWriter, AFreshLevelForgetsTheLevelBeforeIt) {
    ByteBuffer out;
    Writer w(out);
    w.array().array().number(1).end().array().number(2).end().object().key("a").null().end().end();
    EXPECT_EQ(out.view(), R"([[1],[2],{"a":null}])");
}

TEST(JsonWriter, SixtyFourLevels) {
    ByteBuffer out;
    Writer w(out);
    for (int i = 0; i < 32; ++i) {
        w.array().object().key("k");
    }
    w.number(7);
    for (int i = 0; i < 64; ++i) {
        w.end();
    }
    Reader reader;
    auto root = reader.parse_unpadded(out.view());
    ASSERT_TRUE(root);
}

TEST(JsonWriter, AnyBytesGiveAValidString) {
    std::string bytes;
    for (int i = 0; i < 256; ++i) {
        bytes += static_cast<char>(i);
        bytes += std::string(static_cast<size_t>(i % 19), 'x');
    }
    ByteBuffer out;
    Writer(out).plain(bytes);
    Reader reader;
    EXPECT_TRUE(reader.parse_unpadded(out.view()));
}

TEST(JsonWriter, AppendsToWhatIsThere) {
    ByteBuffer out;
    out.append("data: ");
    Writer(out).object().end();
    out.append("\n\n");
    EXPECT_EQ(out.view(), "data: {}\n\n");
}

}  // namespace
}  // namespace llm::json
