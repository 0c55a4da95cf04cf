#include <gtest/gtest.h>

#include <string>

#include "translators/core/base64.hpp"

namespace {

using namespace llm;

TEST(Base64, EveryLengthComesBack) {
    Arena arena;
    std::string bytes;
    for (int i = 0; i < 300; ++i) {
        std::string_view text = encode_base64(bytes, arena);
        EXPECT_EQ(text.size(), (bytes.size() + 2) / 3 * 4);
        EXPECT_EQ(decode_strict_base64(text, arena), bytes);
        bytes.push_back(static_cast<char>(i * 7));
    }
    EXPECT_EQ(encode_base64("f", arena), "Zg==");
    EXPECT_EQ(encode_base64("fo", arena), "Zm8=");
    EXPECT_EQ(encode_base64("foobar", arena), "Zm9vYmFy");
    EXPECT_EQ(encode_base64("\xfb\xff\xfe", arena), "+//+");
}

TEST(Base64, OtherAlphabetNoPaddingAndLineBreaks) {
    Arena arena;
    EXPECT_EQ(decode_strict_base64("-__-", arena), "\xfb\xff\xfe");
    EXPECT_EQ(decode_strict_base64("Zg", arena), "f");
    EXPECT_EQ(decode_strict_base64("Zm9v\r\nYm Fy", arena), "foobar");
}

TEST(Base64, WhatIsNoneIsRefused) {
    Arena arena;
    EXPECT_FALSE(decode_strict_base64("Zm9v!", arena));
    EXPECT_FALSE(decode_strict_base64("Zg==Zg==", arena));
    EXPECT_FALSE(decode_strict_base64("Z", arena));
}

}  // namespace
