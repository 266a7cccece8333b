// The calls of the CUDA driver that cudarc and candle make, on the CPU. Work is done when a call returns.
#include "engine.h"
#include "memory.h"
#include "pinned.h"

#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <cuda.h>
#include <mutex>

using emulator::Kernel;

namespace {

// What handles point to.
struct Handle {
    int kind;
};
Handle context_object{1}, pool_object{2};
thread_local CUcontext current_context;

struct Event {
    std::chrono::steady_clock::time_point time;
    /// Copies before it.
    uint64_t copies = 0;
};

constexpr size_t MEMORY = size_t(80) << 30;
/// Ten times the compute capability: that of an H100, or CUDA_EMULATOR_CAPABILITY.
int capability() {
    static const int set = [] {
        const char *text = getenv("CUDA_EMULATOR_CAPABILITY");
        return text ? atoi(text) : 90;
    }();
    return set;
}

/// Most shared memory that a block may ask for, on an H100, an A100 and a T4.
size_t shared_memory() { return capability() >= 90 ? 232448 : capability() >= 80 ? 166912 : 65536; }

CUresult copy(void *to, const void *from, size_t bytes) {
    if (bytes) memcpy(to, from, bytes);
    return CUDA_SUCCESS;
}

void *device(CUdeviceptr address) { return reinterpret_cast<void *>(address); }

CUresult allocate(CUdeviceptr *address, size_t bytes) {
    // The driver does not say what an asynchronous allocation of nothing gives: something that can be freed.
    void *start = emulator::allocate(bytes ? bytes : 1);
    if (!start) return CUDA_ERROR_OUT_OF_MEMORY;
    *address = reinterpret_cast<CUdeviceptr>(start);
    return CUDA_SUCCESS;
}

CUresult release(CUdeviceptr address) {
    if (address && !emulator::release(device(address))) emulator::fail("%p was freed twice, or never allocated", device(address));
    return CUDA_SUCCESS;
}

CUresult fill(CUdeviceptr address, unsigned char value, size_t bytes) {
    emulator::check(device(address), bytes, "cuMemsetD8");
    if (bytes) memset(device(address), value, bytes);
    return CUDA_SUCCESS;
}

}

