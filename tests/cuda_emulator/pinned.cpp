#include "pinned.h"
#include "engine.h"

#include <cstdlib>
#include <cstring>
#include <deque>
#include <map>
#include <mutex>
#include <string>

namespace emulator {

namespace {

struct Copy {
    uint64_t number;
    const char *from;
    std::string bytes;
};

std::mutex mutex;
std::map<uintptr_t, size_t> pinned;
/// Those that nothing was waited for behind.
std::deque<Copy> pending;
uint64_t made;

}

void *allocate_pinned(size_t bytes) {
    void *memory = malloc(bytes ? bytes : 1);
    std::lock_guard<std::mutex> lock(mutex);
    if (memory) pinned[reinterpret_cast<uintptr_t>(memory)] = bytes;
    return memory;
}

void release_pinned(void *address) {
    std::lock_guard<std::mutex> lock(mutex);
    if (!pinned.erase(reinterpret_cast<uintptr_t>(address))) fail("%p was never page-locked", address);
    free(address);
}

bool copied_from(const void *from, size_t bytes) {
    std::lock_guard<std::mutex> lock(mutex);
    auto after = pinned.upper_bound(reinterpret_cast<uintptr_t>(from));
    if (after == pinned.begin()) return false;
    auto &[start, size] = *std::prev(after);
    if (reinterpret_cast<uintptr_t>(from) + bytes > start + size) return false;
    pending.push_back({++made, static_cast<const char *>(from), std::string(static_cast<const char *>(from), bytes)});
    return true;
}

uint64_t copies() {
    std::lock_guard<std::mutex> lock(mutex);
    return made;
}

void waited_for(uint64_t count) {
    std::lock_guard<std::mutex> lock(mutex);
    for (; !pending.empty() && pending.front().number <= count; pending.pop_front()) {
        const Copy &copy = pending.front();
        if (memcmp(copy.from, copy.bytes.data(), copy.bytes.size()))
            fail("page-locked memory was written before the copy from it was waited for");
    }
}

}
