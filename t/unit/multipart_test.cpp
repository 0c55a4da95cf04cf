// Fields of forms, found without reading the rest.
#include "translators/wire/multipart.hpp"

#include <gtest/gtest.h>

#include <string>

namespace llm::wire {
namespace {

TEST(Multipart, Boundary) {
    EXPECT_EQ(form_boundary("multipart/form-data; boundary=abc"), "abc");
    EXPECT_EQ(form_boundary("Multipart/Form-Data;charset=x; Boundary=\"a b\""), "a b");
    EXPECT_EQ(form_boundary("multipart/form-data"), "");
    EXPECT_EQ(form_boundary("multipart/form-data; boundary=\"abc"), "");
    EXPECT_EQ(form_boundary("application/json; boundary=abc"), "");
    EXPECT_EQ(form_boundary("multipart/form-data; boundary=" + std::string(71, 'x')), "");
}

TEST(Multipart, FindsAField) {
    std::string body =
        "--B\r\nContent-Disposition: form-data; name=\"file\"\r\n\r\nx\r\n--C\r\n"
        "\r\n--B\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\n"
        "whisper-1\r\n--B--";
    auto value = find_form_field(body, "B", "model");
    ASSERT_TRUE(value);
    EXPECT_EQ(*value, "whisper-1");
    EXPECT_EQ(value->data(), body.data() + body.find("whisper-1"));
    EXPECT_EQ(find_form_field(body, "B", "file").value_or(""), "x\r\n--C\r\n");
    EXPECT_FALSE(find_form_field(body, "B", "mode"));
    EXPECT_FALSE(find_form_field(body, "", "model"));
}

TEST(Multipart, CountsWhatMayBeTheSame) {
    auto part = [](std::string_view parameters) {
        return "--B\r\nContent-Disposition: form-data; " + std::string(parameters) +
               "\r\n\r\nm\r\n";
    };
    std::string once = part("name=\"model\"") + part("name=\"models\"") + part("name=\"file\"");
    EXPECT_EQ(count_form_fields(once + "--B--", "B", "model"), 1);
    for (const char *other : {"name=\"model\"", "name=model", "NAME=\"Model\"", "name=\"model[]\"",
                              "name*=utf-8''model", "name=\"model\"; filename=\"x\""}) {
        EXPECT_EQ(count_form_fields(once + part(other) + "--B--", "B", "model"), 2) << other;
    }
}

TEST(Multipart, CutAnywhere) {
    std::string body =
        "--B\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nm\r\n--B--\r\n";
    size_t whole = body.find("\r\n--B--") + 5;
    for (size_t size = 0; size <= body.size(); size++) {
        std::string cut = body.substr(0, size);
        EXPECT_EQ(find_form_field(cut, "B", "model").has_value(), size >= whole) << size;
    }
    EXPECT_FALSE(find_form_field(
        "--B\r\nContent-Disposition: form-data; name=model\r\n\r\n\r\n--B--", "B", "model"))
        << "an empty value names nothing";
}

}  // namespace
}  // namespace llm::wire
