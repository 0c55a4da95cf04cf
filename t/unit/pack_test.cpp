// MessagePack as the scripts speak it.
#include <gtest/gtest.h>

#include "ngx_llm_module/redis/pack.hpp"

namespace llm {
namespace {

using std::string_literals::operator""s;

TEST(Pack, Numbers) {
    PackWriter writer;
    for (int64_t number : {int64_t(0), int64_t(127), int64_t(128), int64_t(-1), int64_t(-32769),
                           int64_t(40000), int64_t(1) << 40, INT64_MAX, INT64_MIN}) {
        writer.add(number);
    }
    EXPECT_EQ(writer.count(), 9u);
    std::string array = writer.array();
    PackReader reader(array);
    EXPECT_EQ(reader.number(), 0);
    EXPECT_EQ(reader.number(), 127);
    EXPECT_EQ(reader.number(), 128);
    EXPECT_EQ(reader.number(), -1);
    EXPECT_EQ(reader.number(), -32769);
    EXPECT_EQ(reader.number(), 40000);
    EXPECT_EQ(reader.number(), int64_t(1) << 40);
    EXPECT_EQ(reader.number(), INT64_MAX);
    EXPECT_EQ(reader.number(), INT64_MIN);
    EXPECT_FALSE(reader.is_bad());
    EXPECT_EQ(reader.number(), 0);
    EXPECT_TRUE(reader.is_bad()) << "there is no tenth";
}

TEST(Pack, AsOnTheWire) {
    PackWriter part, writer;
    part.add(int64_t(5)).add(int64_t(300));
    writer.add("ab").add(part).add(std::string(40, 'x'));
    EXPECT_EQ(writer.array(), "\xdd\0\0\0\4"s + "\xa2" + "ab" + "\x05" + "\xd1\x01\x2c" +
                                  "\xd9\x28" + std::string(40, 'x'));
    EXPECT_EQ(PackWriter().array(), "\xdd\0\0\0\0"s);
}

// What Redis' encoder writes: the shortest form of each number.
TEST(Pack, EveryForm) {
    std::string array =
        "\x9b\x07\xff\xcc\xc8\xcd\x01\x00\xce\x00\x01\x00\x00\xcf\x00\x00\x00\x01\x00\x00\x00\x00"
        "\xd0\x80\xd1\xff\x00\xd2\xff\xff\x00\x00\xca\x3f\xc0\x00\x00"
        "\xcb\x40\x09\x21\xfb\x54\x44\x2d\x18"s;
    PackReader reader(array);
    for (int64_t wanted :
         {7ll, -1ll, 200ll, 256ll, 65536ll, 1ll << 32, -128ll, -256ll, -65536ll, 1ll, 3ll}) {
        EXPECT_EQ(reader.number(), wanted);
    }
    EXPECT_FALSE(reader.is_bad());
    std::string huge = "\x91\xcb\x7f\xf0\x00\x00\x00\x00\x00\x00"s;
    EXPECT_EQ(PackReader(huge).number(), 0) << "no number that fits";
}

TEST(Pack, Nonsense) {
    for (const std::string &bad : {""s, "x"s, "\xdc\x00"s, "\x91"s, "\x91\xcd\x01"s, "\x91\xa1x"s,
                                   "\x91\xc0"s, "\x91\xcb\x00"s}) {
        PackReader reader(bad);
        EXPECT_EQ(reader.number(), 0);
        EXPECT_TRUE(reader.is_bad());
        EXPECT_EQ(reader.number(), 0);
    }
}

}  // namespace
}  // namespace llm
