#include "engine.h"

#include <cstdarg>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <sys/mman.h>
#include <unistd.h>
#include <vector>

#ifdef __SANITIZE_ADDRESS__
constexpr size_t STACK = 1 << 18;
#else
constexpr size_t STACK = 1 << 16;
#endif

namespace emulator {

thread_local Thread *current;
thread_local Index block_index, block_size, grid_size;
thread_local unsigned char *dynamic_shared;

namespace {

thread_local const Kernel *running;
thread_local const std::function<void()> *body;
thread_local void *scheduler;

#ifndef __x86_64__
#error "the emulator switches stacks of x86-64"
#endif
// Saves the callee's registers and the stack pointer, and goes on where another stack left off.
extern "C" void emulator_switch(void **from, void *to);
asm(R"(
.text
.type emulator_switch,@function
emulator_switch:
    push %rbp; push %rbx; push %r12; push %r13; push %r14; push %r15
    mov %rsp, (%rdi)
    mov %rsi, %rsp
    pop %r15; pop %r14; pop %r13; pop %r12; pop %rbx; pop %rbp
    ret
)");

void pause(Wait wait) {
    current->wait = wait;
    emulator_switch(&current->stack_pointer, scheduler);
}

[[noreturn]] void thread_main() {
    for (;;) {
        (*body)();
        pause(Wait::done);
    }
}

// The threads of this host thread's blocks, made once.
struct Pool {
    std::vector<Thread> threads;
    std::vector<std::unique_ptr<Warp>> warps;

    ~Pool() {
        for (Thread &thread : threads) munmap(thread.stack, STACK + getpagesize());
    }

    void grow(size_t count) {
        while (threads.size() < count) {
            Thread thread{};
            size_t page = getpagesize();
            thread.stack = mmap(nullptr, STACK + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
            if (thread.stack == MAP_FAILED) fail("no memory for the stacks of a block");
            mprotect(thread.stack, page, PROT_NONE);
            void **top = reinterpret_cast<void **>(static_cast<char *>(thread.stack) + page + STACK);
            // Entered by a return: the stack is then as after a call.
            *--top = nullptr;
            *--top = reinterpret_cast<void *>(thread_main);
            top -= 6;
            memset(top, 0, 6 * sizeof *top);
            thread.stack_pointer = top;
            if (threads.size() % WARP == 0) warps.push_back(std::make_unique<Warp>());
            threads.push_back(thread);
        }
    }
};

thread_local Pool pool;

void resume(Thread &thread) {
    current = &thread;
    thread.wait = Wait::none;
    emulator_switch(&scheduler, thread.stack_pointer);
    current = nullptr;
}

// In the other order races between barriers show.
bool backwards() {
    static const bool set = [] {
        const char *order = getenv("CUDA_EMULATOR_ORDER");
        return order && !strcmp(order, "backwards");
    }();
    return set;
}

[[noreturn]] void stuck(const char *why) {
    fail("kernel %s, block (%u, %u, %u): %s", running->name.c_str(), block_index.x, block_index.y, block_index.z, why);
}

// Runs a warp until all of its lanes are done or wait for the block.
void run_warp(Thread *lanes, unsigned count) {
    for (;;) {
        for (unsigned i = 0; i < count; i++) {
            Thread &thread = lanes[backwards() ? count - 1 - i : i];
            if (thread.wait == Wait::none) resume(thread);
        }
        unsigned waiting[4] = {};
        for (unsigned i = 0; i < count; i++) waiting[static_cast<int>(lanes[i].wait)]++;
        if (!waiting[static_cast<int>(Wait::warp)]) return;
        if (waiting[static_cast<int>(Wait::warp)] != count) stuck("lanes of a warp have parted before a warp operation");
        for (unsigned i = 0; i < count; i++) lanes[i].wait = Wait::none;
    }
}

void run_block(unsigned count) {
    Thread *threads = pool.threads.data();
    for (unsigned i = 0; i < count; i++) {
        Thread &thread = threads[i];
        thread.index = {i % block_size.x, i / block_size.x % block_size.y, i / block_size.x / block_size.y};
        thread.linear = i;
        thread.wait = Wait::none;
        thread.exchanges = 0;
        thread.warp = pool.warps[i / WARP].get();
        thread.warp->lanes = count - i / WARP * WARP < WARP ? count - i / WARP * WARP : WARP;
    }
    unsigned warps = (count + WARP - 1) / WARP;
    for (;;) {
        for (unsigned i = 0; i < warps; i++) {
            unsigned first = (backwards() ? warps - 1 - i : i) * WARP;
            run_warp(threads + first, count - first < WARP ? count - first : WARP);
        }
        unsigned done = 0;
        for (unsigned i = 0; i < count; i++) {
            done += threads[i].wait == Wait::done;
            if (threads[i].wait == Wait::block) threads[i].wait = Wait::none;
        }
        if (done == count) return;
    }
}

}

void sync_block() { pause(Wait::block); }

void sync_warp() { pause(Wait::warp); }

const unsigned char (*exchange(const void *value, size_t bytes))[SLOT] {
    if (bytes > SLOT) fail("%zu bytes are too many for an exchange", bytes);
    auto &slots = current->warp->slots[current->exchanges++ % 2];
    memcpy(slots[current->linear % WARP], value, bytes);
    sync_warp();
    return slots;
}

void fail(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fputs("CUDA emulator: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    abort();
}

void count(const char *what) {
    static const bool wanted = getenv("CUDA_EMULATOR_COUNT");
    if (!wanted) return;
    struct Counts {
        std::mutex mutex;
        std::map<std::string, size_t> of;
        ~Counts() {
            for (auto &[name, times] : of) fprintf(stderr, "CUDA emulator: %7zu %s\n", times, name.c_str());
        }
    };
    static Counts counts;
    std::lock_guard<std::mutex> lock(counts.mutex);
    counts.of[what]++;
}

std::map<std::string, Kernel> &kernels() {
    static std::map<std::string, Kernel> table;
    return table;
}

void run(const Kernel &kernel, Index grid, Index block, size_t shared_bytes, void **arguments) {
    std::function<void()> bound = kernel.bind(arguments);
    unsigned count = block.x * block.y * block.z;
    pool.grow(count);
    running = &kernel;
    body = &bound;
    grid_size = grid;
    block_size = block;
    std::unique_ptr<unsigned char[]> shared(new unsigned char[shared_bytes + 16]);
    dynamic_shared = shared.get() + (16 - reinterpret_cast<uintptr_t>(shared.get()) % 16) % 16;
    for (unsigned z = 0; z < grid.z; z++)
        for (unsigned y = 0; y < grid.y; y++)
            for (unsigned x = 0; x < grid.x; x++) {
                block_index = {x, y, z};
                memset(dynamic_shared, 0xFF, shared_bytes); // NaN, as whatever was there before
                run_block(count);
            }
    running = nullptr;
}

/// What runs, for the message of a fault.
const char *running_kernel() { return running ? running->name.c_str() : nullptr; }

}
