#include "memory.h"
#include "engine.h"

#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <map>
#include <mutex>
#include <sys/mman.h>
#include <unistd.h>

namespace emulator {

const char *running_kernel();

namespace {

struct Allocation {
    size_t bytes;
    char *base;
    size_t mapped;
};

// Alignment of vector loads; up to this many bytes behind an allocation are not guarded but checked when it is freed.
constexpr size_t ALIGNMENT = 16;
constexpr unsigned char CANARY = 0xA5;
/// Bytes of freed memory whose addresses are not used again.
constexpr size_t QUARANTINE = size_t(4) << 30;

std::mutex mutex;
std::map<uintptr_t, Allocation> live;
std::map<uintptr_t, Allocation> freed;
size_t live_bytes, freed_bytes;

size_t pages(size_t bytes) {
    size_t page = getpagesize();
    return (bytes + page - 1) / page * page;
}

void on_fault(int, siginfo_t *info, void *) {
    // Not safe in general, but the process ends here.
    const char *kernel = running_kernel();
    auto address = reinterpret_cast<uintptr_t>(info->si_addr);
    fprintf(stderr, "CUDA emulator: bad address %p", info->si_addr);
    for (const auto *table : {&live, &freed}) {
        auto after = table->upper_bound(address);
        if (after == table->begin()) continue;
        auto &[start, allocation] = *std::prev(after);
        if (address < start + allocation.mapped)
            fprintf(stderr, ", byte %zu of %s %zu bytes", size_t(address - start),
                    table == &live ? "an allocation of" : "freed", allocation.bytes);
    }
    if (kernel && current)
        fprintf(stderr, "; kernel %s, block (%u, %u, %u), thread (%u, %u, %u)", kernel, block_index.x, block_index.y,
                block_index.z, current->index.x, current->index.y, current->index.z);
    fputc('\n', stderr);
    signal(SIGSEGV, SIG_DFL);
    raise(SIGSEGV);
}

}

void *allocate(size_t bytes) {
    size_t room = (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT, page = getpagesize(), mapped = pages(room) + page;
    auto *base = static_cast<char *>(mmap(nullptr, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    if (base == MAP_FAILED) return nullptr;
    mprotect(base + mapped - page, page, PROT_NONE);
    char *start = base + mapped - page - room;
    memset(start, 0xFF, bytes); // NaN: who reads before writing finds out
    memset(start + bytes, CANARY, room - bytes);
    std::lock_guard<std::mutex> lock(mutex);
    live[reinterpret_cast<uintptr_t>(start)] = {bytes, base, mapped};
    live_bytes += bytes;
    return start;
}

bool release(void *address) {
    std::lock_guard<std::mutex> lock(mutex);
    auto found = live.find(reinterpret_cast<uintptr_t>(address));
    if (found == live.end()) return false;
    Allocation allocation = found->second;
    auto *end = reinterpret_cast<unsigned char *>(address) + allocation.bytes;
    for (size_t i = 0; i < (ALIGNMENT - allocation.bytes % ALIGNMENT) % ALIGNMENT; i++)
        if (end[i] != CANARY) fail("something was written behind an allocation of %zu bytes", allocation.bytes);
    live.erase(found);
    live_bytes -= allocation.bytes;
    if (mmap(allocation.base, allocation.mapped, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0) == MAP_FAILED)
        fail("memory cannot be protected");
    freed[reinterpret_cast<uintptr_t>(address)] = allocation;
    freed_bytes += allocation.mapped;
    // A process has some 65,000 mappings; neighbours of one kind are merged, but not always.
    while (freed_bytes > QUARANTINE || freed.size() > 20000) {
        auto oldest = freed.begin();
        munmap(oldest->second.base, oldest->second.mapped);
        freed_bytes -= oldest->second.mapped;
        freed.erase(oldest);
    }
    return true;
}

void check(const void *address, size_t bytes, const char *call) {
    if (!bytes) return;
    std::lock_guard<std::mutex> lock(mutex);
    auto at = reinterpret_cast<uintptr_t>(address);
    auto after = live.upper_bound(at);
    if (after != live.begin()) {
        auto &[start, allocation] = *std::prev(after);
        if (at + bytes <= start + allocation.bytes) return;
        if (at < start + allocation.bytes)
            fail("%s: bytes %zu to %zu of an allocation of %zu", call, size_t(at - start), size_t(at - start + bytes), allocation.bytes);
    }
    fail("%s: %p is no device memory", call, address);
}

size_t allocated() {
    std::lock_guard<std::mutex> lock(mutex);
    return live_bytes;
}

void catch_faults() {
    struct sigaction action {};
    action.sa_sigaction = on_fault;
    action.sa_flags = SA_SIGINFO;
    sigaction(SIGSEGV, &action, nullptr);
}

}
