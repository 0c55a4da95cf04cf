// A bump allocator for text that a translation has to make itself (unescaped or rewritten
// strings). Everything else in the IR is a view into the body it was parsed from. Memory is given
// back all at once; reset() keeps the first block, so a stream that resets the arena after every
// event allocates nothing in the steady state.
#pragma once

#include <cstddef>
#include <cstring>
#include <memory>
#include <string_view>
#include <vector>

namespace llm {

class Arena {
  public:
    // Blocks of this size come from malloc's cache of the thread.
    static constexpr size_t kBlockSize = 1000;

    explicit Arena(size_t block_size = kBlockSize) : block_size_(block_size) {}
    Arena(const Arena &) = delete;
    Arena &operator=(const Arena &) = delete;

    char *allocate(size_t size) {
        if (size > static_cast<size_t>(end_ - next_)) {
            grow(size);
        }
        char *result = next_;
        next_ += size;
        return result;
    }

    // Give back the unused tail of the latest allocation.
    void shrink_last(char *start, size_t used) { next_ = start + used; }

    std::string_view copy(std::string_view text) {
        char *start = allocate(text.size());
        if (!text.empty()) {
            memcpy(start, text.data(), text.size());
        }
        return {start, text.size()};
    }

    void reset() {
        if (blocks_.empty()) {
            return;
        }
        blocks_.resize(1);
        next_ = blocks_[0].bytes.get();
        end_ = next_ + blocks_[0].size;
    }

  private:
    struct Block {
        std::unique_ptr<char[]> bytes;
        size_t size;
    };

    void grow(size_t size) {
        size_t capacity = size > block_size_ ? size : block_size_;
        blocks_.push_back({std::unique_ptr<char[]>(new char[capacity]), capacity});
        next_ = blocks_.back().bytes.get();
        end_ = next_ + capacity;
    }

    std::vector<Block> blocks_;
    char *next_ = nullptr;
    char *end_ = nullptr;
    size_t block_size_;
};

}  // namespace llm
