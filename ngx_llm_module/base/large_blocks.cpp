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
#ifdef M_MMAP_THRESHOLD
    // Very large ones go back to the kernel at once: glibc would raise these two with the first
    // such block, and then sit on up to 64 MB.
    (void)mallopt(M_MMAP_THRESHOLD, 4 << 20);
    (void)mallopt(M_TRIM_THRESHOLD, int(kMaxSpareBytes));
#endif
}

void stop_large_blocks() {
    is_started = false;
    while (spare_count > 0) {
        std::free(spare[--spare_count].memory);
    }
    spare_bytes = 0;
}

// The smallest that is large enough and not far too large: a larger one will be wanted for what is
// made of this body. Of equals the one used last, its lines may still be cached.
void *take_large_block(size_t size) {
    Block *found = nullptr;
    for (Block *each = spare + spare_count; each-- != spare;) {
        bool is_fitting = each->size >= size && each->size / 4 <= size;
        if (is_fitting && (found == nullptr || each->size < found->size)) {
            found = each;
        }
    }
    if (found == nullptr) {
        return nullptr;
    }
    void *memory = found->memory;
    spare_bytes -= found->size;
    std::copy(found + 1, spare + spare_count, found);
    spare_count--;
    return memory;
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
