#include "kernels/cuda/backend/cuda_copy_stream.h"

namespace caudal::cuda {

void queue_copies(CudaContext& context, cudaStream_t stream, std::span<const BlockPair> pairs, const Tensor& from,
                  const Tensor& to) {
  const bool is_inside = from.data() == to.data();
  while (!pairs.empty() && !context.failure()) {
    const BlockPair first = pairs.front();
    std::int32_t run = 1;
    const auto goes_on = [&](const BlockPair& next) {
      return next.source == first.source + run && next.destination == first.destination + run;
    };
    while (!is_inside && run < std::ssize(pairs) && goes_on(pairs[run])) ++run;
    pairs = pairs.subspan(run);
    const Tensor source = from.rows(first.source, run), destination = to.rows(first.destination, run);
    if (source.data() == destination.data()) continue;
    context.check(cudaMemcpyAsync(destination.data(), source.data(), source.bytes(), cudaMemcpyDefault, stream),
                  "copying KV blocks");
  }
}

CudaCopyStream::CudaCopyStream(CudaContext& context) : context_(context) {
  context_.check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "creating the stream of copies");
  begin_ = make_event();
}

CudaCopyStream::~CudaCopyStream() {
  wait(num_started());
  if (stream_ != nullptr) cudaStreamDestroy(stream_);
}

CudaCopyStream::Event CudaCopyStream::make_event() {
  cudaEvent_t event = nullptr;
  context_.check(cudaEventCreateWithFlags(&event, cudaEventDisableTiming), "creating an event");
  return Event(event);
}

void CudaCopyStream::queue(BlockCopies copies) {
  ends_.push_back(make_event());
  if (context_.failure()) return;
  context_.check(cudaEventRecord(begin_.get(), context_.stream()), "recording what was computed");
  context_.check(cudaStreamWaitEvent(stream_, begin_.get(), 0), "ordering copies");
  for (const auto& [from, to] : copies.tensors) queue_copies(context_, stream_, copies.pairs, from, to);
  context_.check(cudaEventRecord(ends_.back().get(), stream_), "recording the end of copies");
}

std::uint64_t CudaCopyStream::num_done() {
  for (; !ends_.empty() && context_.done(ends_.front().get()); ends_.pop_front()) ++num_done_;
  return num_done_;
}

cudaEvent_t CudaCopyStream::end_of(std::uint64_t count) {
  return count <= num_done() ? nullptr : ends_[count - num_done_ - 1].get();
}

void CudaCopyStream::join(std::uint64_t count) {
  if (cudaEvent_t end = end_of(count))
    context_.check(cudaStreamWaitEvent(context_.stream(), end, 0), "waiting for copies");
}

void CudaCopyStream::wait(std::uint64_t count) {
  if (cudaEvent_t end = end_of(count)) context_.wait(end);
}

}  // namespace caudal::cuda
