// The fake's streams, events, copies and graphs. A stream is a queue that runs when someone waits for it, on the
// thread that waits. A graph is a recorded queue.
#include <chrono>
#include <cstdio>
#include <cstring>
#include <deque>
#include <memory>
#include <vector>

#include "kernels/cuda/emulation/fake/device.h"
#include "kernels/cuda/emulation/simt/runtime.h"

using Work = std::function<void()>;

struct CUgraph_st {
  std::vector<Work> works;
};
struct CUgraphExec_st {
  std::shared_ptr<std::vector<Work>> works;  // with launches that are still queued
  int device = 0;
  std::size_t bytes = 0;
};
struct CUstream_st {
  std::deque<Work> waiting;
  std::uint64_t queued = 0, done = 0;
  CUgraph_st* capture = nullptr;
  bool capture_broken = false;

  bool run_one() {
    if (waiting.empty()) return false;
    const Work work = std::move(waiting.front());
    waiting.pop_front();
    caudal::fake::count_work();
    if (!caudal::fake::context_is_dead()) work();  // after an error nothing runs any more
    ++done;
    return true;
  }
  void run_until(std::uint64_t ticket) {
    while (done < ticket && run_one()) {
    }
  }
};
struct CUevent_st {
  cudaStream_t stream = nullptr;  // null: never recorded, which counts as done
  std::uint64_t ticket = 0;
  std::chrono::steady_clock::time_point at;

  bool done() const { return stream == nullptr || stream->done >= ticket; }
};

namespace caudal::fake {
namespace {

thread_local int streams_capturing = 0;

// The stream of whoever names none: CUDA's is in step with all others, this one runs at once.
CUstream_st& default_stream() {
  thread_local CUstream_st stream;
  return stream;
}

CUstream_st& of(cudaStream_t stream) { return stream == nullptr ? default_stream() : *stream; }

// What a kernel did wrong becomes the error of the context, as on a device.
void run_kernel(const Work& work) {
  const cudaError_t entered = enter("kernel");
  if (entered != cudaSuccess) return kill_context(entered);
  try {
    work();
  } catch (const simt::Error& error) {
    std::fprintf(stderr, "emulated kernel: %s\n", error.what());
    kill_context(cudaErrorLaunchFailure);
  }
}

void on_launch(cudaStream_t stream, Work run) {
  count_launch();
  queue(stream, [run = std::move(run)] { run_kernel(run); });
}
const bool hooked = [] {
  simt::launch_hook = on_launch;
  return true;
}();

// What may not happen while a stream is being captured spoils the capture.
bool breaks_capture(CUstream_st& stream) {
  if (stream.capture != nullptr) stream.capture_broken = true;
  return stream.capture != nullptr;
}

cudaError_t context_error() { return enter("context"); }

// Memory that the device cannot reach, or that it can.
bool is_pageable(const void* pointer, std::size_t bytes) {
  return !is_pinned(pointer) && !is_device_memory(pointer, bytes);
}

}  // namespace

bool is_capturing() { return streams_capturing > 0; }

void queue(cudaStream_t stream, Work work) {
  CUstream_st& target = of(stream);
  if (target.capture != nullptr) return target.capture->works.push_back(std::move(work));
  target.waiting.push_back(std::move(work));
  ++target.queued;
  if (stream == nullptr) target.run_until(target.queued);
}

}  // namespace caudal::fake

using namespace caudal::fake;

#define ENTER() \
  if (const cudaError_t entered = enter(__func__); entered != cudaSuccess) return entered

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned) {
  ENTER();
  *stream = new CUstream_st;
  return cudaSuccess;
}

cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  stream->run_until(stream->queued);
  delete stream;
  return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  ENTER();
  CUstream_st& target = of(stream);
  if (breaks_capture(target)) return cudaErrorStreamCaptureUnsupported;
  if (target.done < target.queued) count_wait();
  target.run_until(target.queued);
  return context_error();
}

cudaError_t cudaDeviceSynchronize() { return cudaStreamSynchronize(nullptr); }

cudaError_t cudaStreamQuery(cudaStream_t stream) {
  ENTER();
  CUstream_st& target = of(stream);
  target.run_one();  // whoever polls sees progress
  if (const cudaError_t error = context_error(); error != cudaSuccess) return error;
  return target.done < target.queued ? cudaErrorNotReady : cudaSuccess;
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
  ENTER();
  if (event->stream == nullptr || event->stream == stream) return cudaSuccess;
  queue(stream, [from = event->stream, ticket = event->ticket] { from->run_until(ticket); });
  return cudaSuccess;
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
  ENTER();
  *event = new CUevent_st;
  return cudaSuccess;
}

