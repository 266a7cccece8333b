// Sums over rows, for the gradients of biases and norms: first within chunks of rows that belong to one gradient row, then over
// its chunks in order. So the same bytes come out in every run, and a sum for many tasks costs as much as for one.
#include "ops/cuda/common.cuh"

/// partial[chunk] = column sums of `dy` over rows chunks[chunk] to chunks[chunk + 1]. Grid (columns / 128, chunks), 128 threads.
template <class T>
__device__ void column_sums(const T *dy, int stride, const uint32_t *chunks, float *partial, int width) {
    int column = blockIdx.x * blockDim.x + threadIdx.x;
    if (column >= width) return;
    float sum = 0.0f;
    for (uint32_t row = chunks[2 * blockIdx.y]; row < chunks[2 * blockIdx.y + 1]; row++)
        sum += wide(dy[size_t(row) * stride + column]);
    partial[size_t(blockIdx.y) * width + column] = sum;
}

/// partial[chunk] = sums of dy∘normalized x, then of dy, over the chunk's rows. `stats` as norm_backward leaves them.
template <class T>
__device__ void norm_sums(const T *x, const float *stats, const float *dy, const uint32_t *chunks, float *partial, int width) {
    int column = blockIdx.x * blockDim.x + threadIdx.x;
    if (column >= width) return;
    float weight = 0.0f, bias = 0.0f;
    for (uint32_t row = chunks[2 * blockIdx.y]; row < chunks[2 * blockIdx.y + 1]; row++) {
        size_t at = size_t(row) * width + column;
        float normal = (wide(x[at]) - stats[2 * row]) * stats[2 * row + 1], d = dy[at];
        weight += d * normal;
        bias += d;
    }
    partial[size_t(blockIdx.y) * 2 * width + column] = weight;
    partial[(size_t(blockIdx.y) * 2 + 1) * width + column] = bias;
}

#define SUMS(T, name)                                                                                                          \
    extern "C" __global__ void column_sums_##name(const T *dy, int stride, const uint32_t *chunks, float *partial, int width) { \
        column_sums(dy, stride, chunks, partial, width);                                                                       \
    }                                                                                                                          \
    extern "C" __global__ void norm_sums_##name(const T *x, const float *stats, const float *dy, const uint32_t *chunks,       \
                                                float *partial, int width) {                                                   \
        norm_sums(x, stats, dy, chunks, partial, width);                                                                       \
    }
SUMS(float, f32)
SUMS(bf16, bf16)
SUMS(f16, f16)

/// `out` = (`keep` ? out : 0) + the sum of `count` rows of `partial`, which are `stride` apart. Grid columns / 128, 128 threads.
template <class T> __device__ void add_partial(const float *partial, int stride, int count, T *out, int width, int keep) {
    int column = blockIdx.x * blockDim.x + threadIdx.x;
    if (column >= width) return;
    float sum = keep ? wide(out[column]) : 0.0f;
    for (int row = 0; row < count; row++) sum += partial[size_t(row) * stride + column];
    out[column] = narrow<T>(sum);
}

extern "C" __global__ void add_partial_f32(const float *partial, int stride, int count, float *out, int width, int keep) {
    add_partial(partial, stride, count, out, width, keep);
}
extern "C" __global__ void add_partial_bf16(const float *partial, int stride, int count, bf16 *out, int width, int keep) {
    add_partial(partial, stride, count, out, width, keep);
}
