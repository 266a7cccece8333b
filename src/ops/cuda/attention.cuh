// What the attention kernels share. Sequences are packed, scores live in registers, and nothing of their size is in memory but a
// dropout mask of one bit each.
//
// A block of 4 warps has 64 rows of one head and one sequence, queries or keys, 16 rows a warp, and goes through the other
// side's rows a tile at a time. Heads narrower than D are filled up with zeros.
#pragma once

#include "ops/cuda/mma.cuh"

constexpr int WARPS = 4;
constexpr int THREADS = 32 * WARPS;
/// Rows of a block.
constexpr int ROWS = 16 * WARPS;

/// Where a block's rows are, as ops/cuda/attention.rs lays it out.
struct Work {
    /// The sequence: its first token and its tokens.
    uint32_t first, len;
    /// The block's first row within the sequence.
    uint32_t row;
    uint32_t unused;
    /// Number of the sequence's first attention probability.
    uint64_t probability;
};

/// One head's part of a matrix [tokens, …]: `stride` numbers from row to row.
template <class T> struct Rows {
    T *data;
    int stride;
};

/// Copies rows `first` to `first + count` of a head, `d` wide, to a tile; zeros beyond row `len` and column `d`.
template <class T, int D>
__device__ __forceinline__ void fetch(Tile<T, D> tile, Rows<const T> from, int first, int count, int len, int d) {
    constexpr int VECTOR = 16 / sizeof(T);
    bool aligned = reinterpret_cast<uintptr_t>(from.data) % 16 == 0 && from.stride % VECTOR == 0 && d % VECTOR == 0;
    if (aligned) {
        constexpr int ACROSS = D / VECTOR;
        for (int i = threadIdx.x; i < count * ACROSS; i += THREADS) {
            int row = i / ACROSS, column = i % ACROSS * VECTOR;
            uint4 numbers = make_uint4(0, 0, 0, 0);
            if (first + row < len && column < d)
                numbers = *reinterpret_cast<const uint4 *>(from.data + size_t(first + row) * from.stride + column);
            *reinterpret_cast<uint4 *>(tile.row(row) + column) = numbers;
        }
    } else {
        for (int i = threadIdx.x; i < count * D; i += THREADS) {
            int row = i / D, column = i % D;
            bool inside = first + row < len && column < d;
            tile.row(row)[column] = inside ? from.data[size_t(first + row) * from.stride + column] : narrow<T>(0.0f);
        }
    }
}

/// `sums[j] += left rows · (right rows 8j to 8j + 7)ᵀ`, over all D terms.
template <class T, int D, int N>
__device__ __forceinline__ void multiply_rows(Sums (&sums)[N], Tile<T, D> left, int first, Tile<T, D> right) {
#pragma unroll
    for (int k = 0; k < D; k += 16) {
        Left<T> a = left.left(first, k);
#pragma unroll
        for (int j = 0; j < N; j++) multiply(sums[j], a, right.rows(8 * j, k));
    }
}

/// `sums[j] += factors · (right columns 8j to 8j + 7)`, over the N·8 rows of `right`.
template <class T, int D, int N>
__device__ __forceinline__ void multiply_columns(Sums (&sums)[D / 8], const Sums (&factors)[N], Tile<T, D> right) {
#pragma unroll
    for (int k = 0; k < N; k += 2) {
        const float *low = factors[k].at, *high = factors[k + 1].at;
        Left<T> a = {make_pair<T>(low[0], low[1]), make_pair<T>(low[2], low[3]), make_pair<T>(high[0], high[1]),
                     make_pair<T>(high[2], high[3])};
#pragma unroll
        for (int j = 0; j < D / 8; j++) multiply(sums[j], a, right.columns(8 * k, 8 * j));
    }
}

/// Writes a warp's sums, times a factor a row, to rows `first` and on of a head; not beyond row `len` and column `d`.
template <class T, int D>
__device__ __forceinline__ void put(Rows<T> to, const Sums (&sums)[D / 8], int first, int len, int d, float factor0, float factor1) {
    int g = threadIdx.x % 32 / 4, t = threadIdx.x % 4;
#pragma unroll
    for (int half = 0; half < 2; half++) {
        int row = first + g + 8 * half;
        float factor = half ? factor1 : factor0;
        if (row >= len) continue;
        T *out = to.data + size_t(row) * to.stride;
#pragma unroll
        for (int j = 0; j < D / 8; j++) {
            int column = 8 * j + 2 * t;
            if (column < d) out[column] = narrow<T>(sums[j].at[2 * half] * factor);
            if (column + 1 < d) out[column + 1] = narrow<T>(sums[j].at[2 * half + 1] * factor);
        }
    }
}

/// Bits of a dropout mask from element `at` on, the first lowest; those beyond `count` of 32 are not read.
__device__ __forceinline__ uint32_t mask_bits(const uint32_t *mask, uint64_t at, int count) {
    if (count <= 0) return 0;
    const uint32_t *words = mask + (at >> 5);
    unsigned shift = at & 31;
    uint32_t low = words[0], high = shift + (count < 32 ? count : 32) > 32 ? words[1] : 0;
    return __funnelshift_r(low, high, shift);
}

/// Reduces over the four lanes that share a row.
__device__ __forceinline__ float row_max(float x) {
    x = fmaxf(x, __shfl_xor_sync(ALL, x, 1));
    return fmaxf(x, __shfl_xor_sync(ALL, x, 2));
}
__device__ __forceinline__ float row_sum(float x) {
    x += __shfl_xor_sync(ALL, x, 1);
    return x + __shfl_xor_sync(ALL, x, 2);
}

/// Queries, keys and values of one head of one sequence.
template <class T> struct Heads {
    Rows<const T> q, k, v;
};

/// The rows of one head from the first token of a sequence on.
template <class T> __device__ __forceinline__ Rows<T> head_of(T *data, int stride, uint32_t first, int d) {
    return {data + size_t(first) * stride + size_t(blockIdx.y) * d, stride};
}

#ifdef CUDA_EMULATOR
#define shared_bytes (emulator::dynamic_shared)
#else
extern __shared__ __align__(16) unsigned char shared_bytes[];
#endif
