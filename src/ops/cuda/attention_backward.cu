// Gradients of attention. Probabilities are computed again from the logarithms of the rows' sums; two kernels, one by queries and
// one by keys, so that every sum has one owner and the same order in every run.
//
// With probabilities P, mask M (0 or 1/(1-p)) and dP = dY·Vᵀ: dV = (P∘M)ᵀ·dY, dS = scale · P∘(M∘dP - delta), dQ = dS·K,
// dK = dSᵀ·Q, where delta is the sum of dY∘Y over a row.
#include "ops/cuda/attention.cuh"

/// Rows of a tile of the other side.
template <class T> constexpr int OTHER = sizeof(T) == 2 ? 32 : 16;

/// `delta[head][token] = Σ dy·y` over the head. A warp a token and head: grid (tokens / 4, heads), 4 warps.
template <class T>
__device__ void row_products(const T *dy, const T *y, int stride, float *delta, int tokens, int d) {
    int token = blockIdx.x * WARPS + threadIdx.x / 32;
    if (token >= tokens) return;
    size_t first = size_t(token) * stride + size_t(blockIdx.y) * d;
    float sum = 0.0f;
    for (int i = threadIdx.x % 32; i < d; i += 32) sum += wide(dy[first + i]) * wide(y[first + i]);
    sum = warp_sum(sum);
    if (threadIdx.x % 32 == 0) delta[size_t(blockIdx.y) * tokens + token] = sum;
}

#define ROW_PRODUCTS(T, name)                                                                                                  \
    extern "C" __global__ void attention_row_products_##name(const T *dy, const T *y, int stride, float *delta, int tokens,    \
                                                             int d) {                                                          \
        row_products(dy, y, stride, delta, tokens, d);                                                                         \
    }
ROW_PRODUCTS(float, f32)
ROW_PRODUCTS(bf16, bf16)
ROW_PRODUCTS(f16, f16)

/// What both kernels take.
template <class T> struct Given {
    const T *q, *k, *v;
    int in_stride;
    const T *dy;
    int dy_stride;
    const float *logsum, *delta;
    int tokens, d;
    float scale;
    const uint32_t *mask;
    float mask_scale;
};

/// Two matrices with a row each for every query or for every key.
template <class T> struct Side {
    Rows<const T> first, second;
};

/// Queries and their dy, or keys and values, of one head from the first token of a sequence on.
template <class T> __device__ __forceinline__ Side<T> query_side(const Given<T> &given, Work own) {
    return {head_of(given.q, given.in_stride, own.first, given.d), head_of(given.dy, given.dy_stride, own.first, given.d)};
}
template <class T> __device__ __forceinline__ Side<T> key_side(const Given<T> &given, Work own) {
    return {head_of(given.k, given.in_stride, own.first, given.d), head_of(given.v, given.in_stride, own.first, given.d)};
}

/// Holds the block's 64 rows of one side and goes through the other, OTHER rows at a time: calls `f` with the first of those, the products of the
/// first matrices (scores) and of the second (dP), a row of `held` against a row of `passing`, and the passing tiles.
/// Shared memory: two tiles of 64 rows, two of OTHER.
template <class T, int D, class F>
__device__ __forceinline__ void for_tiles(Work own, int d, Side<T> held, Side<T> passing, F f) {
    constexpr int N = OTHER<T> / 8;
    int len = int(own.len), warp = threadIdx.x / 32;
    Tile<T, D> rows0{reinterpret_cast<T *>(shared_bytes)}, rows1{rows0.row(ROWS)}, tile0{rows1.row(ROWS)}, tile1{tile0.row(OTHER<T>)};
    fetch(rows0, held.first, own.row, ROWS, len, d);
    fetch(rows1, held.second, own.row, ROWS, len, d);
    for (int first = 0; first < len; first += OTHER<T>) {
        __syncthreads();
        fetch(tile0, passing.first, first, OTHER<T>, len, d);
        fetch(tile1, passing.second, first, OTHER<T>, len, d);
        __syncthreads();
        Sums p[N] = {}, dp[N] = {};
        multiply_rows(p, rows0, 16 * warp, tile0);
        multiply_rows(dp, rows1, 16 * warp, tile1);
        f(first, p, dp, tile0, tile1);
    }
}

