// Data URLs and media types.
// Data comes out as standard Base64 with padding or the URL is refused; what is standard already
// is not copied; the first bytes of the data win over the declared type.
#include <gtest/gtest.h>

#include <string>

#include "translators/dialect/media.hpp"

namespace llm {
namespace {

// "mime|data" after letting the bytes correct the type; "-" when it is no data URL.
std::string parsed(std::string_view url) {
    Arena arena;
    auto result = parse_data_url({url}, arena);
    if (!result) {
        return "-";
    }
    return std::string(trusted_mime(result->mime, result->data).bytes) + "|" +
           std::string(result->data.bytes);
}

TEST(Media, DataUrls) {
    EXPECT_EQ(parsed("data:image/png;base64,iVBORw0KGgo="), "image/png|iVBORw0KGgo=");
    EXPECT_EQ(parsed("DATA:IMAGE/PNG;BASE64,iVBORw0KGgo="), "image/png|iVBORw0KGgo=");
    EXPECT_EQ(parsed("data:image/jpg;base64,/9j/4AAQ"), "image/jpeg|/9j/4AAQ");
    EXPECT_EQ(parsed("data:image/png;name=a.png;base64,iVBORw0KGgo="), "image/png|iVBORw0KGgo=");
    EXPECT_EQ(parsed("data:text/plain;charset=utf-8;base64,aGk="), "text/plain|aGk=");
    EXPECT_EQ(parsed("data:application/pdf;base64,JVBERi0xLjQ="), "application/pdf|JVBERi0xLjQ=");
}

TEST(Media, DataIsBroughtIntoTheStandardForm) {
    EXPECT_EQ(parsed("data:image/png;base64,iVBORw0K\nGgo="), "image/png|iVBORw0KGgo=");
    EXPECT_EQ(parsed("data:image/png;base64,iVBORw0K\\r\\nGgo="), "image/png|iVBORw0KGgo=");
    EXPECT_EQ(parsed("data:image/png;base64,iVBORw0KGgo"), "image/png|iVBORw0KGgo=");
    EXPECT_EQ(parsed("data:image/jpeg;base64,_9j_4AAQ"), "image/jpeg|/9j/4AAQ");
    EXPECT_EQ(parsed("data:image\\/jpeg;base64,\\/9j\\/4AAQ"), "image/jpeg|/9j/4AAQ");
    EXPECT_EQ(parsed("data:x/y;base64,QQ"), "x/y|QQ==");
}

TEST(Media, StandardDataIsNotCopied) {
    Arena arena;
    std::string url = "data:image/png;base64," + std::string(4096, 'A');
    auto result = parse_data_url({url}, arena);
    ASSERT_TRUE(result);
    EXPECT_EQ(result->data.bytes.data(), url.data() + 22);
}

TEST(Media, EveryByteOfTheDataIsChecked) {
    for (size_t at = 0; at < 40; ++at) {
        for (char bad : {'@', '[', '`', '{', '.', ':', '*', ',', '!', '\x01', '\x7f', '\xe1'}) {
            std::string data(40, 'A');
            data[at] = bad;
            EXPECT_EQ(parsed("data:image/png;base64," + data), "-") << at << " " << bad;
        }
    }
}

TEST(Media, WhatIsNoDataUrl) {
    for (const char *url :
         {"https://example.com/a.png", "data:image/png,abc", "data:image/png;base64,",
          "data:image/png;base64,@@@@", "data:image/png;base64", "data:", "", "data:,",
          "data:image/png;base64,A", "data:image/png;base64,AAAAA",
          "data:image/png;base64,QQ==QQ==", "data:image/png;base64,\\u12",
          "data:image\\\"/png;base64,QUJD", "xdata:;base64,QUJD",
          "data:image/png;base64;x=y,QUJD"}) {
        EXPECT_EQ(parsed(url), "-") << url;
    }
}

TEST(Media, TheBytesWin) {
    EXPECT_EQ(parsed("data:;base64,iVBORw0KGgo="), "image/png|iVBORw0KGgo=");
    EXPECT_EQ(parsed("data:image/png;base64,/9j/4AAQ"), "image/jpeg|/9j/4AAQ");
    EXPECT_EQ(parsed("data:image/heic;base64,AAAAGGZ0"), "image/heic|AAAAGGZ0");
    EXPECT_EQ(trusted_mime({"image/jpg"}, {"AAAA"}).bytes, "image/jpeg");
}

TEST(Media, Sniffing) {
    EXPECT_EQ(sniff_mime({"iVBORw0KGgo="}), "image/png");
    EXPECT_EQ(sniff_mime({"\\/9j\\/4AAQ"}), "image/jpeg");
    EXPECT_EQ(sniff_mime({"R0lGODlh"}), "image/gif");
    EXPECT_EQ(sniff_mime({"UklGRiQAAABXRUJQVlA4"}), "image/webp");
    EXPECT_EQ(sniff_mime({"UklGRiQAAABXQVZF"}), "");
    EXPECT_EQ(sniff_mime({"JVBERi0xLjQ="}), "application/pdf");
    EXPECT_EQ(sniff_mime({""}), "");
    EXPECT_EQ(sniff_mime({"iVB"}), "");
}

TEST(Media, MakesDataUrls) {
    Arena arena;
    EXPECT_EQ(make_data_url({"image/png"}, {"QUJD"}, arena).bytes, "data:image/png;base64,QUJD");
}

}  // namespace
}  // namespace llm
