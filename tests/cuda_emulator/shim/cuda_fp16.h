// The part of nvcc's header that kernels use. None of candle's that compute in f16 are emulated.
#pragma once

struct alignas(2) __half { uint16_t bits; };
inline unsigned short __half_as_ushort(__half x) { return x.bits; }
inline __half __ushort_as_half(unsigned short bits) { return {bits}; }
inline float __half2float(__half x) {
    _Float16 value;
    memcpy(&value, &x.bits, 2);
    return float(value);
}
inline __half __float2half_rn(float x) {
    auto value = _Float16(x);
    __half rounded;
    memcpy(&rounded.bits, &value, 2);
    return rounded;
}
inline __half __hmax_nan(__half, __half) { emulator::fail("no arithmetic in f16"); }
inline __half __hmin_nan(__half, __half) { emulator::fail("no arithmetic in f16"); }
