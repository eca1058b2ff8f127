/* A libnvidia-ml.so.1 whose answers come from a text file. It has the calls that the resource
 * monitor (readings/nvml.py) and the trainer (engine/reporting/telemetry.py) make through the real
 * nvidia-ml-py, and no others. script.py writes the file.
 *
 * The file is named by FAKE_NVML and read at each call. Each line is a word and its values:
 *   init CODE            nvmlInit fails with this NVML error
 *   delay_ms N           each call takes this long
 *   hang CALL            this call (without "nvml", or "all") does not return while the line exists
 *   sticky               a lost GPU stays lost until NVML is opened again, as with the real NVML
 *   gpu UUID NAME        one more GPU; the lines below are about it
 *   memory USED TOTAL    in MiB
 *   utilization PERCENT
 *   error CALL CODE      this call fails for this GPU
 *   process PID MIB      a compute process; with MIB -1 its memory is unknown
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    SUCCESS = 0, UNINITIALIZED = 1, INVALID = 2, NOT_FOUND = 6, INSUFFICIENT_SIZE = 7, LOST = 15,
    UNKNOWN = 999
};
enum { MOST_GPUS = 8, MOST_PROCESSES = 64, MOST_ERRORS = 8 };

typedef unsigned long long u64;
/* nvmlProcessInfo_v2_t and _v3_t */
typedef struct { unsigned pid; u64 memory; unsigned gpu_instance, compute_instance; } process_t;
typedef struct { u64 total, free, used; } memory_t;
typedef struct { unsigned gpu, memory; } utilization_t;
typedef struct { char call[48]; int code; } error_t;
typedef struct {
    char uuid[80], name[80];
    u64 used, total;
    unsigned utilization, processes, errors;
    process_t process[MOST_PROCESSES];
    error_t error[MOST_ERRORS];
} gpu_t;
typedef struct { int init, delay_ms, sticky, count; char hang[48]; gpu_t gpu[MOST_GPUS]; } script_t;

static script_t script;
static int opened;
static char lost[MOST_GPUS][80]; /* by index: the UUID that is lost until NVML is opened again */

static void read_line(const char *line) {
    gpu_t *gpu = script.count ? &script.gpu[script.count - 1] : NULL;
    long pid, mib;
    if (sscanf(line, " init %d", &script.init) == 1) return;
    if (sscanf(line, " delay_ms %d", &script.delay_ms) == 1) return;
    if (sscanf(line, " hang %47s", script.hang) == 1) return;
    if (!strncmp(line, "sticky", 6)) { script.sticky = 1; return; }
    if (!strncmp(line, "gpu ", 4) && script.count < MOST_GPUS) {
        gpu = &script.gpu[script.count++];
        sscanf(line, "gpu %79s %79[^\n]", gpu->uuid, gpu->name);
        return;
    }
    if (!gpu) return;
    if (sscanf(line, " memory %llu %llu", &gpu->used, &gpu->total) == 2) return;
    if (sscanf(line, " utilization %u", &gpu->utilization) == 1) return;
    if (gpu->errors < MOST_ERRORS) {
        error_t *error = &gpu->error[gpu->errors];
        if (sscanf(line, " error %47s %d", error->call, &error->code) == 2) {
            gpu->errors++;
            return;
        }
    }
    if (gpu->processes < MOST_PROCESSES && sscanf(line, " process %ld %ld", &pid, &mib) == 2)
        gpu->process[gpu->processes++] =
            (process_t){(unsigned)pid, mib < 0 ? ~0ULL : (u64)mib << 20, 0xffffffffu, 0xffffffffu};
}

static void read_script(void) {
    char line[256];
    const char *path = getenv("FAKE_NVML");
    FILE *file = path ? fopen(path, "re") : NULL;
    memset(&script, 0, sizeof script);
    if (!file) return;
    while (fgets(line, sizeof line, file)) read_line(line);
    fclose(file);
}

/* Reads the script; returns when the call may continue. */
static void begin(const char *call) {
    for (read_script(); !strcmp(script.hang, "all") || !strcmp(script.hang, call); read_script())
        usleep(20000);
    if (script.delay_ms) usleep((useconds_t)script.delay_ms * 1000);
}

