// The calls of cuBLASLt that the products of mtl-zoo make, on the CPU.
#include "engine.h"
#include "memory.h"
#include "products.h"

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <vector>

namespace {

constexpr int SUCCESS = 0, INVALID_VALUE = 7, NOT_SUPPORTED = 15;
constexpr int COMPUTE_32F_FAST_TF32 = 77;

enum Attribute { TRANSA = 3, TRANSB = 4, TRANSC = 5, EPILOGUE = 7, BIAS_POINTER = 8, AUX_POINTER = 11, AUX_LD = 12, BIAS_TYPE = 26 };
enum LayoutAttribute { ORDER = 1, BATCH_COUNT = 5, BATCH_STRIDE = 6 };
enum PreferenceAttribute { WORKSPACE = 1, ALIGNMENT_A = 5, ALIGNMENT_D = 8 };
// Bits of an epilogue.
enum Epilogue { RELU = 2, BIAS = 4, GELU = 32, AUX = 128, BGRADB = 512 };

struct Descriptor {
    int compute, transposed[2] = {}, epilogue = 1, bias_type = -1;
    void *bias = nullptr, *aux = nullptr;
    int64_t aux_leading = 0;
};

struct Layout {
    int type;
    uint64_t rows, columns;
    int64_t leading;
    int batches = 1;
    int64_t stride = 0;
};

struct Preference {
    uint32_t alignment[4] = {256, 256, 256, 256};
};

struct Algorithm {
    uint64_t data[8];
};

struct Heuristic {
    Algorithm algorithm;
    size_t workspace;
    int state;
    float waves;
    int reserved[4];
};

/// The tanh approximation: cuBLASLt knows no other.
double gelu(double x) { return 0.5 * x * (1 + std::tanh(0.7978845608028654 * (x + 0.044715 * x * x * x))); }

template <class T> int set(T &field, const void *value, size_t bytes) {
    if (bytes != sizeof field) return INVALID_VALUE;
    memcpy(&field, value, bytes);
    return SUCCESS;
}

int unknown(const char *what, int attribute) {
    fprintf(stderr, "CUDA emulator: no attribute %d of a %s of cuBLASLt\n", attribute, what);
    return NOT_SUPPORTED;
}

bool aligned(const void *address, uint64_t alignment) { return reinterpret_cast<uintptr_t>(address) % alignment == 0; }

}

