// What nvcc knows without being told, for a C++ compiler: included before every kernel file.
#pragma once

#include "../engine.h"

#include <algorithm>
#include <cassert>
#include <cfloat>
#include <cmath>
#include <cstdint>
#include <limits>
#include <math.h>
#include <stdint.h>
#include <type_traits>

#define CUDA_EMULATOR 1
#define __CUDACC_VER_MAJOR__ 13
#define __CUDACC_VER_MINOR__ 0

#define __global__ EMULATED_KERNEL
#define __device__
#define __host__
#define __forceinline__ inline
#define __noinline__ __attribute__((noinline))
#define __launch_bounds__(...)
#define __restrict__ __restrict
#define __align__(bytes) alignas(bytes)
#define __constant__ static
// One block at a time and host thread.
#define __shared__ static thread_local

#define threadIdx (emulator::current->index)
#define blockIdx (emulator::block_index)
#define blockDim (emulator::block_size)
#define gridDim (emulator::grid_size)
constexpr int warpSize = 32;

struct alignas(8) float2 { float x, y; };
struct alignas(16) float4 { float x, y, z, w; };
struct alignas(8) uint2 { unsigned x, y; };
struct alignas(16) uint4 { unsigned x, y, z, w; };
inline float2 make_float2(float x, float y) { return {x, y}; }
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
inline uint2 make_uint2(unsigned x, unsigned y) { return {x, y}; }
inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return {x, y, z, w}; }

inline void __syncthreads() { emulator::sync_block(); }
inline void __threadfence() {}
inline void __syncwarp(unsigned = 0xFFFFFFFFu) { emulator::sync_warp(); }

namespace emulator {
inline unsigned lane() { return current->linear % WARP; }
inline void whole_warp(unsigned mask) {
    if (mask != 0xFFFFFFFFu || current->warp->lanes != WARP) fail("a warp operation of a part of a warp");
}
template <class T> T from_lane(unsigned mask, T value, unsigned source) {
    whole_warp(mask);
    T result;
    memcpy(&result, exchange(&value, sizeof value)[source % WARP], sizeof result);
    return result;
}
template <class T, class F> T atomic(T *address, F change) {
    // Blocks of one launch take turns, but other host threads may launch too.
    T old = *address;
    *address = change(old);
    return old;
}
}

template <class T> T __shfl_sync(unsigned mask, T value, int source, int width = 32) {
    unsigned first = emulator::lane() / width * width;
    return emulator::from_lane(mask, value, first + source % width);
}
template <class T> T __shfl_xor_sync(unsigned mask, T value, int lanes, int = 32) {
    return emulator::from_lane(mask, value, emulator::lane() ^ lanes);
}
template <class T> T __shfl_down_sync(unsigned mask, T value, unsigned by, int width = 32) {
    unsigned lane = emulator::lane(), to = lane + by;
    return emulator::from_lane(mask, value, to / width == lane / width ? to : lane);
}
template <class T> T __shfl_up_sync(unsigned mask, T value, unsigned by, int width = 32) {
    unsigned lane = emulator::lane();
    return emulator::from_lane(mask, value, lane % width >= by ? lane - by : lane);
}
inline unsigned __ballot_sync(unsigned mask, int predicate) {
    emulator::whole_warp(mask);
    auto *slots = emulator::exchange(&predicate, sizeof predicate);
    unsigned result = 0;
    for (unsigned lane = 0; lane < 32; lane++) {
        int value;
        memcpy(&value, slots[lane], sizeof value);
        result |= unsigned(value != 0) << lane;
    }
    return result;
}
inline int __any_sync(unsigned mask, int predicate) { return __ballot_sync(mask, predicate) != 0; }
inline int __all_sync(unsigned mask, int predicate) { return __ballot_sync(mask, predicate) == 0xFFFFFFFFu; }

template <class T, class U> T atomicAdd(T *address, U value) {
    return emulator::atomic(address, [=](T old) { return T(old + T(value)); });
}
template <class T, class U> T atomicMax(T *address, U value) {
    return emulator::atomic(address, [=](T old) { return std::max(old, T(value)); });
}
template <class T, class U> T atomicMin(T *address, U value) {
    return emulator::atomic(address, [=](T old) { return std::min(old, T(value)); });
}
template <class T, class U> T atomicOr(T *address, U value) {
    return emulator::atomic(address, [=](T old) { return T(old | value); });
}
template <class T, class U> T atomicExch(T *address, U value) {
    return emulator::atomic(address, [=](T) { return T(value); });
}
template <class T, class U, class V> T atomicCAS(T *address, U expected, V value) {
    return emulator::atomic(address, [=](T old) { return old == T(expected) ? T(value) : old; });
}

template <class T> T __ldg(const T *address) { return *address; }
inline unsigned __umulhi(unsigned a, unsigned b) { return unsigned(uint64_t(a) * b >> 32); }
inline unsigned __funnelshift_r(unsigned low, unsigned high, unsigned by) {
    return unsigned(((uint64_t(high) << 32) | low) >> (by & 31));
}
inline int __popc(unsigned bits) { return __builtin_popcount(bits); }
inline unsigned __float_as_uint(float value) { unsigned bits; memcpy(&bits, &value, 4); return bits; }
inline float __uint_as_float(unsigned bits) { float value; memcpy(&value, &bits, 4); return value; }
inline int __float_as_int(float value) { int bits; memcpy(&bits, &value, 4); return bits; }
inline float __int_as_float(int bits) { float value; memcpy(&value, &bits, 4); return value; }
inline long long __double_as_longlong(double value) { long long bits; memcpy(&bits, &value, 8); return bits; }
inline double __longlong_as_double(long long bits) { double value; memcpy(&value, &bits, 8); return value; }
inline float rsqrtf(float x) { return 1.0f / std::sqrt(x); }
// Names that the C library has for itself.
#define __expf(x) std::exp(float(x))
#define __logf(x) std::log(float(x))
inline float __fdividef(float a, float b) { return a / b; }
inline float __fmul_rn(float a, float b) { return a * b; }
inline float __fadd_rn(float a, float b) { return a + b; }
inline float __fmaf_rn(float a, float b, float c) { return std::fma(a, b, c); }
inline float normcdff(float x) { return 0.5f * std::erfc(-x * 0.70710678f); }
inline double normcdf(double x) { return 0.5 * std::erfc(-x * 0.7071067811865476); }

using std::isfinite;
using std::isinf;
using std::isnan;
using std::signbit;
template <class T, class U> constexpr auto min(T a, U b) -> std::common_type_t<T, U> { return b < a ? b : a; }
template <class T, class U> constexpr auto max(T a, U b) -> std::common_type_t<T, U> { return a < b ? b : a; }

#include "cuda_bf16.h"
#include "cuda_fp16.h"
#include "cuda_fp8.h"
#include "cuda/std/limits"

// Each file is a namespace, closed by register.py: files may have functions of the same name.
namespace EMULATED_FILE {
// Not hidden by overloads that a file adds.
using ::atomicAdd;
using ::max;
using ::min;
