/* Device memory from C, over the simulated device: order by streams, numbers, misuse, snapshots. */
#include "check.h"

#include <stdlib.h>

#define MIB ((size_t)1 << 20)

static th_gpu* open_device(uint64_t bytes) {
  NEW(th_gpu_options, with);
  with.device_bytes = bytes;
  with.name = "gpu 0";
  th_gpu* const gpu = th_gpu_open(&with);
  CHECK(gpu != NULL);
  return gpu;
}

static void streams_order_memory(void) {
  th_gpu* const gpu = open_device(256 * MIB);
  void *compute = NULL, *copies = NULL;
  CHECK(th_stream_create(gpu, &compute) == th_ok && th_stream_create(gpu, &copies) == th_ok && compute != copies);
  th_allocation a, b;
  CHECK(th_gpu_allocate(gpu, compute, 3 * MIB + 1, &a) == th_ok && a.bytes == 3 * MIB + 512);
  NEW(th_gpu_stats, now);
  CHECK(th_gpu_stats_of(gpu, &now) == th_ok);
  CHECK(now.pieces == 1 && now.allocated_bytes == a.bytes && now.requested_bytes == 3 * MIB + 1 && now.reserved_bytes == 4 * MIB);
  CHECK(th_gpu_deallocate(gpu, compute, a) == th_ok);
  CHECK(th_gpu_allocate(gpu, compute, 3 * MIB + 1, &b) == th_ok && b.data == a.data); /* the same stream has it at once */
  CHECK(th_gpu_record_stream(gpu, b, copies) == th_ok && th_gpu_deallocate(gpu, compute, b) == th_ok);
  CHECK(th_gpu_stats_of(gpu, &now) == th_ok && now.pending_bytes == b.bytes && now.pieces == 0 && now.allocated_peak == a.bytes);
  CHECK(th_stream_synchronize(gpu, copies) == th_ok);
  size_t given = 0;
  CHECK(th_gpu_trim(gpu, 0, &given) == th_ok && given == 4 * MIB);
  CHECK(th_gpu_stats_of(gpu, &now) == th_ok && now.reserved_bytes == 0 && now.reserved_peak == 4 * MIB && now.allocations == 2);
  CHECK(th_gpu_is_valid(gpu) == th_ok);

  NEW(th_gpu_request, request);
  request.bytes = 1000, request.alignment = 4096, request.memory_class = th_memory_weights;
  CHECK(th_gpu_allocate_as(gpu, compute, &request, &a) == th_ok && (uintptr_t)a.data % 4096 == 0);
  request.only_cached = 1, request.memory_class = th_memory_kv;
  CHECK(th_gpu_allocate_as(gpu, compute, &request, &b) == th_out_of_memory && b.data == NULL);
  request.memory_class = 6;
  CHECK_REFUSED(th_gpu_allocate_as(gpu, compute, &request, &b), th_invalid_argument, 6, 5);
  CHECK(th_gpu_deallocate(gpu, compute, a) == th_ok);
  CHECK(th_stream_destroy(gpu, copies) == th_ok && th_stream_destroy(gpu, copies) != th_ok);
  CHECK(th_gpu_allocate(gpu, copies, 512, &a) != th_ok && strstr(th_last_error(), "a stream by its handle") != NULL);
  CHECK(th_gpu_retire(gpu, compute) == th_ok && th_stream_destroy(gpu, compute) == th_ok);
  CHECK(th_gpu_close(gpu) == th_ok);
}

static void misuse_changes_nothing(void) {
  th_gpu* const gpu = open_device(64 * MIB);
  th_allocation a, wrong;
  CHECK(th_gpu_allocate(gpu, NULL, MIB, &a) == th_ok); /* the default stream */
  CHECK_REFUSED(th_gpu_close(gpu), th_in_use, 1, 0);
  wrong = a, wrong.data = (char*)a.data + 512;
  CHECK(th_gpu_deallocate(gpu, NULL, wrong) == th_interior_pointer);
  wrong.data = &wrong;
  CHECK(th_gpu_deallocate(gpu, NULL, wrong) == th_foreign_pointer && th_gpu_record_stream(gpu, wrong, NULL) == th_foreign_pointer);
  wrong = a, wrong.bytes += 1;
  CHECK(th_gpu_deallocate(gpu, NULL, wrong) == th_wrong_size);
  CHECK(th_gpu_deallocate(gpu, NULL, a) == th_ok && th_gpu_deallocate(gpu, NULL, a) == th_double_free);
  CHECK(strstr(th_last_error(), "pool 'gpu 0': double free") == th_last_error());
  CHECK_REFUSED(th_gpu_allocate(gpu, NULL, 65 * MIB, &a), th_too_large, 65 * MIB, 64 * MIB);
  CHECK(strstr(th_last_error(), "on device 0: need 68157440 bytes") != NULL);
  CHECK(th_gpu_set_limit(gpu, 8 * MIB) == th_ok);
  CHECK(th_gpu_allocate(gpu, NULL, 6 * MIB, &a) == th_ok);
  th_allocation b;
  CHECK_REFUSED(th_gpu_allocate(gpu, NULL, 6 * MIB, &b), th_out_of_memory, 6 * MIB, 8 * MIB);
  CHECK(th_gpu_deallocate(gpu, NULL, a) == th_ok && th_gpu_close(gpu) == th_ok && th_gpu_close(gpu) == th_stale_handle);
}

