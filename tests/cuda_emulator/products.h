// Matrix products by their definition, for cuBLAS and cuBLASLt. Matrices are column by column.
#pragma once

#include <cstddef>

namespace emulator {

// Numbers of cudaDataType_t.
enum Type { F32 = 0, F64 = 1, F16 = 2, BF16 = 14 };

size_t size_of(int type);
double read(const void *data, int type, size_t index);
void write(void *data, int type, size_t index, double value);
/// As a tensor core reads f32.
float as_tf32(float value);

struct Operand {
    const void *data;
    int type;
    size_t leading;
    bool transposed;
};

/// `sum[row + column · rows] = Σ a(row, k) b(k, column)`, in f64 unless everything is f32.
void product(size_t rows, size_t columns, size_t depth, Operand a, Operand b, bool tf32, double *sums);

}
