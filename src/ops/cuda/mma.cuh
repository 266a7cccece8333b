// Products of small tiles by the lanes of a warp: 16 rows, 8 columns, 16 terms, sums in f32.
//
// Lane 4g + t of a warp holds, of the left tile, rows g and g + 8 at terms 2t, 2t + 1, 2t + 8, 2t + 9; of the right tile,
// column g at the same terms; of the sums, rows g and g + 8 at columns 2t and 2t + 1. So the sums of two neighbouring tiles lie
// as a left tile does: the result of one product is the left factor of the next without a word between lanes.
//
// bf16 and f16 go through the tensor cores as they are. f32 is split in two parts of tf32, and three of the four products of parts
// are summed: all but the last bits of f32. A tensor core's product of 8 terms is handed terms 2t and 2t + 1 as its t and t + 4.
// Tensor cores before compute capability 8.0 know f16 alone, 8 terms at a time.
#pragma once

#include "ops/cuda/common.cuh"

/// Two neighbours of one row or column.
template <class T> struct Pair {
    uint32_t bits;
};
template <> struct Pair<float> {
    float low, high;
};

/// Two numbers rounded to T.
template <class T> __device__ __forceinline__ Pair<T> make_pair(float low, float high) { return {pair_bits<T>(low, high)}; }
template <> __device__ __forceinline__ Pair<float> make_pair<float>(float low, float high) { return {low, high}; }

template <class T> __device__ __forceinline__ float2 wide(Pair<T> x) { return pair_of_bits(x.bits, T()); }
__device__ __forceinline__ float2 wide(Pair<float> x) { return make_float2(x.low, x.high); }

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
inline float product_of(float a, float b, float) {
    auto rounded = [](float x) { return __uint_as_float((__float_as_uint(x) + 0x1000) & ~0x1FFFu); };
    float a_high = rounded(a), b_high = rounded(b);
    float a_low = rounded(a - a_high), b_low = rounded(b - b_high);
    return a_low * b_high + a_high * b_low + a_high * b_high;
}
template <class T> float product_of(float a, float b, T) { return a * b; }

/// `sums += left · right`.
template <class T> void multiply(Sums &sums, const Left<T> &left, const Right<T> &right) {
    struct Shown {
        float2 left[4], right[2];
    } own;
    for (int i = 0; i < 4; i++) own.left[i] = wide(left.parts[i]);
    for (int i = 0; i < 2; i++) own.right[i] = wide(right.parts[i]);
    auto *slots = emulator::exchange(&own, sizeof own);
    unsigned g = emulator::lane() / 4, t = emulator::lane() % 4;
    for (int i = 0; i < 4; i++) {
        unsigned column = 2 * t + i % 2;
        // Terms 2s, 2s + 1 and 2s + 8, 2s + 9 are with lane s of a row or column.
        for (unsigned s = 0; s < 4; s++) {
            Shown a, b;
            memcpy(&a, slots[4 * g + s], sizeof a);
            memcpy(&b, slots[4 * column + s], sizeof b);
            for (int k = 0; k < 2; k++) {
                float2 x = a.left[2 * k + i / 2], y = b.right[k];
                sums.at[i] += product_of(x.x, y.x, T());
                sums.at[i] += product_of(x.y, y.y, T());
            }
        }
    }
}

#else

#if __CUDA_ARCH__ >= 800

__device__ __forceinline__ void multiply(Sums &sums, const Left<bf16> &left, const Right<bf16> &right) {
    asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(sums.at[0]), "+f"(sums.at[1]), "+f"(sums.at[2]), "+f"(sums.at[3])
        : "r"(left.parts[0].bits), "r"(left.parts[1].bits), "r"(left.parts[2].bits), "r"(left.parts[3].bits),
          "r"(right.parts[0].bits), "r"(right.parts[1].bits));
}

__device__ __forceinline__ void multiply(Sums &sums, const Left<f16> &left, const Right<f16> &right) {
    asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
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

#else

__device__ __forceinline__ void multiply(Sums &sums, const Left<f16> &left, const Right<f16> &right) {
    for (int half = 0; half < 2; half++)
        asm("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5}, {%6}, {%0, %1, %2, %3};"
            : "+f"(sums.at[0]), "+f"(sums.at[1]), "+f"(sums.at[2]), "+f"(sums.at[3])
            : "r"(left.parts[2 * half].bits), "r"(left.parts[2 * half + 1].bits), "r"(right.parts[half].bits));
}

/// Nobody launches kernels with products of these on such a card: see `possible` in attention.rs.
template <class T> __device__ __forceinline__ void multiply(Sums &, const Left<T> &, const Right<T> &) { __trap(); }

#endif

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
    return {make_pair<T>(wide(from[0]), wide(from[stride])), make_pair<T>(wide(from[8 * stride]), wide(from[9 * stride]))};
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
