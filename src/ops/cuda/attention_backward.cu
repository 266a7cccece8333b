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

extern "C" __global__ void attention_row_products_f32(const float *dy, const float *y, int stride, float *delta, int tokens, int d) {
    row_products(dy, y, stride, delta, tokens, d);
}
extern "C" __global__ void attention_row_products_bf16(const bf16 *dy, const bf16 *y, int stride, float *delta, int tokens, int d) {
    row_products(dy, y, stride, delta, tokens, d);
}

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

/// Gradients of queries. Shared memory: tiles of 64 queries and their dy, of OTHER keys and values. Grid: work × heads.
template <class T, int D> __device__ void by_queries(const Work *work, const Given<T> &given, T *dq, int out_stride) {
    constexpr int N = OTHER<T> / 8;
    Work own = work[blockIdx.x];
    int len = int(own.len), d = given.d, warp = threadIdx.x / 32, g = threadIdx.x % 32 / 4, t = threadIdx.x % 4;
    Tile<T, D> queries{reinterpret_cast<T *>(shared_bytes)}, dys{queries.row(ROWS)}, keys{dys.row(ROWS)}, values{keys.row(OTHER<T>)};
    fetch(queries, head_of(given.q, given.in_stride, own.first, d), own.row, ROWS, len, d);
    fetch(dys, head_of(given.dy, given.dy_stride, own.first, d), own.row, ROWS, len, d);
    Rows<const T> all_keys = head_of(given.k, given.in_stride, own.first, d);
    Rows<const T> all_values = head_of(given.v, given.in_stride, own.first, d);
    int row = int(own.row) + 16 * warp + g;
    float logsum[2], delta[2];
    for (int half = 0; half < 2; half++) {
        bool inside = row + 8 * half < len;
        size_t at = size_t(blockIdx.y) * given.tokens + own.first + row + 8 * half;
        logsum[half] = inside ? given.logsum[at] : 0.0f;
        delta[half] = inside ? given.delta[at] : 0.0f;
    }

    Sums out[D / 8] = {};
    for (int first = 0; first < len; first += OTHER<T>) {
        __syncthreads();
        fetch(keys, all_keys, first, OTHER<T>, len, d);
        fetch(values, all_values, first, OTHER<T>, len, d);
        __syncthreads();
        Sums p[N] = {}, dp[N] = {};
        multiply_rows(p, queries, 16 * warp, keys);
        multiply_rows(dp, dys, 16 * warp, values);
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
    }
    put<T, D>(head_of(dq, out_stride, own.first, d), out, int(own.row) + 16 * warp, len, d, 1.0f, 1.0f);
}

/// Gradients of keys and values. Shared memory: tiles of 64 keys and values, of OTHER queries and their dy. Grid: work × heads.
template <class T, int D> __device__ void by_keys(const Work *work, const Given<T> &given, T *dk, T *dv, int out_stride) {
    constexpr int N = OTHER<T> / 8;
    Work own = work[blockIdx.x];
    int len = int(own.len), d = given.d, warp = threadIdx.x / 32, g = threadIdx.x % 32 / 4, t = threadIdx.x % 4;
    Tile<T, D> keys{reinterpret_cast<T *>(shared_bytes)}, values{keys.row(ROWS)}, queries{values.row(ROWS)}, dys{queries.row(OTHER<T>)};
    fetch(keys, head_of(given.k, given.in_stride, own.first, d), own.row, ROWS, len, d);
    fetch(values, head_of(given.v, given.in_stride, own.first, d), own.row, ROWS, len, d);
    Rows<const T> all_queries = head_of(given.q, given.in_stride, own.first, d);
    Rows<const T> all_dys = head_of(given.dy, given.dy_stride, own.first, d);
    const float *logsums = given.logsum + size_t(blockIdx.y) * given.tokens + own.first;
    const float *deltas = given.delta + size_t(blockIdx.y) * given.tokens + own.first;
    int row = int(own.row) + 16 * warp + g;

    Sums dk_sums[D / 8] = {}, dv_sums[D / 8] = {};
    for (int first = 0; first < len; first += OTHER<T>) {
        __syncthreads();
        fetch(queries, all_queries, first, OTHER<T>, len, d);
        fetch(dys, all_dys, first, OTHER<T>, len, d);
        __syncthreads();
        // Transposed: rows are keys, columns queries.
        Sums p[N] = {}, dp[N] = {};
        multiply_rows(p, keys, 16 * warp, queries);
        multiply_rows(dp, values, 16 * warp, dys);
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
    }
    put<T, D>(head_of(dk, out_stride, own.first, d), dk_sums, int(own.row) + 16 * warp, len, d, 1.0f, 1.0f);
    put<T, D>(head_of(dv, out_stride, own.first, d), dv_sums, int(own.row) + 16 * warp, len, d, 1.0f, 1.0f);
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