extern "C" {

int cublasLtCreate(void **handle) { return *handle = new int, SUCCESS; }
int cublasLtDestroy(void *handle) { return delete static_cast<int *>(handle), SUCCESS; }

int cublasLtMatrixLayoutCreate(void **layout, int type, uint64_t rows, uint64_t columns, int64_t leading) {
    return *layout = new Layout{type, rows, columns, leading}, SUCCESS;
}
int cublasLtMatrixLayoutDestroy(void *layout) { return delete static_cast<Layout *>(layout), SUCCESS; }
int cublasLtMatrixLayoutSetAttribute(void *handle, int attribute, const void *value, size_t bytes) {
    auto &layout = *static_cast<Layout *>(handle);
    if (attribute == BATCH_COUNT) return set(layout.batches, value, bytes);
    if (attribute == BATCH_STRIDE) return set(layout.stride, value, bytes);
    int order = 0;
    if (attribute == ORDER && set(order, value, bytes) == SUCCESS && order == 0) return SUCCESS;
    return unknown("layout", attribute);
}

int cublasLtMatmulDescCreate(void **descriptor, int compute, int scale) {
    if (scale != emulator::F32) return NOT_SUPPORTED;
    return *descriptor = new Descriptor{compute}, SUCCESS;
}
int cublasLtMatmulDescDestroy(void *descriptor) { return delete static_cast<Descriptor *>(descriptor), SUCCESS; }
int cublasLtMatmulDescSetAttribute(void *handle, int attribute, const void *value, size_t bytes) {
    auto &descriptor = *static_cast<Descriptor *>(handle);
    int none = 0;
    switch (attribute) {
    case TRANSA: return set(descriptor.transposed[0], value, bytes);
    case TRANSB: return set(descriptor.transposed[1], value, bytes);
    case TRANSC: return set(none, value, bytes) == SUCCESS && none == 0 ? SUCCESS : NOT_SUPPORTED;
    case EPILOGUE: return set(descriptor.epilogue, value, bytes);
    case BIAS_POINTER: return set(descriptor.bias, value, bytes);
    case BIAS_TYPE: return set(descriptor.bias_type, value, bytes);
    case AUX_POINTER: return set(descriptor.aux, value, bytes);
    case AUX_LD: return set(descriptor.aux_leading, value, bytes);
    default: return unknown("product", attribute);
    }
}

int cublasLtMatmulPreferenceCreate(void **preference) { return *preference = new Preference, SUCCESS; }
int cublasLtMatmulPreferenceDestroy(void *preference) { return delete static_cast<Preference *>(preference), SUCCESS; }
int cublasLtMatmulPreferenceSetAttribute(void *handle, int attribute, const void *value, size_t bytes) {
    uint64_t workspace;
    if (attribute == WORKSPACE) return set(workspace, value, bytes);
    if (attribute >= ALIGNMENT_A && attribute <= ALIGNMENT_D)
        return set(static_cast<Preference *>(handle)->alignment[attribute - ALIGNMENT_A], value, bytes);
    return unknown("preference", attribute);
}

/// The algorithm holds what the caller promised of its pointers, to be checked when it is used.
int cublasLtMatmulAlgoGetHeuristic(void *, void *handle, void *a, void *b, void *, void *d, void *preference, int count,
                                   Heuristic *results, int *found) {
    auto &descriptor = *static_cast<Descriptor *>(handle);
    auto &result = *static_cast<Layout *>(d);
    int left = static_cast<Layout *>(a)->type, right = static_cast<Layout *>(b)->type;
    // Factors are of one type, the result is of that type or in f32, a bias of the result's type.
    bool odd = left != right || (result.type != left && result.type != emulator::F32) ||
               (descriptor.bias_type != -1 && descriptor.bias_type != result.type);
    *found = 0;
    if (count < 1 || odd) return NOT_SUPPORTED;
    *results = Heuristic{};
    for (int i = 0; i < 4; i++) results->algorithm.data[i] = static_cast<Preference *>(preference)->alignment[i];
    return *found = 1, SUCCESS;
}

int cublasLtMatmul(void *, void *handle, const void *alpha, const void *a, void *a_layout, const void *b, void *b_layout,
                   const void *beta, const void *c, void *, void *d, void *d_layout, const void *algorithm, void *, size_t, void *) {
    using namespace emulator;
    auto &descriptor = *static_cast<Descriptor *>(handle);
    auto &left = *static_cast<Layout *>(a_layout), &right = *static_cast<Layout *>(b_layout), &out = *static_cast<Layout *>(d_layout);
    int known = 1 | RELU | BIAS | GELU | AUX | BGRADB;
    if (descriptor.epilogue & ~known) {
        fprintf(stderr, "CUDA emulator: no epilogue %d of cuBLASLt\n", descriptor.epilogue);
        return NOT_SUPPORTED;
    }
    if (algorithm) {
        const uint64_t *promised = static_cast<const Algorithm *>(algorithm)->data;
        if (!aligned(a, promised[0]) || !aligned(b, promised[1]) || !aligned(c, promised[2]) || !aligned(d, promised[3]))
            fail("a product's pointers are not aligned as promised");
    }
    count("product of cuBLASLt");
    size_t rows = out.rows, columns = out.columns, depth = descriptor.transposed[0] ? left.rows : left.columns;
    size_t left_rows = descriptor.transposed[0] ? left.columns : left.rows;
    size_t right_columns = descriptor.transposed[1] ? right.rows : right.columns;
    size_t right_depth = descriptor.transposed[1] ? right.columns : right.rows;
    if (left_rows != rows || right_columns != columns || right_depth != depth || left.batches != out.batches || !rows || !columns || !depth) {
        fprintf(stderr, "CUDA emulator: a product of %zu by %zu and %zu by %zu to %zu by %zu\n", left_rows, depth, right_depth,
                right_columns, rows, columns);
        return INVALID_VALUE;
    }
    float scale = *static_cast<const float *>(alpha), keep = *static_cast<const float *>(beta);
    std::vector<double> sums(rows * columns);
    bool tf32 = descriptor.compute == COMPUTE_32F_FAST_TF32;
    int epilogue = descriptor.epilogue;
    for (int batch = 0; batch < out.batches; batch++) {
        auto at = [batch](const void *data, const Layout &layout) {
            return static_cast<const char *>(data) + batch * layout.stride * int64_t(size_of(layout.type));
        };
        product(rows, columns, depth, {at(a, left), left.type, size_t(left.leading), descriptor.transposed[0] != 0},
                {at(b, right), right.type, size_t(right.leading), descriptor.transposed[1] != 0}, tf32, sums.data());
        auto *result = const_cast<char *>(at(d, out));
        auto *before = at(c, out);
        check(result, ((columns - 1) * out.leading + rows) * size_of(out.type), "a product's result");
        for (size_t column = 0; column < columns; column++)
            for (size_t row = 0; row < rows; row++) {
                size_t place = row + column * out.leading;
                double value = scale * sums[row + column * rows];
                if (keep != 0) value += keep * read(before, out.type, place);
                if (epilogue & BIAS) value += read(descriptor.bias, out.type, row);
                if (epilogue & AUX) write(descriptor.aux, out.type, row + column * descriptor.aux_leading, value);
                if (epilogue & RELU) value = value > 0 ? value : 0;
                if (epilogue & GELU) value = gelu(value);
                write(result, out.type, place, value);
            }
        if (epilogue & BGRADB)
            for (size_t column = 0; column < columns; column++) {
                double sum = 0;
                for (size_t k = 0; k < depth; k++)
                    sum += read(at(b, right), right.type, descriptor.transposed[1] ? column + k * right.leading : k + column * right.leading);
                write(descriptor.bias, out.type, column, sum);
            }
    }
    return SUCCESS;
}

}
