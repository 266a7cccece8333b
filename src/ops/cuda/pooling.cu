// Pooling. A block a sequence and 128 columns: grid (sequences, columns / 128).
#include "ops/cuda/common.cuh"

/// As PoolKind in ops/pooling.rs.
enum Kind { FIRST, MEAN, MAX };

extern "C" __global__ void pool_forward(const float *x, const uint32_t *starts, float *y, int width, int kind) {
    int column = blockIdx.y * blockDim.x + threadIdx.x;
    if (column >= width) return;
    uint32_t first = starts[blockIdx.x], end = starts[blockIdx.x + 1];
    float value = x[size_t(first) * width + column];
    for (uint32_t row = first + 1; row < end && kind != FIRST; row++) {
        float own = x[size_t(row) * width + column];
        // NaN must come through, so that it is noticed.
        if (kind == MEAN) value += own;
        else if (own > value || own != own) value = own;
    }
    if (kind == MEAN) value *= 1.0f / float(end - first);
    y[size_t(blockIdx.x) * width + column] = value;
}

/// Writes all of `dx`; of equal maxima the first gets the gradient.
extern "C" __global__ void pool_backward(const float *x, const float *y, const float *dy, const uint32_t *starts, float *dx, int width,
                                         int kind) {
    int column = blockIdx.y * blockDim.x + threadIdx.x;
    if (column >= width) return;
    uint32_t first = starts[blockIdx.x], end = starts[blockIdx.x + 1];
    size_t own = size_t(blockIdx.x) * width + column;
    float gradient = dy[own], share = kind == MEAN ? gradient * (1.0f / float(end - first)) : 0.0f;
    bool given = false;
    for (uint32_t row = first; row < end; row++) {
        size_t at = size_t(row) * width + column;
        bool winner = kind == FIRST ? row == first : kind == MAX && !given && x[at] == y[own];
        given |= winner;
        dx[at] = winner ? gradient : share;
    }
}
