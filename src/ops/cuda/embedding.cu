// Embeddings: the sum of a row of each table. A warp a token, 8 tokens a block.
#include "ops/cuda/common.cuh"

/// `indices` [tables, tokens]; tables that are absent are null.
extern "C" __global__ void embedding_sum(const float *a, const float *b, const float *c, const float *d, const uint32_t *indices,
                                         float *y, int tokens, int width) {
    int token = blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32;
    if (token >= tokens) return;
    const float *tables[4] = {a, b, c, d};
    const float *rows[4];
    bool four = by_four(y, width);
    for (int table = 0; table < 4; table++) {
        rows[table] = tables[table] ? tables[table] + size_t(indices[size_t(table) * tokens + token]) * width : nullptr;
        four = four && (!rows[table] || by_four(rows[table], width));
    }
    y += size_t(token) * width;
    if (four)
        for (int i = 4 * (threadIdx.x % 32); i < width; i += 128) {
            float4 sum = make_float4(0, 0, 0, 0);
            for (int table = 0; table < 4; table++)
                if (rows[table]) {
                    float4 x = load4(rows[table] + i);
                    sum = make_float4(sum.x + x.x, sum.y + x.y, sum.z + x.z, sum.w + x.w);
                }
            store4(y + i, sum);
        }
    else
        for (int i = threadIdx.x % 32; i < width; i += 32) {
            float sum = 0.0f;
            for (int table = 0; table < 4; table++)
                if (rows[table]) sum += rows[table][i];
            y[i] = sum;
        }
}
