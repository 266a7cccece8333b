// Page-locked memory: a copy from it may still be under way when the call returns, so its bytes must stay what they are until
// something behind the copy was waited for.
#pragma once

#include <cstddef>
#include <cstdint>

namespace emulator {

void *allocate_pinned(size_t bytes);
void release_pinned(void *address);
/// A copy from host memory was put on a stream; whether that memory is page-locked.
bool copied_from(const void *from, size_t bytes);
/// The number of copies so far.
uint64_t copies();
/// The first `count` copies were waited for: ends the process if what they read has changed since.
void waited_for(uint64_t count);

}
