// Products of small tiles by the lanes of a warp: 16 rows, 8 columns, 16 terms, sums in f32.
//
// Lane 4g + t of a warp holds, of the left tile, rows g and g + 8 at terms 2t, 2t + 1, 2t + 8, 2t + 9; of the right tile,
// column g at the same terms; of the sums, rows g and g + 8 at columns 2t and 2t + 1. So the sums of two neighbouring tiles lie
// as a left tile does: the result of one product is the left factor of the next without a word between lanes.
//
// bf16 goes through the tensor cores as it is. f32 is split in two parts of tf32, and three of the four products of parts are
// summed: all but the last bits of f32. A tensor core's product of 8 terms is handed terms 2t and 2t + 1 as its t and t + 4.
#pragma once

#include "ops/cuda/common.cuh"

/// Two neighbours of one row or column.
template <class T> struct Pair;
template <> struct Pair<float> {
    float low, high;
};
template <> struct Pair<bf16> {
    uint32_t bits;
};

__device__ __forceinline__ Pair<float> pair_of(float low, float high, float) { return {low, high}; }
__device__ __forceinline__ Pair<bf16> pair_of(float low, float high, bf16) { return {pair_bits(low, high)}; }
/// Two numbers rounded to T.
template <class T> __device__ __forceinline__ Pair<T> make_pair(float low, float high) { return pair_of(low, high, T()); }

template <class T> __device__ __forceinline__ Pair<T> load_pair(const T *x) { return *reinterpret_cast<const Pair<T> *>(x); }

/// A lane's part of a left tile: rows g and g + 8 at the lower terms, then both at the upper.
template <class T> struct Left {
    Pair<T> parts[4];
};

/// A lane's part of a right tile: lower terms, upper terms.
template <class T> struct Right {
    Pair<T> parts[2];
};

/// A lane's sums: row g at columns 2t and 2t + 1, then row g + 8.
struct Sums {
    float at[4];
};

#ifdef CUDA_EMULATOR

/// f32 as the sum of two tf32, as the tensor cores' path has it.
inline float product_of_parts(float a, float b) {
    auto rounded = [](float x) { return __uint_as_float((__float_as_uint(x) + 0x1000) & ~0x1FFFu); };
    float a_high = rounded(a), b_high = rounded(b);
    float a_low = rounded(a - a_high), b_low = rounded(b - b_high);
    return a_low * b_high + a_high * b_low + a_high * b_high;
}
inline float product_of(float a, float b, float) { return product_of_parts(a, b); }
inline float product_of(float a, float b, bf16) { return a * b; }
inline void widen(Pair<float> x, float *to) { to[0] = x.low, to[1] = x.high; }
inline void widen(Pair<bf16> x, float *to) {
    to[0] = __uint_as_float(x.bits << 16), to[1] = __uint_as_float(x.bits & 0xFFFF0000u);
}

/// `sums += left · right`.
template <class T> void multiply(Sums &sums, const Left<T> &left, const Right<T> &right) {
    struct Shown {
        float left[8], right[4];
    } own;
    for (int i = 0; i < 4; i++) widen(left.parts[i], own.left + 2 * i);
    for (int i = 0; i < 2; i++) widen(right.parts[i], own.right + 2 * i);
    auto *slots = emulator::exchange(&own, sizeof own);
    unsigned g = emulator::lane() / 4, t = emulator::lane() % 4;
    for (int i = 0; i < 4; i++) {
        unsigned column = 2 * t + i % 2;
        // Terms 2s, 2s + 1 and 2s + 8, 2s + 9 are with lane s of a row or column.
        for (unsigned s = 0; s < 4; s++) {
            Shown a, b;
            memcpy(&a, slots[4 * g + s], sizeof a);
            memcpy(&b, slots[4 * column + s], sizeof b);
            for (int k = 0; k < 4; k++) sums.at[i] += product_of(a.left[k / 2 * 4 + i / 2 * 2 + k % 2], b.right[k], T());
        }
    }
}

#else

