// Layer and root mean square normalization. A warp a row, 8 rows a block of 256 threads; each lane reads again only what it has
// written itself, so that a row goes through memory once and comes back from the cache.
#include "ops/cuda/common.cuh"

struct Moments {
    float mean, scale;
};

/// Calls `f(column)` or `f4(column)` for the columns of this lane, four at a time where `four`.
template <class F, class F4> __device__ __forceinline__ void columns(int width, bool four, F f, F4 f4) {
    int lane = threadIdx.x % 32;
    if (four)
        for (int column = 4 * lane; column < width; column += 128) f4(column);
    else
        for (int column = lane; column < width; column += 32) f(column);
}

__device__ __forceinline__ float total(float4 x) { return (x.x + x.y) + (x.z + x.w); }

/// Mean and reciprocal deviation of a row; without `centred` about zero.
template <class T> __device__ __forceinline__ Moments moments(const T *x, int width, bool four, float epsilon, bool centred) {
    float sum = 0.0f, squares = 0.0f, mean = 0.0f;
    if (centred) {
        columns(width, four, [&](int i) { sum += wide(x[i]); }, [&](int i) { sum += total(load4(x + i)); });
        mean = warp_sum(sum) / float(width);
    }
    columns(width, four,
            [&](int i) {
                float c = wide(x[i]) - mean;
                squares += c * c;
            },
            [&](int i) {
                float4 c = load4(x + i);
                c = make_float4(c.x - mean, c.y - mean, c.z - mean, c.w - mean);
                squares += total(make_float4(c.x * c.x, c.y * c.y, c.z * c.z, c.w * c.w));
            });
    return {mean, 1.0f / sqrtf(warp_sum(squares) / float(width) + epsilon)};
}

/// `y = (x - mean) · scale · weight + bias` of a row, also to `copy` if there is one.
template <class T>
__device__ __forceinline__ void write_normal(const float *x, Moments m, const float *weight, const float *bias, float *y, T *copy,
                                             int width, bool four) {
    columns(width, four,
            [&](int i) {
                float value = (x[i] - m.mean) * m.scale * weight[i] + (bias ? bias[i] : 0.0f);
                y[i] = value;
                if (copy) copy[i] = narrow<T>(value);
            },
            [&](int i) {
                float4 v = load4(x + i), w = load4(weight + i), b = bias ? load4(bias + i) : make_float4(0, 0, 0, 0);
                v = make_float4((v.x - m.mean) * m.scale * w.x + b.x, (v.y - m.mean) * m.scale * w.y + b.y,
                                (v.z - m.mean) * m.scale * w.z + b.z, (v.w - m.mean) * m.scale * w.w + b.w);
                store4(y + i, v);
                if (copy) store4(copy + i, v);
            });
}

__device__ __forceinline__ int row_of_warp() { return blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32; }

/// `y` = normalized `x`, rows of `width`; without `bias` a root mean square norm.
extern "C" __global__ void norm_forward(const float *x, const float *weight, const float *bias, float *y, int rows, int width,
                                        float epsilon) {
    int row = row_of_warp();
    if (row >= rows) return;
    x += size_t(row) * width, y += size_t(row) * width;
    bool four = by_four(x, width) && by_four(y, width) && by_four(weight, width) && (!bias || by_four(bias, width));
    Moments m = moments(x, width, four, epsilon, bias != nullptr);
    write_normal<float>(x, m, weight, bias, y, nullptr, width, four);
}

/// The end of half a layer: sum = residual + dropout(product + bias), rounded to `kept` if that is wanted; `y` = normalized sum, also
/// rounded to `copy`.
template <class T>
__device__ void close_forward(const float *product, const float *product_bias, const uint32_t *mask, float mask_scale,
                              const float *residual, T *kept_sum, const float *weight, const float *bias, float *y, T *copy, int rows,
                              int width, float epsilon) {
    int row = row_of_warp();
    if (row >= rows) return;
    size_t first = size_t(row) * width;
    bool four = by_four(product + first, width) && by_four(residual + first, width) && by_four(y + first, width) &&
                by_four(product_bias, width) && by_four(weight, width) && by_four(bias, width) &&
                (!kept_sum || by_four(kept_sum + first, width)) && (!copy || by_four(copy + first, width));
    columns(width, four,
            [&](int i) {
                float x = residual[first + i] + (product[first + i] + product_bias[i]) * kept(mask, first + i, mask_scale);
                y[first + i] = x;
                if (kept_sum) kept_sum[first + i] = narrow<T>(x);
            },
            [&](int i) {
                float4 p = load4(product + first + i), b = load4(product_bias + i), r = load4(residual + first + i);
                float4 x = make_float4(r.x + (p.x + b.x) * kept(mask, first + i, mask_scale),
                                       r.y + (p.y + b.y) * kept(mask, first + i + 1, mask_scale),
                                       r.z + (p.z + b.z) * kept(mask, first + i + 2, mask_scale),
                                       r.w + (p.w + b.w) * kept(mask, first + i + 3, mask_scale));
                store4(y + first + i, x);
                if (kept_sum) store4(kept_sum + first + i, x);
            });
    Moments m = moments(y + first, width, four, epsilon, true);
    write_normal<T>(y + first, m, weight, bias, y + first, copy ? copy + first : nullptr, width, four);
}