static size_t asked = 0;
static int nothing_to_give(void* user, size_t bytes) {
  CHECK(user == &asked);
  asked += bytes;
  return 0;
}

static void options_reach_the_allocator(void) {
  NEW(th_gpu_options, with);
  with.device_bytes = 64 * MIB, with.divisions = 4, with.backed = 1, with.limit = 32 * MIB;
  with.on_pressure = &nothing_to_give, with.on_pressure_user = &asked;
  th_gpu* const gpu = th_gpu_open(&with);
  th_allocation a;
  CHECK(th_gpu_allocate(gpu, NULL, 17 * MIB, &a) == th_ok && a.bytes == 20 * MIB);
  memset(a.data, 1, a.bytes); /* backed by real memory */
  th_allocation b;
  CHECK_REFUSED(th_gpu_allocate(gpu, NULL, 17 * MIB, &b), th_out_of_memory, 20 * MIB, 32 * MIB);
  CHECK(asked == 20 * MIB);
  NEW(th_gpu_stats, now);
  CHECK(th_gpu_stats_of(gpu, &now) == th_ok && now.failures == 1 && now.pieces == 1);
  CHECK(th_gpu_deallocate(gpu, NULL, a) == th_ok && th_gpu_close(gpu) == th_ok);
  with.kind = 2;
  CHECK(th_gpu_open(&with) == NULL && strstr(th_last_error(), "th_device_kind") != NULL);
  with.kind = th_device_simulated, with.ordinal = 1;
  CHECK(th_gpu_open(&with) == NULL && strstr(th_last_error(), "no device") != NULL);
}

static void snapshots_are_written(void) {
  th_gpu* const gpu = open_device(64 * MIB);
  th_allocation a;
  CHECK(th_gpu_allocate(gpu, NULL, MIB, &a) == th_ok);
  const char* const path = "c_abi_device.json";
  CHECK(th_gpu_snapshot(gpu, path, th_snapshot_json) == th_ok);
  FILE* const file = fopen(path, "rb");
  CHECK(file != NULL);
  if (file != NULL) {
    static char text[1 << 16];
    const size_t n = fread(text, 1, sizeof text - 1, file);
    CHECK(n > 100 && strstr(text, "\"segments\"") != NULL && strstr(text, "\"active_allocated\"") != NULL);
    fclose(file);
  }
  CHECK(th_gpu_snapshot(gpu, path, th_snapshot_pickle) == th_ok);
  remove(path);
  CHECK(th_gpu_snapshot(gpu, "no such folder/x", 0) == th_system_refused && th_gpu_snapshot(gpu, NULL, 0) == th_invalid_argument);
  CHECK(th_gpu_snapshot(gpu, path, 2) == th_invalid_argument);
  char line[512];
  size_t length = 0;
  CHECK(th_gpu_dump(gpu, line, sizeof line, &length) == th_ok && strstr(line, "gpu 0") != NULL && strlen(line) == length);
  CHECK(th_gpu_deallocate(gpu, NULL, a) == th_ok && th_gpu_close(gpu) == th_ok);
}

/* a CUDA device: without a driver, or in a build without CUDA, opening it says so */
static void a_missing_device_is_no_surprise(void) {
  NEW(th_gpu_options, with);
  with.kind = th_device_cuda;
  th_gpu* const gpu = th_gpu_open(&with);
  if (gpu != NULL) {
    CHECK(th_gpu_close(gpu) == th_ok);
    return;
  }
  NEW(th_failure, why);
  CHECK(th_last_failure(&why) == th_ok && (why.status == th_no_device || why.status == th_unsupported));
  CHECK(why.fix[0] != '\0' && why.what[0] != '\0');
  with.ordinal = 64;
  CHECK(th_gpu_open(&with) == NULL && th_last_failure(&why) == th_ok && why.status == th_no_device && why.limit == 63);
}

int main(void) {
  streams_order_memory();
  misuse_changes_nothing();
  options_reach_the_allocator();
  snapshots_are_written();
  a_missing_device_is_no_surprise();
  return failed;
}
