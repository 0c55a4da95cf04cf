// Spare blocks of memory: bounded in number and size, and none before or after a worker's time.
#include <gtest/gtest.h>

#include <cstdlib>

#include "ngx_llm_module/base/large_blocks.hpp"

namespace llm {
namespace {

constexpr size_t kMegabyte = 1 << 20;

class LargeBlocks : public testing::Test {
  protected:
    void SetUp() override { start_large_blocks(); }
    void TearDown() override { stop_large_blocks(); }
};

// What is not kept is freed.
bool give(size_t size) {
    void *memory = std::malloc(size);
    bool is_kept = keep_large_block(memory);
    if (!is_kept) {
        std::free(memory);
    }
    return is_kept;
}

TEST_F(LargeBlocks, ComeBackOnce) {
    void *memory = std::malloc(kMegabyte);
    ASSERT_TRUE(keep_large_block(memory));
    void *taken = take_large_block(kMegabyte);
    EXPECT_EQ(taken, memory);
    EXPECT_EQ(take_large_block(kMegabyte), nullptr);
    std::free(taken);
}

TEST_F(LargeBlocks, TheLatestFirst) {
    void *first = std::malloc(kMegabyte);
    void *second = std::malloc(kMegabyte);
    ASSERT_TRUE(keep_large_block(first) && keep_large_block(second));
    EXPECT_EQ(take_large_block(kMegabyte / 2), second);
    EXPECT_EQ(take_large_block(kMegabyte / 2), first);
    std::free(first);
    std::free(second);
}

TEST_F(LargeBlocks, TheSmallestThatFits) {
    void *small = std::malloc(kMegabyte);
    void *large = std::malloc(kMegabyte + kMegabyte / 8);
    ASSERT_TRUE(keep_large_block(small) && keep_large_block(large));
    EXPECT_EQ(take_large_block(kMegabyte - 64), small);
    EXPECT_EQ(take_large_block(kMegabyte - 64), large);
    std::free(small);
    std::free(large);
}

TEST_F(LargeBlocks, NeitherTooSmallNorFarTooLarge) {
    ASSERT_TRUE(give(kMegabyte));
    EXPECT_EQ(take_large_block(2 * kMegabyte), nullptr);
    EXPECT_EQ(take_large_block(kMegabyte / 8), nullptr);
    void *taken = take_large_block(kMegabyte / 4 + 64);
    EXPECT_NE(taken, nullptr);
    std::free(taken);
}

TEST_F(LargeBlocks, SmallOnesAreNotKept) {
    EXPECT_FALSE(give(1024));
    EXPECT_FALSE(keep_large_block(nullptr));
}

TEST_F(LargeBlocks, EightAtMost) {
    for (int i = 0; i < 8; i++) {
        EXPECT_TRUE(give(kLargeBlock)) << i;
    }
    EXPECT_FALSE(give(kLargeBlock));
}

TEST_F(LargeBlocks, EightMegabytesAtMost) {
    EXPECT_FALSE(give(9 * kMegabyte));
    EXPECT_TRUE(give(5 * kMegabyte));
    EXPECT_FALSE(give(4 * kMegabyte));
    EXPECT_TRUE(give(2 * kMegabyte));
    std::free(take_large_block(5 * kMegabyte));
    EXPECT_TRUE(give(4 * kMegabyte));
}

TEST_F(LargeBlocks, NoneOutsideOfAWorkersTime) {
    ASSERT_TRUE(give(kMegabyte));
    stop_large_blocks();
    EXPECT_EQ(take_large_block(kMegabyte), nullptr);
    EXPECT_FALSE(give(kMegabyte));
}

}  // namespace
}  // namespace llm
