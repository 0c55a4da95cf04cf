// operator new and delete of this module: small blocks that were freed are kept and given out
// again. A worker has many requests under way at once, each with some twenty small objects; the C
// library keeps seven blocks of a size at hand, so nearly all of them would go the long way.
//
// Every block is malloc's, of at least its class's size: what is allocated here may be freed by
// free() elsewhere (libstdc++'s own code does), and the other way round. The operators are hidden
// in this module. Only the thread that loaded it keeps blocks; nginx's others go to malloc.
#include <malloc.h>
#include <pthread.h>

#include <cstddef>
#include <cstdlib>
#include <new>
#include <string>  // std::__throw_bad_alloc

#if defined(__GLIBC__) && defined(__LP64__) && !defined(__SANITIZE_ADDRESS__) && \
    !defined(__SANITIZE_THREAD__)

namespace llm {
namespace {

constexpr size_t kStep = 32;
constexpr size_t kLargest = 1024;
constexpr size_t kKeptBytes = 32 * 1024;  // of a class, at most

struct Block {
    Block *next;
};

struct Class {
    Block *first;
    size_t bytes;
};

Class classes[kLargest / kStep + 1];

// Zero until the module's initialisers run: everything goes to malloc till then.
const pthread_t owner = pthread_self();

size_t class_of(size_t size) {
    return (size + kStep - 1) / kStep;
}

bool is_kept(size_t size) {
    return size <= kLargest && size > 0 && pthread_equal(pthread_self(), owner) != 0;
}

void *allocate(size_t size) {
    if (is_kept(size)) {
        size_t number = class_of(size);
        Class &of = classes[number];
        size = number * kStep;
        if (Block *block = of.first) {
            of.first = block->next;
            of.bytes -= size;
            return block;
        }
    }
    return std::malloc(size == 0 ? 1 : size);
}

void release(void *memory, size_t size) {
    if (memory != nullptr && is_kept(size)) {
        size_t number = class_of(size);
        Class &of = classes[number];
        size = number * kStep;
        // It may have been made elsewhere, a little too small.
        if (of.bytes + size <= kKeptBytes && malloc_usable_size(memory) >= size) {
            of.first = new (memory) Block{of.first};
            of.bytes += size;
            return;
        }
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
