// find_text is std::string_view::find, quicker.
#include "translators/core/find_text.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <random>
#include <string>

namespace llm {
namespace {

TEST(FindText, IsFind) {
    std::mt19937 random(7);
    for (int round = 0; round < 200000; round++) {
        std::string text(random() % 90, ' ');
        for (char &c : text) {
            c = "\"ab:"[random() % 4];
        }
        std::string wanted(random() % 9, ' ');
        for (char &c : wanted) {
            c = "\"ab"[random() % 3];
        }
        // Exactly as long as it is, so that a sanitizer sees a byte too many.
        std::unique_ptr<char[]> exact(new char[std::max<size_t>(text.size(), 1)]);
        text.copy(exact.get(), text.size());
        std::string_view view(exact.get(), text.size());
        ASSERT_EQ(find_text(view, wanted), view.find(wanted)) << text << " " << wanted;
    }
}

TEST(FindText, AtEveryPlace) {
    const std::string wanted = "\"usage\"";
    for (size_t size = wanted.size(); size < 100; size++) {
        for (size_t at = 0; at + wanted.size() <= size; at++) {
            std::string text(size, '"');
            text.replace(at, wanted.size(), wanted);
            EXPECT_EQ(find_text(text, wanted), at);
            EXPECT_EQ(find_text(text.substr(0, at + wanted.size() - 1), wanted),
                      std::string_view::npos);
        }
    }
}

}  // namespace
}  // namespace llm
