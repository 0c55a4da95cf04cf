// Names of kept answers: they come back whole, and are good for nobody else.
#include "translators/provider/kept_id.hpp"

#include <gtest/gtest.h>

namespace llm {
namespace {

constexpr KeptSeal kSeal = {"secret", "owner", "openai/gpt-5"};

TEST(KeptId, ComesBack) {
    for (std::string_view id : {"resp_abc", "x", "with_underscores_and-dashes", "gw1_"}) {
        std::string name = seal_kept_id(kSeal, id);
        auto read = read_kept_id(name);
        ASSERT_TRUE(read) << name;
        EXPECT_EQ(read->id, id);
        EXPECT_EQ(read->tag, kept_tag(kSeal.deployment));
        EXPECT_TRUE(is_sealed_with(*read, kSeal));
        EXPECT_EQ(name, seal_kept_id(kSeal, id)) << "the same name each time";
    }
}

TEST(KeptId, BelongsToItsOwner) {
    std::string name = seal_kept_id(kSeal, "resp_abc");
    auto read = read_kept_id(name);
    ASSERT_TRUE(read);
    EXPECT_FALSE(is_sealed_with(*read, {"other", kSeal.owner, kSeal.deployment}));
    EXPECT_FALSE(is_sealed_with(*read, {kSeal.secret, "other", kSeal.deployment}));
    EXPECT_FALSE(is_sealed_with(*read, {kSeal.secret, "", kSeal.deployment}));
    EXPECT_FALSE(is_sealed_with(*read, {kSeal.secret, kSeal.owner, "other"}));
    std::string changed = name;
    changed.back() ^= 1;
    EXPECT_FALSE(is_sealed_with(*read_kept_id(changed), kSeal));
}

TEST(KeptId, OtherTextsAreNoNames) {
    std::string name = seal_kept_id(kSeal, "r");
    EXPECT_TRUE(read_kept_id(name));
    for (size_t size = 0; size < name.size(); size++) {
        EXPECT_FALSE(read_kept_id(name.substr(0, size))) << size;
    }
    name[12] = 'g';
    EXPECT_FALSE(read_kept_id(name));
    EXPECT_FALSE(read_kept_id("resp_0123456789abcdef0123456789abcdef0123456789abcdef"));
}

}  // namespace
}  // namespace llm
