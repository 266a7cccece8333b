#include "products.h"
#include "engine.h"
#include "memory.h"

#include <cstdint>
#include <cstring>
#include <vector>

namespace emulator {

size_t size_of(int type) {
    switch (type) {
    case F32: return 4;
    case F64: return 8;
    case F16:
    case BF16: return 2;
    default: fail("no products of data type %d", type);
    }
}

double read(const void *data, int type, size_t index) {
    if (type == F32) return static_cast<const float *>(data)[index];
    if (type == F64) return static_cast<const double *>(data)[index];
    if (type == F16) return static_cast<const _Float16 *>(data)[index];
    uint32_t bits = uint32_t(static_cast<const uint16_t *>(data)[index]) << 16;
    float value;
    memcpy(&value, &bits, 4);
    return value;
}

void write(void *data, int type, size_t index, double value) {
    if (type == F32) {
        static_cast<float *>(data)[index] = float(value);
    } else if (type == F64) {
        static_cast<double *>(data)[index] = value;
    } else if (type == F16) {
        static_cast<_Float16 *>(data)[index] = _Float16(float(value));
    } else {
        auto single = float(value);
        uint32_t bits;
        memcpy(&bits, &single, 4);
        uint16_t rounded = value != value ? 0x7FFF : uint16_t((bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
        static_cast<uint16_t *>(data)[index] = rounded;
    }
}

float as_tf32(float value) {
    uint32_t bits;
    memcpy(&bits, &value, 4);
    if (value == value) bits = (bits + 0x1000) & ~0x1FFFu;
    memcpy(&value, &bits, 4);
    return value;
}

namespace {

/// `op(matrix)`, the index that is summed over fastest.
std::vector<float> laid_out(const Operand &operand, size_t outer, size_t depth, bool outer_is_row, bool tf32) {
    std::vector<float> numbers(outer * depth);
    size_t rows = outer_is_row != operand.transposed ? outer : depth, columns = outer * depth / (rows ? rows : 1);
    if (columns && rows) check(operand.data, ((columns - 1) * operand.leading + rows) * size_of(operand.type), "a product");
    if (operand.leading < rows) fail("a product: leading dimension %zu of %zu rows", operand.leading, rows);
    for (size_t i = 0; i < outer; i++)
        for (size_t k = 0; k < depth; k++) {
            bool swap = outer_is_row == operand.transposed;
            size_t at = swap ? k + i * operand.leading : i + k * operand.leading;
            auto value = float(read(operand.data, operand.type, at));
            numbers[i * depth + k] = tf32 ? as_tf32(value) : value;
        }
    return numbers;
}

}

void product(size_t rows, size_t columns, size_t depth, Operand a, Operand b, bool tf32, double *sums) {
    std::vector<float> left = laid_out(a, rows, depth, true, tf32), right = laid_out(b, columns, depth, false, tf32);
    for (size_t column = 0; column < columns; column++)
        for (size_t row = 0; row < rows; row++) {
            const float *x = &left[row * depth], *y = &right[column * depth];
            // Lanes, so that this becomes vector code.
            float lanes[16] = {};
            size_t k = 0;
            for (; k + 16 <= depth; k += 16)
                for (size_t lane = 0; lane < 16; lane++) lanes[lane] += x[k + lane] * y[k + lane];
            double sum = 0;
            for (; k < depth; k++) sum += double(x[k]) * y[k];
            for (float lane : lanes) sum += lane;
            sums[row + column * rows] = sum;
        }
}

}