__device__ __forceinline__ void multiply(Sums &sums, const Left<bf16> &left, const Right<bf16> &right) {
    asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(sums.at[0]), "+f"(sums.at[1]), "+f"(sums.at[2]), "+f"(sums.at[3])
        : "r"(left.parts[0].bits), "r"(left.parts[1].bits), "r"(left.parts[2].bits), "r"(left.parts[3].bits),
          "r"(right.parts[0].bits), "r"(right.parts[1].bits));
}

__device__ __forceinline__ uint32_t tf32(float x) {
    uint32_t bits;
    asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(bits) : "f"(x));
    return bits;
}

__device__ __forceinline__ void multiply_tf32(Sums &sums, const uint32_t *a, const uint32_t *b) {
    asm("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(sums.at[0]), "+f"(sums.at[1]), "+f"(sums.at[2]), "+f"(sums.at[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

__device__ __forceinline__ void multiply(Sums &sums, const Left<float> &left, const Right<float> &right) {
    for (int half = 0; half < 2; half++) {
        const Pair<float> *l = left.parts + 2 * half, &r = right.parts[half];
        // Terms 2t and 2t + 1 as the tensor core's t and t + 4, on both sides.
        float a[4] = {l[0].low, l[1].low, l[0].high, l[1].high}, b[2] = {r.low, r.high};
        uint32_t a_high[4], a_low[4], b_high[2], b_low[2];
        for (int i = 0; i < 4; i++) {
            a_high[i] = tf32(a[i]);
            a_low[i] = tf32(a[i] - __uint_as_float(a_high[i]));
        }
        for (int i = 0; i < 2; i++) {
            b_high[i] = tf32(b[i]);
            b_low[i] = tf32(b[i] - __uint_as_float(b_high[i]));
        }
        // Small ones first.
        multiply_tf32(sums, a_low, b_high);
        multiply_tf32(sums, a_high, b_low);
        multiply_tf32(sums, a_high, b_high);
    }
}

#endif

/// A tile of rows in shared memory. The eight numbers between rows keep lanes that read different rows apart in the banks.
template <class T, int D> struct Tile {
    static constexpr int STRIDE = D + 8;
    T *data;

    __device__ __forceinline__ T *row(int i) const { return data + i * STRIDE; }

    /// Rows `first` to `first + 15` at terms `k` to `k + 15`, as a left factor.
    __device__ __forceinline__ Left<T> left(int first, int k) const {
        int g = threadIdx.x % 32 / 4, t = threadIdx.x % 4;
        const T *low = row(first + g) + k + 2 * t, *high = row(first + g + 8) + k + 2 * t;
        return {load_pair(low), load_pair(high), load_pair(low + 8), load_pair(high + 8)};
    }

    /// Rows `first` to `first + 7` as the columns of a right factor, at terms `k` to `k + 15`.
    __device__ __forceinline__ Right<T> rows(int first, int k) const {
        int g = threadIdx.x % 32 / 4, t = threadIdx.x % 4;
        const T *from = row(first + g) + k + 2 * t;
        return {load_pair(from), load_pair(from + 8)};
    }

    /// Rows `k` to `k + 15` as the terms of a right factor, columns `first` to `first + 7`.
    __device__ __forceinline__ Right<T> columns(int k, int first) const;
};

template <class T> __device__ __forceinline__ Right<T> gather(const T *from, int stride) {
    return {pair_of(wide(from[0]), wide(from[stride]), T()), pair_of(wide(from[8 * stride]), wide(from[9 * stride]), T())};
}

template <class T, int D> __device__ __forceinline__ Right<T> Tile<T, D>::columns(int k, int first) const {
    int g = threadIdx.x % 32 / 4, t = threadIdx.x % 4;
#ifndef CUDA_EMULATOR
    if constexpr (sizeof(T) == 2) {
        // Lane l reads the 16 bytes of row k + l; what comes back is transposed.
        uint32_t address = uint32_t(__cvta_generic_to_shared(row(k + threadIdx.x % 16) + first));
        Right<T> right;
        asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0, %1}, [%2];"
                     : "=r"(right.parts[0].bits), "=r"(right.parts[1].bits)
                     : "r"(address)
                     : "memory");
        return right;
    }
#endif
    return gather(row(k + 2 * t) + first + g, STRIDE);
}
