/* A CUDA driver that only keeps account: what tests of the calls need, for a machine without a GPU.
 * Functions that are not here are made by the test, and return success. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static int set_current, retained, dynamic_limit, set_attribute, launch_shared, stream_status;
static void *launch_extra[5];

int fake_set_current(void) { return set_current; }
int fake_retained(void) { return retained; }
int fake_dynamic_limit(void) { return dynamic_limit; }
int fake_set_attribute(void) { return set_attribute; }
int fake_launch_shared(void) { return launch_shared; }
uintptr_t fake_launch_extra(int i) { return (uintptr_t)launch_extra[i]; }
void fake_set_stream_status(int status) { stream_status = status; }

int cuDriverGetVersion(int *version) { *version = 13000; return 0; }
int cuDeviceGetCount(int *count) { *count = 1; return 0; }
int cuDeviceGet(int *device, int ordinal) { *device = ordinal + 40; return ordinal == 0 ? 0 : 101; }
int cuDeviceGetAttribute(int *value, int attribute, int device) {
    if (device != 40) return 101;
    *value = attribute == 75 ? 9 : attribute == 76 ? 0 : attribute == 10 ? 32 : attribute == 97 ? 232448 : 1024;
    return 0;
}
int cuDeviceGetName(char *name, int len, int device) { strncpy(name, "Accountant", len); return device == 40 ? 0 : 101; }
int cuDeviceTotalMem_v2(size_t *bytes, int device) { *bytes = 1 << 30; return device == 40 ? 0 : 101; }
int cuDevicePrimaryCtxRetain(void **context, int device) { retained++; *context = (void *)0x77; return device == 40 ? 0 : 101; }
int cuCtxSetCurrent(void *context) { set_current++; return context == (void *)0x77 ? 0 : 201; }
int cuMemAlloc_v2(uint64_t *pointer, size_t bytes) {
    if (bytes > 1 << 30) return 2;
    *pointer = (uint64_t)malloc(bytes);
    return 0;
}
int cuMemFree_v2(uint64_t pointer) { free((void *)pointer); return 0; }
int cuMemcpyHtoD_v2(uint64_t dst, const void *src, size_t bytes) { memcpy((void *)dst, src, bytes); return 0; }
int cuMemcpyDtoH_v2(void *dst, uint64_t src, size_t bytes) { memcpy(dst, (void *)src, bytes); return 0; }
int cuMemsetD8_v2(uint64_t dst, unsigned char value, size_t bytes) { memset((void *)dst, value, bytes); return 0; }
int cuStreamSynchronize(void *stream) { (void)stream; return stream_status; }
int cuFuncGetAttribute(int *value, int attribute, void *function) { (void)function; *value = attribute == 1 ? 1024 : 0; return 0; }
int cuFuncSetAttribute(void *function, int attribute, int value) {
    (void)function;
    if (attribute != 8 || value > 231424) return 1;
    dynamic_limit = value;
    set_attribute++;
    return 0;
}
int cuLaunchKernel(void *function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz,
                   unsigned shared, void *stream, void **parameters, void **extra) {
    (void)function, (void)gy, (void)gz, (void)by, (void)bz, (void)stream, (void)parameters;
    launch_shared = (int)shared;
    if (extra) memcpy(launch_extra, extra, sizeof launch_extra);
    return gx == 0 || bx == 0 ? 1 : 0;
}
