// Large blocks of memory that were given back, a few of them: getting and returning megabytes costs
// the kernel more, page by page, than all else that is done with a body. For the thread of the
// event loop only. Every block is malloc's and may go to free() or realloc() as well.
#pragma once

#include <cstddef>

namespace llm {

// Smaller ones are not kept here.
constexpr size_t kLargeBlock = 128 * 1024;

// From here on blocks are kept: the process is a worker, and not on its way out.
void start_large_blocks();
// Frees what is kept; nothing is kept any more.
void stop_large_blocks();

// One that has room for so much; nullptr: there is none.
void *take_large_block(size_t size);
// False: it stays the caller's.
bool keep_large_block(void *memory);

}  // namespace llm