extern "C" {

CUresult cuInit(unsigned) {
    static std::once_flag once;
    std::call_once(once, emulator::catch_faults);
    return CUDA_SUCCESS;
}
CUresult cuDriverGetVersion(int *version) { return *version = CUDA_VERSION, CUDA_SUCCESS; }
CUresult cuGetErrorName(CUresult error, const char **text) {
    static thread_local char name[32];
    snprintf(name, sizeof name, "CUresult %d", error);
    return *text = name, CUDA_SUCCESS;
}
CUresult cuGetErrorString(CUresult error, const char **text) {
    static thread_local char name[48];
    snprintf(name, sizeof name, "error %d of the CUDA emulator", error);
    return *text = name, CUDA_SUCCESS;
}

CUresult cuDeviceGetCount(int *count) { return *count = 1, CUDA_SUCCESS; }
CUresult cuDeviceGet(CUdevice *device, int ordinal) {
    return ordinal ? CUDA_ERROR_INVALID_DEVICE : (*device = 0, CUDA_SUCCESS);
}
CUresult cuDeviceGetName(char *name, int room, CUdevice) {
    return snprintf(name, size_t(room), "CUDA emulator"), CUDA_SUCCESS;
}
CUresult cuDeviceGetUuid_v2(CUuuid *uuid, CUdevice) { return memset(uuid, 0xE, sizeof *uuid), CUDA_SUCCESS; }
CUresult cuDeviceTotalMem_v2(size_t *bytes, CUdevice) { return *bytes = MEMORY, CUDA_SUCCESS; }
CUresult cuDeviceGetAttribute(int *value, CUdevice_attribute attribute, CUdevice) {
    switch (attribute) {
    case CU_DEVICE_ATTRIBUTE_MEMORY_POOLS_SUPPORTED: *value = 1; break;
    case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR: *value = capability() / 10; break;
    case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR: *value = capability() % 10; break;
    case CU_DEVICE_ATTRIBUTE_WARP_SIZE: *value = emulator::WARP; break;
    case CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT: *value = 4; break;
    case CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK: *value = 1024; break;
    case CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_MULTIPROCESSOR: *value = 2048; break;
    case CU_DEVICE_ATTRIBUTE_MAX_BLOCKS_PER_MULTIPROCESSOR: *value = 32; break;
    case CU_DEVICE_ATTRIBUTE_MAX_GRID_DIM_X: *value = 0x7FFFFFFF; break;
    case CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK: *value = 48 * 1024; break;
    case CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN: *value = int(shared_memory()); break;
    case CU_DEVICE_ATTRIBUTE_COOPERATIVE_LAUNCH: *value = 0; break;
    default:
        fprintf(stderr, "CUDA emulator: no device attribute %d\n", attribute);
        return CUDA_ERROR_NOT_SUPPORTED;
    }
    return CUDA_SUCCESS;
}
CUresult cuDevicePrimaryCtxRetain(CUcontext *context, CUdevice) {
    return *context = reinterpret_cast<CUcontext>(&context_object), CUDA_SUCCESS;
}
CUresult cuDevicePrimaryCtxRelease_v2(CUdevice) { return CUDA_SUCCESS; }
CUresult cuDeviceGetDefaultMemPool(CUmemoryPool *pool, CUdevice) {
    return *pool = reinterpret_cast<CUmemoryPool>(&pool_object), CUDA_SUCCESS;
}
CUresult cuDeviceGetMemPool(CUmemoryPool *pool, CUdevice device) { return cuDeviceGetDefaultMemPool(pool, device); }
CUresult cuMemPoolSetAttribute(CUmemoryPool, CUmemPool_attribute, void *) { return CUDA_SUCCESS; }
CUresult cuMemPoolTrimTo(CUmemoryPool, size_t) { return CUDA_SUCCESS; }
CUresult cuCtxGetCurrent(CUcontext *context) { return *context = current_context, CUDA_SUCCESS; }
CUresult cuCtxSetCurrent(CUcontext context) { return current_context = context, CUDA_SUCCESS; }
CUresult cuCtxSetFlags(unsigned) { return CUDA_SUCCESS; }
CUresult cuCtxSynchronize() { return emulator::waited_for(emulator::copies()), CUDA_SUCCESS; }

CUresult cuStreamCreate(CUstream *stream, unsigned) {
    return *stream = reinterpret_cast<CUstream>(new Handle{3}), CUDA_SUCCESS;
}
CUresult cuStreamCreateWithPriority(CUstream *stream, unsigned flags, int) { return cuStreamCreate(stream, flags); }
CUresult cuStreamDestroy_v2(CUstream stream) { return delete reinterpret_cast<Handle *>(stream), CUDA_SUCCESS; }
CUresult cuStreamSynchronize(CUstream) { return cuCtxSynchronize(); }
CUresult cuStreamWaitEvent(CUstream, CUevent, unsigned) { return CUDA_SUCCESS; }
CUresult cuStreamIsCapturing(CUstream, CUstreamCaptureStatus *status) {
    return *status = CU_STREAM_CAPTURE_STATUS_NONE, CUDA_SUCCESS;
}
CUresult cuLaunchHostFunc(CUstream, CUhostFn function, void *data) { return function(data), CUDA_SUCCESS; }

CUresult cuEventCreate(CUevent *event, unsigned) { return *event = reinterpret_cast<CUevent>(new Event{}), CUDA_SUCCESS; }
CUresult cuEventDestroy_v2(CUevent event) { return delete reinterpret_cast<Event *>(event), CUDA_SUCCESS; }
CUresult cuEventRecord(CUevent event, CUstream) {
    *reinterpret_cast<Event *>(event) = {std::chrono::steady_clock::now(), emulator::copies()};
    return CUDA_SUCCESS;
}
CUresult cuEventSynchronize(CUevent event) {
    return emulator::waited_for(reinterpret_cast<Event *>(event)->copies), CUDA_SUCCESS;
}
CUresult cuEventQuery(CUevent event) { return cuEventSynchronize(event); }
CUresult cuEventElapsedTime_v2(float *milliseconds, CUevent start, CUevent end) {
    auto span = reinterpret_cast<Event *>(end)->time - reinterpret_cast<Event *>(start)->time;
    return *milliseconds = std::chrono::duration<float, std::milli>(span).count(), CUDA_SUCCESS;
}
CUresult cuMemGetInfo_v2(size_t *free, size_t *total) {
    return *total = MEMORY, *free = MEMORY - emulator::allocated(), CUDA_SUCCESS;
}
CUresult cuMemAlloc_v2(CUdeviceptr *address, size_t bytes) {
    return bytes ? allocate(address, bytes) : CUDA_ERROR_INVALID_VALUE;
}
CUresult cuMemAllocAsync(CUdeviceptr *address, size_t bytes, CUstream) { return allocate(address, bytes); }
CUresult cuMemFree_v2(CUdeviceptr address) { return release(address); }
CUresult cuMemFreeAsync(CUdeviceptr address, CUstream) { return release(address); }
CUresult cuMemHostAlloc(void **address, size_t bytes, unsigned) {
    return (*address = emulator::allocate_pinned(bytes)) ? CUDA_SUCCESS : CUDA_ERROR_OUT_OF_MEMORY;
}
CUresult cuMemFreeHost(void *address) { return emulator::release_pinned(address), CUDA_SUCCESS; }
CUresult cuMemcpyHtoD_v2(CUdeviceptr to, const void *from, size_t bytes) {
    emulator::check(device(to), bytes, "cuMemcpyHtoD");
    return copy(device(to), from, bytes);
}
CUresult cuMemcpyDtoH_v2(void *to, CUdeviceptr from, size_t bytes) {
    emulator::check(device(from), bytes, "cuMemcpyDtoH");
    return copy(to, device(from), bytes);
}
CUresult cuMemcpyDtoD_v2(CUdeviceptr to, CUdeviceptr from, size_t bytes) {
    emulator::check(device(to), bytes, "cuMemcpyDtoD");
    emulator::check(device(from), bytes, "cuMemcpyDtoD");
    return copy(device(to), device(from), bytes);
}
CUresult cuMemcpyHtoDAsync_v2(CUdeviceptr to, const void *from, size_t bytes, CUstream) {
    bool pinned = emulator::copied_from(from, bytes);
    emulator::count(pinned ? "copy from page-locked memory" : "copy from ordinary memory");
    return cuMemcpyHtoD_v2(to, from, bytes);
}
CUresult cuMemcpyDtoHAsync_v2(void *to, CUdeviceptr from, size_t bytes, CUstream) {
    emulator::count("copy to the host");
    // To ordinary memory the driver waits for the stream.
    cuCtxSynchronize();
    return cuMemcpyDtoH_v2(to, from, bytes);
}
CUresult cuMemcpyDtoDAsync_v2(CUdeviceptr to, CUdeviceptr from, size_t bytes, CUstream) {
    return cuMemcpyDtoD_v2(to, from, bytes);
}
CUresult cuMemsetD8_v2(CUdeviceptr address, unsigned char value, size_t bytes) { return fill(address, value, bytes); }
CUresult cuMemsetD8Async(CUdeviceptr address, unsigned char value, size_t bytes, CUstream) {
    return fill(address, value, bytes);
}

// Kernels are known by name, whatever module they are asked of.
CUresult cuModuleLoadData(CUmodule *module, const void *image) {
    return image ? (*module = reinterpret_cast<CUmodule>(new Handle{4}), CUDA_SUCCESS) : CUDA_ERROR_INVALID_IMAGE;
}
CUresult cuModuleUnload(CUmodule module) { return delete reinterpret_cast<Handle *>(module), CUDA_SUCCESS; }
CUresult cuModuleGetFunction(CUfunction *function, CUmodule, const char *name) {
    auto found = emulator::kernels().find(name);
    if (found == emulator::kernels().end()) {
        fprintf(stderr, "CUDA emulator: no kernel %s\n", name);
        return CUDA_ERROR_NOT_FOUND;
    }
    return *function = reinterpret_cast<CUfunction>(&found->second), CUDA_SUCCESS;
}
CUresult cuFuncSetAttribute(CUfunction function, CUfunction_attribute attribute, int value) {
    if (attribute == CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES) {
        if (size_t(value) > shared_memory()) return CUDA_ERROR_INVALID_VALUE;
        reinterpret_cast<Kernel *>(function)->shared_limit = size_t(value);
    }
    return CUDA_SUCCESS;
}
CUresult cuFuncSetCacheConfig(CUfunction, CUfunc_cache) { return CUDA_SUCCESS; }
CUresult cuOccupancyMaxActiveBlocksPerMultiprocessor(int *blocks, CUfunction, int, size_t) {
    return *blocks = 2, CUDA_SUCCESS;
}
CUresult cuLaunchKernel(CUfunction function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz,
                        unsigned shared_bytes, CUstream, void **arguments, void **extra) {
    const Kernel &kernel = *reinterpret_cast<Kernel *>(function);
    const char *name = kernel.name.c_str();
    size_t threads = size_t(bx) * by * bz;
    if (!gx || !gy || !gz || !threads || threads > 1024 || bz > 64 || gy > 65535 || gz > 65535) {
        fprintf(stderr, "CUDA emulator: %s on a grid (%u, %u, %u) of blocks (%u, %u, %u)\n", name, gx, gy, gz, bx, by, bz);
        return CUDA_ERROR_INVALID_VALUE;
    }
    if (shared_bytes > kernel.shared_limit) {
        fprintf(stderr, "CUDA emulator: %s with %u bytes of shared memory, %zu allowed\n", name, shared_bytes, kernel.shared_limit);
        return CUDA_ERROR_INVALID_VALUE;
    }
    if (extra || (kernel.arguments && !arguments)) return CUDA_ERROR_INVALID_VALUE;
    emulator::count(name);
    emulator::run(kernel, {gx, gy, gz}, {bx, by, bz}, shared_bytes, arguments);
    return CUDA_SUCCESS;
}

}
