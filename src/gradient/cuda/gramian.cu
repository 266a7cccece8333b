// Inner products of gradient rows, each number read from memory once. All sums run in a fixed order, whatever the card:
// the number of blocks is fixed, a block takes every BLOCKS-th chunk, and the blocks' sums are added in order.

#include <cuda_bf16.h>

#define THREADS 256
#define WARPS (THREADS / 32)
// Rows whose products are summed in registers at the same time.
#define TILE 4
// Numbers of shared memory for a chunk of all rows.
#define ROOM 10240

__device__ __forceinline__ float number(const void *row, int bf16, unsigned long long at) {
    return bf16 ? __bfloat162float(((const __nv_bfloat16 *)row)[at]) : ((const float *)row)[at];
}

__device__ __forceinline__ float warp_sum(float x) {
    for (int step = 16; step > 0; step /= 2)
        x += __shfl_xor_sync(0xffffffffu, x, step);
    return x;
}

// partial[block][i][j], j <= i, of count rows over the numbers first .. first + len. The rest of partial is not written.
extern "C" __global__ void __launch_bounds__(THREADS)
    gramian(double *partial, const void *const *rows, const int *in_bf16, int count, unsigned long long first,
            unsigned long long len) {
    __shared__ float chunk[ROOM];
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    const int tiles = (count + TILE - 1) / TILE, pairs = tiles * (tiles + 1) / 2;
    const int held = ROOM / count;
    double *own = partial + (size_t)blockIdx.x * count * count;
    for (int i = threadIdx.x; i < count * count; i += THREADS)
        own[i] = 0.0;
    for (unsigned long long start = (unsigned long long)blockIdx.x * held; start < len;
         start += (unsigned long long)gridDim.x * held) {
        const int now = (int)(len - start < (unsigned long long)held ? len - start : held);
        __syncthreads();
        for (int row = 0; row < count; ++row)
            for (int at = threadIdx.x; at < now; at += THREADS)
                chunk[row * held + at] = number(rows[row], in_bf16[row], first + start + at);
        __syncthreads();
        for (int pair = warp; pair < pairs; pair += WARPS) {
            int upper = 0;
            while ((upper + 1) * (upper + 2) / 2 <= pair)
                ++upper;
            const int i = upper * TILE, j = (pair - upper * (upper + 1) / 2) * TILE;
            float sums[TILE][TILE] = {};
            const float *left[TILE], *right[TILE];
            // Beyond the last row a tile repeats it; what comes of that is not stored.
            for (int k = 0; k < TILE; ++k) {
                left[k] = chunk + (i + k < count ? i + k : count - 1) * held;
                right[k] = chunk + (j + k < count ? j + k : count - 1) * held;
            }
            for (int at = lane; at < now; at += 32) {
                float b[TILE];
#pragma unroll
                for (int k = 0; k < TILE; ++k)
                    b[k] = right[k][at];
#pragma unroll
                for (int p = 0; p < TILE; ++p) {
                    const float a = left[p][at];
#pragma unroll
                    for (int q = 0; q < TILE; ++q)
                        sums[p][q] += a * b[q];
                }
            }
#pragma unroll
            for (int p = 0; p < TILE; ++p)
#pragma unroll
                for (int q = 0; q < TILE; ++q) {
                    const float sum = warp_sum(sums[p][q]);
                    // A pair of tiles is always one warp's.
                    if (lane == 0 && i + p < count && j + q <= i + p)
                        own[(i + p) * count + j + q] += sum;
                }
        }
    }
}

// partial[block] = sum of squares of every BLOCKS-th chunk of one row.
extern "C" __global__ void __launch_bounds__(THREADS)
    squares(double *partial, const void *const *rows, const int *in_bf16, int, unsigned long long first,
            unsigned long long len) {
    __shared__ double sums[WARPS];
    const void *row = rows[0];
    const int bf16 = in_bf16[0];
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    double total = 0.0;
    for (unsigned long long start = (unsigned long long)blockIdx.x * ROOM; start < len;
         start += (unsigned long long)gridDim.x * ROOM) {
        const int now = (int)(len - start < ROOM ? len - start : ROOM);
        float sum = 0.0f;
        for (int at = threadIdx.x; at < now; at += THREADS) {
            const float x = number(row, bf16, first + start + at);
            sum += x * x;
        }
        total += warp_sum(sum);
    }
    if (lane == 0)
        sums[warp] = total;
    __syncthreads();
    if (threadIdx.x == 0) {
        total = 0.0;
        for (int i = 0; i < WARPS; ++i)
            total += sums[i];
        partial[blockIdx.x] = total;
    }
}

// out[i] = sum over blocks of partial[block][i], in order. One warp a number.
extern "C" __global__ void add_blocks(double *out, const double *partial, int blocks, int numbers) {
    const int lane = threadIdx.x;
    double sum = 0.0;
    for (int block = lane; block < blocks; block += 32)
        sum += partial[(size_t)block * numbers + blockIdx.x];
    for (int step = 16; step > 0; step /= 2)
        sum += __shfl_xor_sync(0xffffffffu, sum, step);
    if (lane == 0)
        out[blockIdx.x] = sum;
}