static int outcome(int index, const char *call) {
    gpu_t *gpu = &script.gpu[index];
    if (!opened) return UNINITIALIZED;
    if (index < 0 || index >= script.count) return INVALID;
    if (script.sticky && !strcmp(lost[index], gpu->uuid)) return LOST;
    for (unsigned i = 0; i < gpu->errors; i++)
        if (!strcmp(gpu->error[i].call, call)) {
            if (gpu->error[i].code == LOST) strcpy(lost[index], gpu->uuid);
            return gpu->error[i].code;
        }
    return SUCCESS;
}

/* A handle is the index plus one, so that it is never NULL. */
static int index_of(void *handle) { return (int)(long)handle - 1; }

#define ASK(handle, call)                          \
    begin(call);                                   \
    int index = index_of(handle);                  \
    int code = outcome(index, call);               \
    gpu_t *gpu = &script.gpu[code ? 0 : index];    \
    (void)gpu;                                     \
    if (code) return code

int nvmlInitWithFlags(unsigned flags) {
    (void)flags;
    begin("Init");
    if (script.init) return script.init;
    memset(lost, 0, sizeof lost);
    opened = 1;
    return SUCCESS;
}

int nvmlShutdown(void) {
    begin("Shutdown");
    opened = 0;
    return SUCCESS;
}

const char *nvmlErrorString(int code) {
    switch (code) {
    case 3: return "Not Supported";
    case 4: return "Insufficient Permissions";
    case 9: return "Driver Not Loaded";
    case 10: return "Timeout";
    case LOST: return "GPU is lost";
    case 16: return "GPU requires restart";
    case 18: return "Driver/library version mismatch";
    default: return "Unknown Error";
    }
}

int nvmlDeviceGetCount_v2(unsigned *count) {
    begin("DeviceGetCount");
    *count = (unsigned)script.count;
    return opened ? SUCCESS : UNINITIALIZED;
}

int nvmlDeviceGetHandleByIndex_v2(unsigned number, void **handle) {
    void *wanted = (void *)(long)(number + 1);
    ASK(wanted, "DeviceGetHandleByIndex");
    *handle = wanted;
    return SUCCESS;
}

int nvmlDeviceGetHandleByUUID(const char *uuid, void **handle) {
    begin("DeviceGetHandleByUUID");
    for (int i = 0; i < script.count; i++)
        if (!strcmp(script.gpu[i].uuid, uuid)) {
            *handle = (void *)(long)(i + 1);
            return outcome(i, "DeviceGetHandleByUUID");
        }
    return NOT_FOUND;
}

int nvmlDeviceGetIndex(void *handle, unsigned *number) {
    ASK(handle, "DeviceGetIndex");
    *number = (unsigned)index;
    return SUCCESS;
}

int nvmlDeviceGetUUID(void *handle, char *text, unsigned size) {
    ASK(handle, "DeviceGetUUID");
    snprintf(text, size, "%s", gpu->uuid);
    return SUCCESS;
}

int nvmlDeviceGetName(void *handle, char *text, unsigned size) {
    ASK(handle, "DeviceGetName");
    snprintf(text, size, "%s", gpu->name);
    return SUCCESS;
}

int nvmlDeviceGetMemoryInfo(void *handle, memory_t *memory) {
    ASK(handle, "DeviceGetMemoryInfo");
    *memory = (memory_t){gpu->total << 20, (gpu->total - gpu->used) << 20, gpu->used << 20};
    return SUCCESS;
}

int nvmlDeviceGetUtilizationRates(void *handle, utilization_t *utilization) {
    ASK(handle, "DeviceGetUtilizationRates");
    *utilization = (utilization_t){gpu->utilization, 0};
    return SUCCESS;
}

int nvmlDeviceGetPowerUsage(void *handle, unsigned *milliwatts) {
    ASK(handle, "DeviceGetPowerUsage");
    *milliwatts = 280520;
    return SUCCESS;
}

int nvmlDeviceGetTemperature(void *handle, int sensor, unsigned *celsius) {
    (void)sensor;
    ASK(handle, "DeviceGetTemperature");
    *celsius = 71;
    return SUCCESS;
}

int nvmlDeviceGetComputeRunningProcesses_v3(void *handle, unsigned *count, process_t *processes) {
    ASK(handle, "DeviceGetComputeRunningProcesses");
    unsigned room = *count;
    *count = gpu->processes;
    if (room < gpu->processes) return INSUFFICIENT_SIZE;
    memcpy(processes, gpu->process, gpu->processes * sizeof *processes);
    return SUCCESS;
}
