// Activations, gates, rotary positions, rounding. Blocks of 256 threads stride over the numbers.
#include "ops/cuda/common.cuh"

/// As Activation in ops/activation.rs.
enum Function { GELU, GELU_TANH, RELU, SILU, TANH };

struct Value {
    float value, slope;
};

/// 1 / (1 + e^-x), to its last digits on either side of zero, and its slope.
__device__ __forceinline__ Value logistic(float x) {
    float small = expf(-fabsf(x)), large = 1.0f / (1.0f + small);
    return {x < 0.0f ? small * large : large, small * large * large};
}

__device__ __forceinline__ Value apply(int function, float x) {
    switch (function) {
    case GELU: {
        float below = 0.5f * erfcf(-0.70710678f * x), density = 0.398942280f * expf(-0.5f * x * x);
        return {x * below, below + x * density};
    }
    case GELU_TANH: {
        const float root = 1.595769122f;
        Value s = logistic(root * (x + 0.044715f * x * x * x));
        return {x * s.value, s.value + x * s.slope * root * (1.0f + 0.134145f * x * x)};
    }
    case RELU: return {fmaxf(x, 0.0f), x > 0.0f ? 1.0f : 0.0f};
    case SILU: {
        Value s = logistic(x);
        return {x * s.value, s.value + x * s.slope};
    }
    default: {
        float t = tanhf(x);
        return {t, 1.0f - t * t};
    }
    }
}

/// Calls `f(i)` for all numbers, or `f4(i)` for four at a time where `four`.
template <class F, class F4> __device__ __forceinline__ void stride(size_t count, bool four, F f, F4 f4) {
    size_t thread = size_t(blockIdx.x) * blockDim.x + threadIdx.x, threads = size_t(gridDim.x) * blockDim.x;
    size_t quads = four ? count / 4 : 0;
    for (size_t i = thread; i < quads; i += threads) f4(4 * i);
    for (size_t i = 4 * quads + thread; i < count; i += threads) f(i);
}

template <class T> __device__ void activation_forward(const T *x, T *y, size_t count, int function) {
    stride(count, by_four(x, 4) && by_four(y, 4), [&](size_t i) { y[i] = narrow<T>(apply(function, wide(x[i])).value); },
           [&](size_t i) {
               float4 v = load4(x + i);
               store4(y + i, make_float4(apply(function, v.x).value, apply(function, v.y).value, apply(function, v.z).value,
                                         apply(function, v.w).value));
           });
}

/// `dx = dy · f'(x)`, and `y = f(x)` once more if it is wanted.
template <class T>
__device__ void activation_backward(const T *x, const float *dy, T *dx, T *y, size_t count, int function) {
    stride(count, by_four(x, 4) && by_four(dy, 4) && by_four(dx, 4) && (!y || by_four(y, 4)),
           [&](size_t i) {
               Value f = apply(function, wide(x[i]));
               dx[i] = narrow<T>(dy[i] * f.slope);
               if (y) y[i] = narrow<T>(f.value);
           },
           [&](size_t i) {
               float4 v = load4(x + i), d = load4(dy + i);
               Value a = apply(function, v.x), b = apply(function, v.y), c = apply(function, v.z), e = apply(function, v.w);
               store4(dx + i, make_float4(d.x * a.slope, d.y * b.slope, d.z * c.slope, d.w * e.slope));
               if (y) store4(y + i, make_float4(a.value, b.value, c.value, e.value));
           });
}

#define ACTIVATION(T, name)                                                                                                    \
    extern "C" __global__ void activation_forward_##name(const T *x, T *y, size_t count, int function) {                       \
        activation_forward(x, y, count, function);                                                                             \
    }                                                                                                                          \
    extern "C" __global__ void activation_backward_##name(const T *x, const float *dy, T *dx, T *y, size_t count,              \
                                                          int function) {                                                      \
        activation_backward(x, dy, dx, y, count, function);                                                                    \
    }
ACTIVATION(float, f32)
ACTIVATION(bf16, bf16)
ACTIVATION(f16, f16)

/// `y = silu(gate) · up`.
extern "C" __global__ void swiglu_forward(const float *gate, const float *up, float *y, size_t count) {
    stride(count, false, [&](size_t i) { y[i] = apply(SILU, gate[i]).value * up[i]; }, [](size_t) {});
}
extern "C" __global__ void swiglu_backward(const float *gate, const float *up, const float *dy, float *dgate, float *dup,
                                           size_t count) {
    stride(count, false,
           [&](size_t i) {
               Value f = apply(SILU, gate[i]);
               dgate[i] = dy[i] * up[i] * f.slope;
               dup[i] = dy[i] * f.value;
           },
           [](size_t) {});
}

/// Turns each pair (i, i + d/2) of every head by its token's angle; the other way round with `sign` -1. `turns`: sine and cosine,
/// [tokens, d/2].
extern "C" __global__ void rotary(const float *x, const float2 *turns, float *y, int tokens, int width, int d, float sign) {
    size_t pairs = size_t(tokens) * (width / 2);
    stride(pairs, false,
           [&](size_t i) {
               int half = d / 2, token = int(i / (width / 2)), within = int(i % (width / 2)), head = within / half, k = within % half;
               size_t low = size_t(token) * width + head * d + k, high = low + half;
               float2 turn = turns[size_t(token) * half + k];
               float sine = sign * turn.x, cosine = turn.y, a = x[low], b = x[high];
               y[low] = a * cosine - b * sine;
               y[high] = b * cosine + a * sine;
           },
           [](size_t) {});
}

/// Rounds to T; f32 is copied.
#define ROUND(T, name)                                                                                                         \
    extern "C" __global__ void round_##name(const float *x, T *y, size_t count) {                                              \
        stride(count, by_four(x, 4) && by_four(y, 4), [&](size_t i) { y[i] = narrow<T>(x[i]); },                               \
               [&](size_t i) { store4(y + i, load4(x + i)); });                                                                \
    }
ROUND(float, f32)
ROUND(bf16, bf16)
ROUND(f16, f16)
