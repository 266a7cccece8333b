// Enough of nvcc's header for candle's kernels to compile; none of those that compute in f8 are emulated.
#pragma once

struct __nv_fp8_e4m3 {
    uint8_t __x;
    __nv_fp8_e4m3() = default;
    template <class T> explicit __nv_fp8_e4m3(T) { emulator::fail("no arithmetic in f8"); }
};
constexpr int __NV_E4M3 = 0;
inline __half __nv_cvt_fp8_to_halfraw(uint8_t, int) { emulator::fail("no arithmetic in f8"); }
