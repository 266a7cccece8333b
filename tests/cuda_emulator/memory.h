// Device memory: each allocation ends at a page that nobody may touch, and freed memory stays forbidden.
#pragma once

#include <cstddef>

namespace emulator {

void *allocate(size_t bytes);
/// Whether there was such an allocation.
bool release(void *address);
/// Ends the process if the bytes do not lie inside one allocation.
void check(const void *address, size_t bytes, const char *call);
size_t allocated();
/// From now on a fault says which kernel did it.
void catch_faults();

}
