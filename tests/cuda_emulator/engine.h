// Runs kernels on the CPU: every thread of a block is a fiber, and blocks run one after the other. Barriers, warp shuffles and
// warp products run in lockstep; what cannot go on, or is no kernel, ends the process with a message.
#pragma once

#include <cstddef>
#include <cstring>
#include <functional>
#include <map>
#include <string>
#include <tuple>
#include <utility>

namespace emulator {

struct Index {
    unsigned x, y, z;
};

enum class Wait { none, warp, block, done };

constexpr unsigned WARP = 32;
/// Bytes that a lane can hand to the other lanes of its warp at a time.
constexpr size_t SLOT = 64;

struct Warp {
    // Two, in turn: a lane may be one exchange ahead of the others.
    alignas(16) unsigned char slots[2][WARP][SLOT];
    unsigned lanes;
};

struct Thread {
    Index index;
    unsigned linear;
    Wait wait;
    unsigned exchanges;
    Warp *warp;
    void *stack;
    void *stack_pointer;
};

/// The thread whose code runs, and its block.
extern thread_local Thread *current;
extern thread_local Index block_index, block_size, grid_size;
extern thread_local unsigned char *dynamic_shared;

/// Waits for the other threads of the block.
void sync_block();
/// Waits for the other lanes of the warp.
void sync_warp();
/// Shows `bytes` to the other lanes, and gives all that lanes show; `[lane][SLOT]`.
const unsigned char (*exchange(const void *value, size_t bytes))[SLOT];
/// With CUDA_EMULATOR_COUNT, how often each kernel, product and copy was put on a stream is told at the end.
void count(const char *what);
/// Prints a message and ends the process.
[[noreturn]] void fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

struct Kernel {
    std::string name;
    size_t arguments;
    /// Binds the arguments of a launch.
    std::function<std::function<void()>(void **)> bind;
    size_t shared_limit = 48 * 1024;
};

std::map<std::string, Kernel> &kernels();

/// Runs a kernel to its end.
void run(const Kernel &kernel, Index grid, Index block, size_t shared_bytes, void **arguments);

struct Register {
    template <class... A> Register(const char *name, void (*function)(A...)) {
        bool fresh = kernels().emplace(name, Kernel{name, sizeof...(A), [function](void **values) {
            return bind(function, values, std::index_sequence_for<A...>{});
        }}).second;
        if (!fresh) fail("two kernels are called %s", name);
    }

  private:
    template <class... A, size_t... I>
    static std::function<void()> bind(void (*function)(A...), void **values, std::index_sequence<I...>) {
        std::tuple<A...> bound{*static_cast<A *>(values[I])...};
        return [function, bound] { std::apply(function, bound); };
    }
};

}
