// A stand-in for the CUDA runtime, cuBLASLt and NCCL, for builds that run the CUDA backend under emulation
// (--device simt). The backend compiles against CUDA's own headers; this library defines the functions that it
// calls. Streams are lazy: work waits in its queue until something waits for it, so a result that is read too
// soon, or a buffer that is filled anew too soon, is wrong every time and not once a week.
//
// What tests steer is here. A process can be steered from outside with CAUDAL_SIMT="devices=2,memory_mib=64".
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <functional>
#include <string>

namespace caudal::fake {

struct Settings {
  int devices = 1;  // 0: no GPU; -1: no driver that is new enough
  int compute_capability = 80;
  std::size_t memory_bytes = std::size_t{1} << 30;
  bool peer_access = true;
  std::size_t graph_node_bytes = 1024;
  bool split_sums = false;  // products of different shapes add in different orders, as cuBLASLt's do
  int slow_algorithms = 0;  // that cuBLASLt proposes for a product before the fast one
  std::string fail_call;    // the call of this name that fails, "" = none; "kernel" is what a stream runs
  int fail_after = 0;       // calls of it that still succeed
  cudaError_t fail_with = cudaErrorUnknown;
};

// Read from the environment at the first use. Reset between tests, while no backend lives.
Settings& settings();
void reset(const Settings& to);

struct Counters {
  long launches = 0;  // kernels and matrix products that went to a stream or a graph
  long graph_launches = 0;
  long slow_products = 0;        // by such an algorithm
  long works = 0;                // what streams have run
  long waits = 0;                // times the host waited for a stream or an event that was not done
  std::size_t device_bytes = 0;  // held now
};
Counters counters();

// --- For the files of the stand-in ---

// The first line of every call: cudaSuccess, what the test asked for, or the error that killed the context.
cudaError_t enter(const char* call);
void kill_context(cudaError_t error);  // every later call fails with it
bool context_is_dead();
// Queues work, or records it when the stream is being captured.
void queue(cudaStream_t stream, std::function<void()> work);
void count_launch();
void count_slow_product();
void count_wait();
void count_work();
void count_graph_launch();
// Charges the current device; false when it has not so much.
bool take_memory(std::size_t bytes);
void give_memory(int device, std::size_t bytes);
bool is_pinned(const void* pointer);
bool is_capturing();  // some stream of this thread
// Whether [pointer, pointer + bytes) lies inside one allocation of a device.
bool is_device_memory(const void* pointer, std::size_t bytes);
// Bytes of the device's allocation that begins here, 0 when none does.
std::size_t allocation_bytes(const void* begin);
// Device memory of another process, mapped into this one.
void add_foreign_memory(const void* begin, std::size_t bytes);
void remove_foreign_memory(const void* begin);
// ipc.cpp: before memory is freed that other processes may have mapped.
void stop_sharing(void* begin, std::size_t bytes);

}  // namespace caudal::fake
