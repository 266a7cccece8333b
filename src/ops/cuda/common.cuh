// What the kernels share: numbers of all types, sums over a warp, masks.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <stdint.h>

typedef __nv_bfloat16 bf16;
typedef __half f16;

constexpr unsigned ALL = 0xFFFFFFFFu;

__device__ __forceinline__ float wide(float x) { return x; }
__device__ __forceinline__ float wide(bf16 x) { return __bfloat162float(x); }
__device__ __forceinline__ float wide(f16 x) { return __half2float(x); }

template <class T> struct Round;
template <> struct Round<float> {
    static __device__ __forceinline__ float of(float x) { return x; }
};
template <> struct Round<bf16> {
    static __device__ __forceinline__ bf16 of(float x) { return __float2bfloat16_rn(x); }
};
template <> struct Round<f16> {
    /// Infinite beyond 65504, so that an overflow is noticed.
    static __device__ __forceinline__ f16 of(float x) { return __float2half_rn(x); }
};

/// The nearest number of type T.
template <class T> __device__ __forceinline__ T narrow(float x) { return Round<T>::of(x); }

/// Two neighbours of 16 bits in one word, the first lower.
__device__ __forceinline__ uint32_t bits_of(bf16 x) { return __bfloat16_as_ushort(x); }
__device__ __forceinline__ uint32_t bits_of(f16 x) { return __half_as_ushort(x); }
template <class T> __device__ __forceinline__ uint32_t pair_bits(float low, float high) {
    return bits_of(narrow<T>(low)) | bits_of(narrow<T>(high)) << 16;
}
__device__ __forceinline__ float2 pair_of_bits(uint32_t bits, bf16) {
    return make_float2(__uint_as_float(bits << 16), __uint_as_float(bits & 0xFFFF0000u));
}
__device__ __forceinline__ float2 pair_of_bits(uint32_t bits, f16) {
    return make_float2(wide(__ushort_as_half(bits & 0xFFFFu)), wide(__ushort_as_half(bits >> 16)));
}

/// Four neighbours at once: 16 bytes of f32, 8 of the others.
__device__ __forceinline__ float4 load4(const float *x) { return *reinterpret_cast<const float4 *>(x); }
template <class T> __device__ __forceinline__ float4 load4(const T *x) {
    uint2 bits = *reinterpret_cast<const uint2 *>(x);
    float2 low = pair_of_bits(bits.x, T()), high = pair_of_bits(bits.y, T());
    return make_float4(low.x, low.y, high.x, high.y);
}
__device__ __forceinline__ void store4(float *y, float4 x) { *reinterpret_cast<float4 *>(y) = x; }
template <class T> __device__ __forceinline__ void store4(T *y, float4 x) {
    *reinterpret_cast<uint2 *>(y) = make_uint2(pair_bits<T>(x.x, x.y), pair_bits<T>(x.z, x.w));
}

/// Whether rows of `width` numbers that begin at `x` can be read four at a time.
template <class T> __device__ __forceinline__ bool by_four(const T *x, size_t width) {
    return (reinterpret_cast<uintptr_t>(x) % (4 * sizeof(T)) == 0) && width % 4 == 0;
}

/// The sum over the lanes of a warp, in each lane; the same in every run.
__device__ __forceinline__ float warp_sum(float x) {
    for (int lanes = 16; lanes > 0; lanes /= 2) x += __shfl_xor_sync(ALL, x, lanes);
    return x;
}

/// The factor of element `i` under a mask of bits; 1 without a mask.
__device__ __forceinline__ float kept(const uint32_t *mask, size_t i, float scale) {
    return mask == nullptr ? 1.0f : (mask[i >> 5] >> (i & 31) & 1) ? scale : 0.0f;
}
