// Attention with an online softmax (Dao 2023, "FlashAttention-2"): context and the logarithm of each row's sum.
#include "ops/cuda/attention.cuh"

/// Keys of a tile.
template <class T> constexpr int KEYS = sizeof(T) == 2 ? 64 : 32;

/// Shared memory: a tile of 64 queries, one of KEYS keys and one of their values. Grid: work × heads.
template <class T, int D>
__device__ void forward(const Work *work, const T *q, const T *k, const T *v, int in_stride, T *context, int out_stride,
                        float *logsum, int tokens, int d, float scale, const uint32_t *mask, float mask_scale) {
    constexpr int N = KEYS<T> / 8;
    Work own = work[blockIdx.x];
    int len = int(own.len), warp = threadIdx.x / 32, g = threadIdx.x % 32 / 4, t = threadIdx.x % 4;
    Tile<T, D> queries{reinterpret_cast<T *>(shared_bytes)}, keys{queries.row(ROWS)}, values{keys.row(KEYS<T>)};
    fetch(queries, head_of(q, in_stride, own.first, d), own.row, ROWS, len, d);
    Rows<const T> all_keys = head_of(k, in_stride, own.first, d), all_values = head_of(v, in_stride, own.first, d);

    Sums out[D / 8] = {};
    float largest[2] = {-INFINITY, -INFINITY}, sum[2] = {0.0f, 0.0f};
    int row = int(own.row) + 16 * warp + g;
    for (int first = 0; first < len; first += KEYS<T>) {
        __syncthreads(); // everyone is done with the last tile
        fetch(keys, all_keys, first, KEYS<T>, len, d);
        fetch(values, all_values, first, KEYS<T>, len, d);
        __syncthreads();
        Sums p[N] = {};
        multiply_rows(p, queries, 16 * warp, keys);
#pragma unroll
        for (int half = 0; half < 2; half++) {
            float tile_largest = -INFINITY;
            bool nan = false;
#pragma unroll
            for (int j = 0; j < N; j++)
#pragma unroll
                for (int c = 0; c < 2; c++) {
                    float &score = p[j].at[2 * half + c];
                    score = first + 8 * j + 2 * t + c < len ? score * scale : -INFINITY;
                    nan |= score != score;
                    tile_largest = fmaxf(tile_largest, score);
                }
            // A maximum forgets NaN, which must come through.
            float now = fmaxf(largest[half], row_max(nan ? INFINITY : tile_largest));
            // The scale of what was summed so far; before the first tile there is nothing.
            float rescale = __expf(largest[half] - now);
            largest[half] = now;
            float tile_sum = 0.0f;
            uint32_t bits[(KEYS<T> + 31) / 32];
            int beyond = row + 8 * half < len ? len - first : 0;
            if (mask != nullptr) {
                uint64_t at = own.probability + (uint64_t(blockIdx.y) * len + row + 8 * half) * len + first;
#pragma unroll
                for (int w = 0; w < KEYS<T> / 32; w++) bits[w] = mask_bits(mask, at + 32 * w, beyond - 32 * w);
            }
#pragma unroll
            for (int j = 0; j < N; j++)
#pragma unroll
                for (int c = 0; c < 2; c++) {
                    float &x = p[j].at[2 * half + c];
                    x = __expf(x - now);
                    tile_sum += x;
                    if (mask != nullptr && !(bits[j / 4] >> (8 * (j % 4) + 2 * t + c) & 1)) x = 0.0f;
                }
            sum[half] = sum[half] * rescale + row_sum(tile_sum);
#pragma unroll
            for (int j = 0; j < D / 8; j++) {
                out[j].at[2 * half] *= rescale;
                out[j].at[2 * half + 1] *= rescale;
            }
        }
        multiply_columns(out, p, values);
    }
    float factor = mask == nullptr ? 1.0f : mask_scale;
    put<T, D>(head_of(context, out_stride, own.first, d), out, int(own.row) + 16 * warp, len, d, factor / sum[0], factor / sum[1]);
    for (int half = 0; half < 2; half++)
        if (t == 0 && row + 8 * half < len)
            logsum[size_t(blockIdx.y) * tokens + own.first + row + 8 * half] = largest[half] + __logf(sum[half]);
}

#define FORWARD(T, name, D)                                                                                                    \
    extern "C" __global__ void __launch_bounds__(THREADS)                                                                      \
        attention_forward_##name##_##D(const Work *work, const T *q, const T *k, const T *v, int in_stride, T *context,        \
                                       int out_stride, float *logsum, int tokens, int d, float scale, const uint32_t *mask,    \
                                       float mask_scale) {                                                                     \
        forward<T, D>(work, q, k, v, in_stride, context, out_stride, logsum, tokens, d, scale, mask, mask_scale);              \
    }

FORWARD(float, f32, 32)
FORWARD(float, f32, 64)
FORWARD(float, f32, 96)
FORWARD(float, f32, 128)
FORWARD(bf16, bf16, 32)
FORWARD(bf16, bf16, 64)
FORWARD(bf16, bf16, 96)
FORWARD(bf16, bf16, 128)
FORWARD(f16, f16, 32)
FORWARD(f16, f16, 64)
FORWARD(f16, f16, 96)
FORWARD(f16, f16, 128)
