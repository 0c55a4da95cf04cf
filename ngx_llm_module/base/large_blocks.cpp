// The store of spare blocks: at most eight, and at most 8 MB in all, of a worker.
#include "ngx_llm_module/base/large_blocks.hpp"

#include <malloc.h>

#include <algorithm>
#include <cstdlib>
#include <iterator>

namespace llm {
namespace {

constexpr size_t kMaxSpareBytes = 8 << 20;

struct Block {
    void *memory;
    size_t size;
};

Block spare[8];
size_t spare_count = 0;
size_t spare_bytes = 0;
bool is_started = false;

}  // namespace

void start_large_blocks() {
    is_started = true;
}

void stop_large_blocks() {
    is_started = false;
    while (spare_count > 0) {
        std::free(spare[--spare_count].memory);
    }
    spare_bytes = 0;
}

// The one used last that is large enough and not far too large: its lines may still be cached.
void *take_large_block(size_t size) {
    for (size_t i = spare_count; i-- > 0;) {
        Block found = spare[i];
        if (found.size >= size && found.size / 4 <= size) {
            std::copy(spare + i + 1, spare + spare_count, spare + i);
            spare_count--;
            spare_bytes -= found.size;
            return found.memory;
        }
    }
    return nullptr;
}

bool keep_large_block(void *memory) {
    size_t size = is_started && memory != nullptr ? malloc_usable_size(memory) : 0;
    if (size < kLargeBlock || spare_count == std::size(spare) ||
        spare_bytes + size > kMaxSpareBytes) {
        return false;
    }
    spare[spare_count++] = {memory, size};
    spare_bytes += size;
    return true;
}

}  // namespace llm