#define CLOSE(T, name)                                                                                                         \
    extern "C" __global__ void close_forward_##name(const float *product, const float *product_bias, const uint32_t *mask,     \
                                                    float mask_scale, const float *residual, T *kept_sum, const float *weight, \
                                                    const float *bias, float *y, T *copy, int rows, int width, float epsilon) { \
        close_forward<T>(product, product_bias, mask, mask_scale, residual, kept_sum, weight, bias, y, copy, rows, width,       \
                         epsilon);                                                                                             \
    }
CLOSE(float, f32)
CLOSE(bf16, bf16)
CLOSE(f16, f16)

/// The gradient `dx` of rows `x` from that of the normalized rows; their moments to `stats` [rows, 2]. Where they are wanted,
/// also `masked`, the gradient before the dropout, and `normal`, the rows normalized once more.
template <class T>
__device__ void norm_backward(const T *x, const float *dy, const float *weight, const float *bias, float *dx, float *stats, T *masked,
                              const uint32_t *mask, float mask_scale, T *normal, int rows, int width, float epsilon, bool centred) {
    int row = row_of_warp();
    if (row >= rows) return;
    size_t first = size_t(row) * width;
    x += first, dy += first, dx += first;
    bool four = by_four(x, width) && by_four(dy, width) && by_four(dx, width) && by_four(weight, width) &&
                (!bias || by_four(bias, width)) && (!masked || by_four(masked + first, width)) &&
                (!normal || by_four(normal + first, width));
    Moments m = moments(x, width, four, epsilon, centred);
    float sum = 0.0f, products = 0.0f;
    columns(width, four,
            [&](int i) {
                float g = dy[i] * weight[i];
                sum += g;
                products += g * ((wide(x[i]) - m.mean) * m.scale);
            },
            [&](int i) {
                float4 g = load4(dy + i), w = load4(weight + i), v = load4(x + i);
                g = make_float4(g.x * w.x, g.y * w.y, g.z * w.z, g.w * w.w);
                sum += total(g);
                products += total(make_float4(g.x * ((v.x - m.mean) * m.scale), g.y * ((v.y - m.mean) * m.scale),
                                              g.z * ((v.z - m.mean) * m.scale), g.w * ((v.w - m.mean) * m.scale)));
            });
    float mean_g = centred ? warp_sum(sum) / float(width) : 0.0f, mean_gx = warp_sum(products) / float(width);
    auto gradient = [&](float g, float v) { return m.scale * (g - mean_g - (v - m.mean) * m.scale * mean_gx); };
    columns(width, four,
            [&](int i) {
                float v = wide(x[i]), d = gradient(dy[i] * weight[i], v);
                dx[i] = d;
                if (masked) masked[first + i] = narrow<T>(d * kept(mask, first + i, mask_scale));
                if (normal) normal[first + i] = narrow<T>((v - m.mean) * m.scale * weight[i] + bias[i]);
            },
            [&](int i) {
                float4 g = load4(dy + i), w = load4(weight + i), v = load4(x + i);
                float4 d = make_float4(gradient(g.x * w.x, v.x), gradient(g.y * w.y, v.y), gradient(g.z * w.z, v.z),
                                       gradient(g.w * w.w, v.w));
                store4(dx + i, d);
                if (masked)
                    store4(masked + first + i,
                           make_float4(d.x * kept(mask, first + i, mask_scale), d.y * kept(mask, first + i + 1, mask_scale),
                                       d.z * kept(mask, first + i + 2, mask_scale), d.w * kept(mask, first + i + 3, mask_scale)));
                if (normal) {
                    float4 b = load4(bias + i);
                    store4(normal + first + i,
                           make_float4((v.x - m.mean) * m.scale * w.x + b.x, (v.y - m.mean) * m.scale * w.y + b.y,
                                       (v.z - m.mean) * m.scale * w.z + b.z, (v.w - m.mean) * m.scale * w.w + b.w));
                }
            });
    if (threadIdx.x % 32 == 0) {
        stats[2 * row] = m.mean;
        stats[2 * row + 1] = m.scale;
    }
}

#define BACKWARD(T, name)                                                                                                      \
    extern "C" __global__ void norm_backward_##name(const T *x, const float *dy, const float *weight, const float *bias,       \
                                                    float *dx, float *stats, T *masked, const uint32_t *mask,                  \
                                                    float mask_scale, T *normal, int rows, int width, float epsilon,           \
                                                    int centred) {                                                             \
        norm_backward<T>(x, dy, weight, bias, dx, stats, masked, mask, mask_scale, normal, rows, width, epsilon, centred);     \
    }
BACKWARD(float, f32)
BACKWARD(bf16, bf16)
BACKWARD(f16, f16)
