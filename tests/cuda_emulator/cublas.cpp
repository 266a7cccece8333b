// The calls of cuBLAS that candle makes, on the CPU.
#include "engine.h"
#include "memory.h"
#include "products.h"

#include <vector>

namespace {

constexpr int SUCCESS = 0, COMPUTE_64F = 70, COMPUTE_32F_FAST_TF32 = 77;

int batched(int ta, int tb, size_t m, size_t n, size_t k, double alpha, const void *a, int a_type, size_t lda, long long stride_a,
            const void *b, int b_type, size_t ldb, long long stride_b, double beta, void *c, int c_type, size_t ldc,
            long long stride_c, int batches, bool tf32) {
    using namespace emulator;
    std::vector<double> sums(m * n);
    for (int batch = 0; batch < batches && m && n; batch++) {
        auto at = [batch](const void *data, int type, long long stride) {
            return static_cast<const char *>(data) + batch * stride * static_cast<long long>(size_of(type));
        };
        product(m, n, k, {at(a, a_type, stride_a), a_type, lda, ta != 0}, {at(b, b_type, stride_b), b_type, ldb, tb != 0},
                tf32, sums.data());
        void *out = const_cast<char *>(at(c, c_type, stride_c));
        check(out, ((n - 1) * ldc + m) * size_of(c_type), "a product's result");
        for (size_t column = 0; column < n; column++)
            for (size_t row = 0; row < m; row++) {
                size_t place = row + column * ldc;
                double old = beta != 0 ? beta * read(out, c_type, place) : 0;
                write(out, c_type, place, alpha * sums[row + column * m] + old);
            }
    }
    return SUCCESS;
}

}

extern "C" {

int cublasCreate_v2(void **handle) { return *handle = new int, SUCCESS; }
int cublasDestroy_v2(void *handle) { return delete static_cast<int *>(handle), SUCCESS; }
int cublasSetStream_v2(void *, void *) { return SUCCESS; }
int cublasSetPointerMode_v2(void *, int mode) { return mode == 0 ? SUCCESS : 15; }
int cublasSetMathMode(void *, int) { return SUCCESS; }

int cublasGemmStridedBatchedEx(void *, int ta, int tb, int m, int n, int k, const void *alpha, const void *a, int a_type, int lda,
                               long long stride_a, const void *b, int b_type, int ldb, long long stride_b, const void *beta,
                               void *c, int c_type, int ldc, long long stride_c, int batches, int compute, int) {
    int scale = compute == COMPUTE_64F ? emulator::F64 : emulator::F32;
    return batched(ta, tb, m, n, k, emulator::read(alpha, scale, 0), a, a_type, lda, stride_a, b, b_type, ldb, stride_b,
                   emulator::read(beta, scale, 0), c, c_type, ldc, stride_c, batches, compute == COMPUTE_32F_FAST_TF32);
}
int cublasDgemmStridedBatched(void *, int ta, int tb, int m, int n, int k, const double *alpha, const double *a, int lda,
                              long long stride_a, const double *b, int ldb, long long stride_b, const double *beta, double *c,
                              int ldc, long long stride_c, int batches) {
    using emulator::F64;
    return batched(ta, tb, m, n, k, *alpha, a, F64, lda, stride_a, b, F64, ldb, stride_b, *beta, c, F64, ldc, stride_c, batches,
                   false);
}

}
