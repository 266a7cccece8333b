// Losses of logits, in f64 as on the CPU: heads are small.
#include "ops/cuda/common.cuh"

constexpr uint32_t IGNORE = 0xFFFFFFFFu;
constexpr int BLOCK = 256;

__device__ __forceinline__ double warp_sum(double x) {
    for (int lanes = 16; lanes > 0; lanes /= 2) x += __shfl_xor_sync(ALL, x, lanes);
    return x;
}

/// The sum over a block of BLOCK threads, in thread 0.
__device__ double block_sum(double x) {
    __shared__ double sums[BLOCK / 32];
    x = warp_sum(x);
    if (threadIdx.x % 32 == 0) sums[threadIdx.x / 32] = x;
    __syncthreads();
    double all = 0.0;
    for (int warp = 0; warp < BLOCK / 32; warp++) all += sums[warp];
    return all;
}

/// Largest logit of a row and ln Σ exp(logit - largest), in every lane.
__device__ void row_normalizer(const float *logits, int classes, double &largest, double &rest) {
    float top = -INFINITY;
    bool nan = false;
    for (int i = threadIdx.x % 32; i < classes; i += 32) {
        top = fmaxf(top, logits[i]);
        nan |= logits[i] != logits[i];
    }
    for (int lanes = 16; lanes > 0; lanes /= 2) top = fmaxf(top, __shfl_xor_sync(ALL, top, lanes));
    if (__any_sync(ALL, nan)) top = NAN;
    largest = top;
    double sum = 0.0;
    for (int i = threadIdx.x % 32; i < classes; i += 32) sum += exp(double(logits[i]) - largest);
    rest = log(warp_sum(sum));
}

/// losses[row]; a warp a row, 8 rows a block. `weights`: one a class, or null.
extern "C" __global__ void cross_entropy_rows(const float *logits, const uint32_t *targets, const float *weights, double *losses,
                                              int rows, int classes, double smoothing) {
    int row = blockIdx.x * (BLOCK / 32) + threadIdx.x / 32;
    if (row >= rows) return;
    uint32_t target = targets[row];
    double loss = 0.0;
    if (target != IGNORE) {
        logits += size_t(row) * classes;
        double largest, rest;
        row_normalizer(logits, classes, largest, rest);
        loss = (1.0 - smoothing) * (weights ? weights[target] : 1.0f) * ((largest - double(logits[target])) + rest);
        if (smoothing > 0.0) {
            double spread = 0.0;
            for (int i = threadIdx.x % 32; i < classes; i += 32)
                spread += (weights ? weights[i] : 1.0f) * ((largest - double(logits[i])) + rest);
            loss += smoothing / classes * warp_sum(spread);
        }
    }
    if (threadIdx.x % 32 == 0) losses[row] = loss;
}

/// out = factor · Σ numbers; one block.
extern "C" __global__ void scaled_sum(const double *numbers, size_t count, double factor, float *out) {
    double sum = 0.0;
    for (size_t i = threadIdx.x; i < count; i += BLOCK) sum += numbers[i];
    sum = block_sum(sum);
    if (threadIdx.x == 0) out[0] = float(factor * sum);
}

/// The gradient of the logits times `dloss`; a warp a row, 8 rows a block. `total`: the sum of all class weights.
extern "C" __global__ void cross_entropy_backward(const float *logits, const uint32_t *targets, const float *weights,
                                                  const float *dloss, float *dlogits, int rows, int classes, double smoothing,
                                                  double factor, double total) {
    int row = blockIdx.x * (BLOCK / 32) + threadIdx.x / 32;
    if (row >= rows) return;
    uint32_t target = targets[row];
    logits += size_t(row) * classes, dlogits += size_t(row) * classes;
    if (target == IGNORE) {
        for (int i = threadIdx.x % 32; i < classes; i += 32) dlogits[i] = 0.0f;
        return;
    }
    double largest, rest, scale = factor * double(dloss[0]);
    row_normalizer(logits, classes, largest, rest);
    double own = (1.0 - smoothing) * (weights ? weights[target] : 1.0f), spread = smoothing / classes;
    for (int i = threadIdx.x % 32; i < classes; i += 32) {
        double probability = exp(-((largest - double(logits[i])) + rest));
        double d = (own + spread * total) * probability - spread * (weights ? weights[i] : 1.0f);
        if (uint32_t(i) == target) d -= own;
        dlogits[i] = float(scale * d);
    }
}

/// As the losses in ops/losses.rs.
enum Pointwise { SQUARE, BINARY };

__device__ double pointwise_value(int loss, double x, double z) {
    if (loss == SQUARE) return (x - z) * (x - z);
    return fmax(x, 0.0) - x * z + log1p(exp(-fabs(x))) + (x != x ? x : 0.0);
}

/// out = factor · Σ weight · loss(x, target); one block. `weights` repeat, `labels` of them.
extern "C" __global__ void pointwise_forward(const float *x, const float *targets, const float *weights, int labels, size_t count,
                                             double factor, int loss, float *out) {
    double sum = 0.0;
    for (size_t i = threadIdx.x; i < count; i += BLOCK) sum += double(weights[i % labels]) * pointwise_value(loss, x[i], targets[i]);
    sum = block_sum(sum);
    if (threadIdx.x == 0) out[0] = float(factor * sum);
}

extern "C" __global__ void pointwise_backward(const float *x, const float *targets, const float *weights, int labels, size_t count,
                                              double factor, int loss, const float *dloss, float *dx) {
    double scale = factor * double(dloss[0]);
    for (size_t i = size_t(blockIdx.x) * blockDim.x + threadIdx.x; i < count; i += size_t(gridDim.x) * blockDim.x) {
        double v = x[i], z = targets[i];
        double slope = loss == SQUARE ? 2.0 * (v - z) : 1.0 / (1.0 + exp(-v)) - z;
        dx[i] = float(scale * double(weights[i % labels]) * slope);
    }
}
