/* Stands in for NVIDIA's management library in tests: one GPU, as FAKE_GPU="NAME,MAJOR,MINOR,FREE_GIB" describes it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct memory {
    unsigned version;
    unsigned long long total, reserved, free, used;
};

static struct {
    char name[64];
    int major, minor;
    unsigned long long free_gib;
} gpu;

int nvmlInit_v2(void) {
    const char *text = getenv("FAKE_GPU");
    return text && sscanf(text, "%63[^,],%d,%d,%llu", gpu.name, &gpu.major, &gpu.minor, &gpu.free_gib) == 4 ? 0 : 9;
}

int nvmlShutdown(void) { return 0; }

int nvmlSystemGetDriverVersion(char *version, unsigned length) {
    return snprintf(version, length, "580.0") < 0;
}

int nvmlDeviceGetCount_v2(unsigned *count) {
    *count = 1;
    return 0;
}

int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **device) {
    *device = &gpu;
    return index != 0;
}

int nvmlDeviceGetHandleByUUID(const char *uuid, void **device) {
    *device = &gpu;
    return strncmp(uuid, "GPU-", 4) != 0;
}

int nvmlDeviceGetName(void *device, char *name, unsigned length) {
    return snprintf(name, length, "%s", gpu.name) < 0;
}

int nvmlDeviceGetUUID(void *device, char *uuid, unsigned length) {
    return snprintf(uuid, length, "GPU-00000000-0000-0000-0000-000000000000") < 0;
}

int nvmlDeviceGetCudaComputeCapability(void *device, int *major, int *minor) {
    *major = gpu.major;
    *minor = gpu.minor;
    return 0;
}

int nvmlDeviceGetMemoryInfo_v2(void *device, struct memory *memory) {
    memory->total = 80ull << 30;
    memory->free = gpu.free_gib << 30;
    memory->used = memory->total - memory->free;
    return 0;
}
