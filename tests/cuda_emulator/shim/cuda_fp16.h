// Enough of nvcc's header for candle's kernels to compile; none of those that compute in f16 are emulated.
#pragma once

struct alignas(2) __half { uint16_t bits; };
inline unsigned short __half_as_ushort(__half x) { return x.bits; }
inline __half __ushort_as_half(unsigned short bits) { return {bits}; }
inline __half __hmax_nan(__half, __half) { emulator::fail("no arithmetic in f16"); }
inline __half __hmin_nan(__half, __half) { emulator::fail("no arithmetic in f16"); }
