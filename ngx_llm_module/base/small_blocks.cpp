// operator new and delete of this module: small blocks that were freed are kept and given out
// again. A worker has many requests under way at once, each with some twenty small objects; the C
// library keeps seven blocks of a size at hand, so nearly all of them would go the long way. Large
// ones (a translated body) are kept by large_blocks.cpp.
//
// Every block is malloc's: what is allocated here may be freed by free() elsewhere (libstdc++'s own
// code does), and the other way round. The classes are those of glibc's malloc, so a block of a
// class has room for all of it, wherever it was made; that is looked at once, and where another
// malloc was preloaded nothing is kept. The operators are hidden in this module. Only the thread
// that loaded it keeps blocks; nginx's others go to malloc.
#include <malloc.h>
#include <pthread.h>

#include <cstddef>
#include <cstdlib>
#include <new>
#include <string>  // std::__throw_bad_alloc

#include "ngx_llm_module/base/large_blocks.hpp"

#if defined(__GLIBC__) && defined(__LP64__) && !defined(__SANITIZE_ADDRESS__) && \
    !defined(__SANITIZE_THREAD__)

namespace llm {
namespace {

// A block's size is a multiple of kUnit, of which malloc needs kHeader.
constexpr size_t kUnit = 16;
constexpr size_t kHeader = 8;
constexpr size_t kLeast = 24;
constexpr size_t kLargest = 1024;
constexpr size_t kKeptBytes = 32 * 1024;  // of a class, at most

constexpr size_t class_of(size_t size) {
    return ((size < kLeast ? kLeast : size) + kHeader + kUnit - 1) / kUnit;
}
constexpr size_t room_of(size_t number) {
    return number * kUnit - kHeader;
}

struct Block {
    Block *next;
};

struct Class {
    Block *first;
    size_t bytes;
};

Class classes[class_of(kLargest) + 1];

bool has_glibc_sizes() {
    bool is_so = true;
    for (size_t size = 1; size <= kLargest && is_so; size++) {
        void *memory = std::malloc(size);
        is_so = memory != nullptr && malloc_usable_size(memory) >= room_of(class_of(size));
        std::free(memory);
    }
    return is_so;
}

// Zero until the module's initialisers run: everything goes to malloc till then.
const pthread_t owner = has_glibc_sizes() ? pthread_self() : pthread_t();

bool is_owner() {
    return pthread_equal(pthread_self(), owner) != 0;
}

bool is_kept(size_t size) {
    return size <= kLargest && size > 0 && is_owner();
}

void *allocate(size_t size) {
    if (is_kept(size)) {
        size_t number = class_of(size);
        Class &of = classes[number];
        size = room_of(number);
        if (Block *block = of.first) {
            of.first = block->next;
            of.bytes -= size;
            return block;
        }
    } else if (size >= kLargeBlock && is_owner()) {
        if (void *block = take_large_block(size)) {
            return block;
        }
    }
    return std::malloc(size == 0 ? 1 : size);
}

void release(void *memory, size_t size) {
    if (memory != nullptr && is_kept(size)) {
        size_t number = class_of(size);
        Class &of = classes[number];
        size = room_of(number);
        if (of.bytes + size <= kKeptBytes) {
            of.first = new (memory) Block{of.first};
            of.bytes += size;
            return;
        }
    } else if (size >= kLargeBlock && is_owner() && keep_large_block(memory)) {
        return;
    }
    std::free(memory);
}

}  // namespace
}  // namespace llm

// The compiler lets nobody declare these hidden.
asm(".hidden _Znwm\n.hidden _ZdlPv\n.hidden _ZdlPvm");

void *operator new(std::size_t size) {
    void *memory = llm::allocate(size);
    if (memory == nullptr) {
        std::__throw_bad_alloc();
    }
    return memory;
}

void operator delete(void *memory) noexcept {
    std::free(memory);
}

void operator delete(void *memory, std::size_t size) noexcept {
    llm::release(memory, size);
}

#endif
