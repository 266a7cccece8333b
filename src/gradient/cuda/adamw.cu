// AdamW over the arena: the weighted sum of the gradient rows, clip, moments, decay and update in one pass.

#include <cuda_bf16.h>

// A piece of one parameter, as in optimizer.rs.
struct Piece {
    // First number in the arena.
    unsigned long long first;
    unsigned len;
    // Which of the groups' numbers count.
    unsigned group;
};

// What one parameter's step has of its own.
struct Group {
    float decay;
    float step;
    // Part of the shared parameters, which the rows' weights are given by.
    int part;
    int unused;
};

struct Numbers {
    float b1, b2, correction2, epsilon, scale;
};

__device__ __forceinline__ void update(float *p, float *m, float *v, float g, const Group &group, const Numbers &n) {
    g *= n.scale;
    *m += (1.0f - n.b1) * (g - *m);
    *v = n.b2 * *v + (1.0f - n.b2) * g * g;
    *p = *p * group.decay - group.step * *m / (sqrtf(*v) / n.correction2 + n.epsilon);
}

// Pieces of shared parameters: the gradient is the sum of the rows, each times weights[part][row].
extern "C" __global__ void adamw_shared(float *p, float *m, float *v, const Piece *pieces, const Group *groups,
                                        const void *const *rows, const int *in_bf16, const float *weights, int count,
                                        Numbers n) {
    const Piece piece = pieces[blockIdx.x];
    const Group group = groups[piece.group];
    const float *own = weights + (size_t)group.part * count;
    for (unsigned at = threadIdx.x; at < piece.len; at += blockDim.x) {
        const unsigned long long i = piece.first + at;
        float g = 0.0f;
        for (int row = 0; row < count; ++row) {
            const float x = in_bf16[row] ? __bfloat162float(((const __nv_bfloat16 *)rows[row])[i])
                                         : ((const float *)rows[row])[i];
            g += own[row] * x;
        }
        update(p + i, m + i, v + i, g, group, n);
    }
}

// Pieces of heads' parameters: there is one gradient, from the arena's number heads_start on.
extern "C" __global__ void adamw_heads(float *p, float *m, float *v, const Piece *pieces, const Group *groups,
                                       const float *gradient, unsigned long long heads_start, Numbers n) {
    const Piece piece = pieces[blockIdx.x];
    const Group group = groups[piece.group];
    for (unsigned at = threadIdx.x; at < piece.len; at += blockDim.x) {
        const unsigned long long i = piece.first + at;
        update(p + i, m + i, v + i, gradient[i - heads_start], group, n);
    }
}

// A table from the arena's number first on, one block a row. Rows without a place have a zero gradient.
extern "C" __global__ void adamw_table(float *p, float *m, float *v, unsigned long long first, int width,
                                       const int *places, const Group *groups, unsigned of, const float *const *rows,
                                       const float *weights, int count, Numbers n) {
    const int place = places[blockIdx.x];
    const Group group = groups[of];
    const float *own = weights + (size_t)group.part * count;
    for (int column = threadIdx.x; column < width; column += blockDim.x) {
        const unsigned long long i = first + (unsigned long long)blockIdx.x * width + column;
        float g = 0.0f;
        if (place >= 0)
            for (int row = 0; row < count; ++row)
                g += own[row] * rows[row][(size_t)place * width + column];
        update(p + i, m + i, v + i, g, group, n);
    }
}
