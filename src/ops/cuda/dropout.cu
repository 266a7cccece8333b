// Dropout masks as bits, the same that ops/random.rs draws: Philox 4x32 with 7 rounds, 128 elements a group of 16 counters.
#include "ops/cuda/common.cuh"

__device__ __forceinline__ void philox(uint32_t c[4], uint32_t k0, uint32_t k1) {
    for (int round = 0; round < 7; round++) {
        uint32_t high0 = __umulhi(c[0], 0xD2511F53u), low0 = c[0] * 0xD2511F53u;
        uint32_t high1 = __umulhi(c[2], 0xCD9E8D57u), low1 = c[2] * 0xCD9E8D57u;
        c[0] = high1 ^ c[1] ^ k0;
        c[1] = low1;
        c[2] = high0 ^ c[3] ^ k1;
        c[3] = low0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
}

/// Bit i of `mask` says whether element i stays; `groups` groups of 128 elements, 4 words each.
/// Half a warp a group: lane l of it draws the 16 bits of elements l, l + 16, …, l + 112. Blocks of 256 threads stride over all.
extern "C" __global__ void dropout_mask(uint32_t *mask, size_t groups, uint32_t threshold, uint32_t key0, uint32_t key1,
                                        uint32_t stream) {
    size_t warps = size_t(gridDim.x) * (blockDim.x / 32), warp = size_t(blockIdx.x) * (blockDim.x / 32) + threadIdx.x / 32;
    unsigned lane = threadIdx.x % 32;
    for (size_t pair = warp; pair * 2 < groups; pair += warps) {
        uint64_t counter = (pair * 2 + lane / 16) * 16 + lane % 16;
        uint32_t draws[4] = {uint32_t(counter), uint32_t(counter >> 32), stream, 0};
        philox(draws, key0, key1);
        uint32_t chunks[8];
        for (int h = 0; h < 8; h++) {
            uint32_t draw = h < 4 ? draws[h] & 0xFFFFu : draws[h - 4] >> 16;
            chunks[h] = __ballot_sync(ALL, draw >= threshold);
        }
        // Lanes 0 to 3 write the first group's words, 16 to 19 the second's.
        unsigned word = lane % 16, shift = lane / 16 * 16;
        if (word < 4 && pair * 2 + lane / 16 < groups) {
            uint32_t low = 0, high = 0;
            for (int h = 0; h < 4; h++)
                if (h == int(word)) {
                    low = chunks[2 * h] >> shift & 0xFFFFu;
                    high = chunks[2 * h + 1] >> shift & 0xFFFFu;
                }
            mask[(pair * 2 + lane / 16) * 4 + word] = low | high << 16;
        }
    }
}

/// `y = x` where the mask is set, times `scale`; else 0. Blocks of 256 threads stride over the numbers.
extern "C" __global__ void dropout_apply(const float *x, const uint32_t *mask, float *y, size_t count, float scale) {
    size_t step = size_t(gridDim.x) * blockDim.x;
    for (size_t i = size_t(blockIdx.x) * blockDim.x + threadIdx.x; i < count; i += step) y[i] = x[i] * kept(mask, i, scale);
}