/// Gradients of queries. Grid: work × heads.
template <class T, int D> __device__ void by_queries(const Work *work, const Given<T> &given, T *dq, int out_stride) {
    constexpr int N = OTHER<T> / 8;
    Work own = work[blockIdx.x];
    int len = int(own.len), d = given.d, t = threadIdx.x % 4, top = int(own.row) + 16 * (threadIdx.x / 32), row = top + threadIdx.x % 32 / 4;
    float logsum[2], delta[2];
    for (int half = 0; half < 2; half++) {
        bool inside = row + 8 * half < len;
        size_t at = size_t(blockIdx.y) * given.tokens + own.first + row + 8 * half;
        logsum[half] = inside ? given.logsum[at] : 0.0f;
        delta[half] = inside ? given.delta[at] : 0.0f;
    }

    Sums out[D / 8] = {};
    for_tiles<T, D>(own, d, query_side(given, own), key_side(given, own),
                    [&](int first, Sums(&p)[N], Sums(&dp)[N], Tile<T, D> keys, Tile<T, D>) {
#pragma unroll
        for (int half = 0; half < 2; half++) {
            uint32_t bits = ALL;
            int beyond = row + 8 * half < len ? len - first : 0;
            if (given.mask != nullptr) {
                uint64_t at = own.probability + (uint64_t(blockIdx.y) * len + row + 8 * half) * len + first;
                bits = mask_bits(given.mask, at, beyond < OTHER<T> ? beyond : OTHER<T>);
            }
#pragma unroll
            for (int j = 0; j < N; j++)
#pragma unroll
                for (int c = 0; c < 2; c++) {
                    int column = 8 * j + 2 * t + c;
                    float probability = column < beyond ? __expf(p[j].at[2 * half + c] * given.scale - logsum[half]) : 0.0f;
                    float masked = bits >> column & 1 ? dp[j].at[2 * half + c] * given.mask_scale : 0.0f;
                    p[j].at[2 * half + c] = given.scale * probability * (masked - delta[half]);
                }
        }
        multiply_columns(out, p, keys);
    });
    put<T, D>(head_of(dq, out_stride, own.first, d), out, top, len, d, 1.0f, 1.0f);
}

/// Gradients of keys and values. Grid: work × heads.
template <class T, int D> __device__ void by_keys(const Work *work, const Given<T> &given, T *dk, T *dv, int out_stride) {
    constexpr int N = OTHER<T> / 8;
    Work own = work[blockIdx.x];
    int len = int(own.len), d = given.d, t = threadIdx.x % 4, top = int(own.row) + 16 * (threadIdx.x / 32), row = top + threadIdx.x % 32 / 4;
    const float *logsums = given.logsum + size_t(blockIdx.y) * given.tokens + own.first;
    const float *deltas = given.delta + size_t(blockIdx.y) * given.tokens + own.first;

    Sums dk_sums[D / 8] = {}, dv_sums[D / 8] = {};
    // Transposed: rows are keys, columns queries.
    for_tiles<T, D>(own, d, key_side(given, own), query_side(given, own),
                    [&](int first, Sums(&p)[N], Sums(&dp)[N], Tile<T, D> queries, Tile<T, D> dys) {
#pragma unroll
        for (int j = 0; j < N; j++)
#pragma unroll
            for (int c = 0; c < 2; c++) {
                int query = first + 8 * j + 2 * t + c;
                bool inside = query < len;
                float logsum = inside ? logsums[query] : 0.0f, delta = inside ? deltas[query] : 0.0f;
#pragma unroll
                for (int half = 0; half < 2; half++) {
                    int key = row + 8 * half;
                    float keep = given.mask_scale;
                    if (given.mask != nullptr && inside && key < len)
                        keep = kept(given.mask, own.probability + (uint64_t(blockIdx.y) * len + query) * len + key, keep);
                    float &probability = p[j].at[2 * half + c], &gradient = dp[j].at[2 * half + c];
                    float own_p = inside ? __expf(probability * given.scale - logsum) : 0.0f;
                    gradient = given.scale * own_p * (gradient * keep - delta);
                    probability = own_p * keep;
                }
            }
        multiply_columns(dv_sums, p, dys);
        multiply_columns(dk_sums, dp, queries);
    });
    put<T, D>(head_of(dk, out_stride, own.first, d), dk_sums, top, len, d, 1.0f, 1.0f);
    put<T, D>(head_of(dv, out_stride, own.first, d), dv_sums, top, len, d, 1.0f, 1.0f);
}

#define GIVEN(T)                                                                                                               \
    const Work *work, const T *q, const T *k, const T *v, int in_stride, const T *dy, int dy_stride, const float *logsum,      \
        const float *delta, int tokens, int d, float scale, const uint32_t *mask, float mask_scale
#define BACKWARD(T, name, D)                                                                                                   \
    extern "C" __global__ void __launch_bounds__(THREADS)                                                                      \
        attention_by_queries_##name##_##D(GIVEN(T), T *dq, int out_stride) {                                                   \
        Given<T> given = {q, k, v, in_stride, dy, dy_stride, logsum, delta, tokens, d, scale, mask, mask_scale};               \
        by_queries<T, D>(work, given, dq, out_stride);                                                                         \
    }                                                                                                                          \
    extern "C" __global__ void __launch_bounds__(THREADS)                                                                      \
        attention_by_keys_##name##_##D(GIVEN(T), T *dk, T *dv, int out_stride) {                                               \
        Given<T> given = {q, k, v, in_stride, dy, dy_stride, logsum, delta, tokens, d, scale, mask, mask_scale};               \
        by_keys<T, D>(work, given, dk, dv, out_stride);                                                                        \
    }

BACKWARD(float, f32, 32)
BACKWARD(float, f32, 64)
BACKWARD(float, f32, 96)
BACKWARD(float, f32, 128)
BACKWARD(bf16, bf16, 32)
BACKWARD(bf16, bf16, 64)
BACKWARD(bf16, bf16, 96)
BACKWARD(bf16, bf16, 128)
BACKWARD(f16, f16, 32)
BACKWARD(f16, f16, 64)
BACKWARD(f16, f16, 96)
BACKWARD(f16, f16, 128)
