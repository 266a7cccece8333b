// Sums into gradient rows: of table rows by token, and of whole pieces.

#include <cuda_bf16.h>

// Tokens that one piece adds up; as in table_sums.rs.
#define PIECE 32

// partial[piece] = sum of dy[token] over the tokens of the piece, in order. One block a piece.
extern "C" __global__ void piece_sums(float *partial, const float *dy, const unsigned *tokens, const unsigned *starts,
                                      int width) {
    const unsigned first = starts[blockIdx.x], last = starts[blockIdx.x + 1];
    for (int column = threadIdx.x; column < width; column += blockDim.x) {
        float sum = 0.0f;
        for (unsigned at = first; at < last; ++at)
            sum += dy[(size_t)tokens[at] * width + column];
        partial[(size_t)blockIdx.x * width + column] = sum;
    }
}

// to[places[group]] += sum of the group's pieces, in order. One block a group, no two with the same place.
extern "C" __global__ void add_groups_f32(float *to, const float *partial, const unsigned *starts,
                                          const unsigned *places, int width) {
    const unsigned first = starts[blockIdx.x], last = starts[blockIdx.x + 1];
    float *own = to + (size_t)places[blockIdx.x] * width;
    for (int column = threadIdx.x; column < width; column += blockDim.x) {
        float sum = 0.0f;
        for (unsigned piece = first; piece < last; ++piece)
            sum += partial[(size_t)piece * width + column];
        own[column] += sum;
    }
}

extern "C" __global__ void add_groups_bf16(__nv_bfloat16 *to, const float *partial, const unsigned *starts,
                                           const unsigned *places, int width) {
    const unsigned first = starts[blockIdx.x], last = starts[blockIdx.x + 1];
    __nv_bfloat16 *own = to + (size_t)places[blockIdx.x] * width;
    for (int column = threadIdx.x; column < width; column += blockDim.x) {
        float sum = 0.0f;
        for (unsigned piece = first; piece < last; ++piece)
            sum += partial[(size_t)piece * width + column];
        own[column] = __float2bfloat16(__bfloat162float(own[column]) + sum);
    }
}

// to = x, or to += x if keep.
extern "C" __global__ void put_f32(float *to, const float *x, unsigned long long count, int keep) {
    const unsigned long long stride = (unsigned long long)gridDim.x * blockDim.x;
    for (unsigned long long i = (unsigned long long)blockIdx.x * blockDim.x + threadIdx.x; i < count; i += stride)
        to[i] = keep ? to[i] + x[i] : x[i];
}

extern "C" __global__ void put_bf16(__nv_bfloat16 *to, const float *x, unsigned long long count, int keep) {
    const unsigned long long stride = (unsigned long long)gridDim.x * blockDim.x;
    for (unsigned long long i = (unsigned long long)blockIdx.x * blockDim.x + threadIdx.x; i < count; i += stride)
        to[i] = __float2bfloat16(keep ? __bfloat162float(to[i]) + x[i] : x[i]);
}

extern "C" __global__ void scale(float *x, unsigned long long count, float factor) {
    const unsigned long long stride = (unsigned long long)gridDim.x * blockDim.x;
    for (unsigned long long i = (unsigned long long)blockIdx.x * blockDim.x + threadIdx.x; i < count; i += stride)
        x[i] *= factor;
}

// map[touched[place]] = place, or absent where no place is given.
extern "C" __global__ void set_places(int *map, const unsigned *touched, unsigned count, int present) {
    const unsigned place = blockIdx.x * blockDim.x + threadIdx.x;
    if (place < count)
        map[touched[place]] = present ? (int)place : -1;
}