cudaError_t cudaEventDestroy(cudaEvent_t event) {
  delete event;
  return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  ENTER();
  queue(stream, [event] { event->at = std::chrono::steady_clock::now(); });
  event->stream = stream;
  event->ticket = of(stream).queued;
  return cudaSuccess;
}

cudaError_t cudaEventQuery(cudaEvent_t event) {
  ENTER();
  if (!event->done()) event->stream->run_one();
  if (const cudaError_t error = context_error(); error != cudaSuccess) return error;
  return event->done() ? cudaSuccess : cudaErrorNotReady;
}

cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  ENTER();
  if (!event->done()) count_wait();
  if (event->stream != nullptr) event->stream->run_until(event->ticket);
  return context_error();
}

cudaError_t cudaEventElapsedTime(float* ms, cudaEvent_t begin, cudaEvent_t end) {
  ENTER();
  *ms = std::chrono::duration<float, std::milli>(end->at - begin->at).count();
  return cudaSuccess;
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind, cudaStream_t stream) {
  ENTER();
  if (kind != cudaMemcpyDefault) return cudaErrorInvalidMemcpyDirection;  // the backend lets the addresses say it
  CUstream_st& target = of(stream);
  const bool to_pageable = is_pageable(to, bytes), from_pageable = is_pageable(from, bytes);
  if (!to_pageable && !from_pageable) {
    queue(stream, [to, from, bytes] { std::memcpy(to, from, bytes); });
    return cudaSuccess;
  }
  if (breaks_capture(target)) return cudaErrorStreamCaptureUnsupported;
  if (!to_pageable) {  // the driver keeps a copy of pageable memory before it returns
    const char* begin = static_cast<const char*>(from);
    queue(stream, [to, kept = std::make_shared<std::vector<char>>(begin, begin + bytes)] {
      std::memcpy(to, kept->data(), kept->size());
    });
    return cudaSuccess;
  }
  target.run_until(target.queued);
  std::memcpy(to, from, bytes);
  return context_error();
}

cudaError_t cudaMemcpy2DAsync(void* to, std::size_t to_pitch, const void* from, std::size_t from_pitch,
                              std::size_t width, std::size_t height, cudaMemcpyKind kind, cudaStream_t stream) {
  ENTER();
  if (kind != cudaMemcpyDefault || width > to_pitch || width > from_pitch) return cudaErrorInvalidValue;
  queue(stream, [=] {
    for (std::size_t row = 0; row < height; ++row)
      std::memcpy(static_cast<char*>(to) + row * to_pitch, static_cast<const char*>(from) + row * from_pitch, width);
  });
  return cudaSuccess;
}

cudaError_t cudaMemsetAsync(void* to, int value, std::size_t bytes, cudaStream_t stream) {
  ENTER();
  queue(stream, [to, value, bytes] { std::memset(to, value, bytes); });
  return cudaSuccess;
}

cudaError_t cudaMemset2DAsync(void* to, std::size_t pitch, int value, std::size_t width, std::size_t height,
                              cudaStream_t stream) {
  ENTER();
  queue(stream, [=] {
    for (std::size_t row = 0; row < height; ++row) std::memset(static_cast<char*>(to) + row * pitch, value, width);
  });
  return cudaSuccess;
}

cudaError_t cudaLaunchHostFunc(cudaStream_t stream, cudaHostFn_t function, void* argument) {
  ENTER();
  queue(stream, [function, argument] { function(argument); });
  return cudaSuccess;
}

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode) {
  ENTER();
  if (stream->capture != nullptr) return cudaErrorIllegalState;
  stream->capture = new CUgraph_st;
  stream->capture_broken = false;
  ++streams_capturing;
  return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  ENTER();
  if (stream->capture == nullptr) return cudaErrorIllegalState;
  *graph = stream->capture;
  stream->capture = nullptr;
  --streams_capturing;
  if (!stream->capture_broken) return cudaSuccess;
  delete *graph;
  *graph = nullptr;
  return cudaErrorStreamCaptureInvalidated;
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t* exec, cudaGraph_t graph, unsigned long long) {
  ENTER();
  auto made = std::make_unique<CUgraphExec_st>();
  made->works = std::make_shared<std::vector<Work>>(graph->works);
  made->bytes = graph->works.size() * settings().graph_node_bytes;
  cudaGetDevice(&made->device);
  if (!take_memory(made->bytes)) return cudaErrorMemoryAllocation;
  *exec = made.release();
  return cudaSuccess;
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream) {
  ENTER();
  count_graph_launch();
  queue(stream, [works = exec->works] {
    for (const Work& work : *works) work();
  });
  return cudaSuccess;
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  delete graph;
  return cudaSuccess;
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec) {
  give_memory(exec->device, exec->bytes);
  delete exec;
  return cudaSuccess;
}
