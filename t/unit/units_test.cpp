// What images and speech are paid for by: counted from requests, corrected by answers.
#include <gtest/gtest.h>

#include "translators/pricing/units.hpp"

namespace llm {
namespace {

class Body {
  public:
    explicit Body(std::string text) : text_(std::move(text)) {}
    json::Value root() {
        auto parsed = reader_.parse_unpadded(text_);
        return parsed ? *parsed : json::Value();
    }
    const std::string &text() const { return text_; }

  private:
    std::string text_;
    json::Reader reader_;
};

Units of(std::string_view path, std::string text) {
    Body body(std::move(text));
    return count_units(path, body.text(), body.root(), {});
}

TEST(Units, ImagesThatARequestAsksFor) {
    Units units = of("/images/generations", R"({"n":3,"size":"1024x1792","quality":"hd"})");
    EXPECT_EQ(units.images, 3);
    EXPECT_EQ(units.image_size, "1024-x-1792");
    EXPECT_EQ(units.pixels, 1024 * 1792);
    EXPECT_EQ(units.quality, "hd");
    EXPECT_FALSE(units.are_given);
}

TEST(Units, WhatARequestDoesNotSayOrSaysBadly) {
    for (
        const char *body :
        {"{}", R"({"n":0,"size":"auto"})", R"({"n":-5,"size":"x","quality":""})",
         R"({"n":"many","size":"1024x"})", R"({"n":[1],"size":{"a":1}})", R"({"n":null})", "[]",
         R"({"n":1e3,"size":"99999999999999999999x1","quality":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"})"}) {
        Units units = of("/v1/images/generations", body);
        EXPECT_EQ(units.images, 1) << body;
        EXPECT_EQ(units.image_size, "1024-x-1024") << body;
        EXPECT_EQ(units.quality, "standard") << body;
    }
    EXPECT_EQ(of("/images/edits", R"({"n":1000000000})").images, 1000);
    EXPECT_FALSE(of("/embeddings", R"({"n":3,"input":"x"})").any());
}

TEST(Units, LettersAreCharactersAndNotBytes) {
    EXPECT_EQ(of("/audio/speech", R"({"input":"caf\u00e9 \ud83d\ude00"})").characters, 6);
    EXPECT_EQ(of("/audio/speech", "{\"input\":\"caf\xc3\xa9\"}").characters, 4);
    EXPECT_FALSE(of("/audio/speech", R"({"input":""})").any());
}

TEST(Units, AnAnswerKnowsBetter) {
    Units units = of("/images/generations", R"({"n":4})");
    Body images(R"({"data":[{},{}]})");
    count_given(images.root(), units);
    EXPECT_EQ(units.images, 2);
    EXPECT_TRUE(units.are_given);
    Units heard;
    Body verbose(R"({"text":"hi","duration":2.5})");
    count_given(verbose.root(), heard);
    EXPECT_EQ(heard.audio_ms, 2500);
    Body endless(R"({"text":"hi","duration":1e300})");
    count_given(endless.root(), heard);
    EXPECT_EQ(heard.audio_ms, 2500) << "no such length";
}

std::string number(uint32_t n) {
    return {char(n & 255), char(n >> 8 & 255), char(n >> 16 & 255), char(n >> 24 & 255)};
}

TEST(Units, LengthOfAWavFile) {
    std::string format = "fmt " + number(16) + std::string(8, '\0') + number(16000) + "\2\0\20\0";
    format.resize(24, '\0');
    std::string file = "RIFF" + number(0) + "WAVE" + format + "LIST" + number(3) + "abc" +
                       std::string(1, '\0') + "data" + number(40000) + "sound";
    EXPECT_EQ(wav_ms(file), 2500);
    for (size_t size = 0; size < file.size() - 5; size++) {
        EXPECT_EQ(wav_ms(file.substr(0, size)), 0) << "cut behind " << size;
    }
    std::string endless = "RIFF" + number(0) + "WAVE" + "junk" + number(0xffffffff) + "x";
    EXPECT_EQ(wav_ms(endless), 0);
    EXPECT_EQ(wav_ms("RIFF" + number(0) + "WAVEdata" + number(40000)), 0) << "no rate";
}

TEST(Units, OnlyWhatHasAPriceCosts) {
    const PriceItem items[] = {{PriceSection::unit, PriceKind::image_out, 40000000000000},
                               {PriceSection::base, PriceKind::in, 1000000000}};
    Price price;
    price.items = items;
    Units units;
    units.images = 2;
    EXPECT_EQ(cost_of(units, price), 80000000);
    Units letters;
    letters.characters = 5;
    EXPECT_EQ(cost_of(letters, price), -1) << "no price for letters";
}

}  // namespace
}  // namespace llm
