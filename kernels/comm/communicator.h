// Communicator: a tensor-parallel group. Collectives run in call order on the caller's step thread and every rank of
// the group must make the same calls. Sums are taken in rank order, so a result does not depend on message size or
// timing. Between hosts: worker/comm (mpi, and local for the threads of a test). Between devices:
// Backend::make_communicator.
#pragma once

#include <memory>

#include "common/result.h"
#include "kernels/comm/host_exchange.h"
#include "kernels/tensor.h"

namespace caudal {

struct CommOptions {
  bool peer_memory = true;    // short all-reduces between the GPUs of a host without NCCL
  bool ordered_sums = false;  // of long all-reduces too: in the order of ranks, whatever the size of a message
};

class Communicator {
 public:
  virtual ~Communicator() = default;

  virtual int rank() const = 0;
  virtual int size() const = 0;

  // Whether calls only queue work on the backend's stream, so that they can be part of a recording.
  virtual bool queues() const { return false; }

  // Between the ranks' hosts: it waits for no device, and no collective for it.
  virtual HostExchange& host() = 0;

  // tensor (f32, bf16 or f16, contiguous) becomes the sum over ranks, added in f32 in rank order.
  virtual void all_reduce(const Tensor& tensor) = 0;

  // input [rows, columns] of each rank side by side: output [rows, size * columns], rank r's part at
  // columns [r * columns, (r + 1) * columns).
  virtual void all_gather_columns(const Tensor& input, const Tensor& output) = 0;

  // tensor of rank `root` to all.
  virtual void broadcast(const Tensor& tensor, int root) = 0;
};

}  // namespace caudal
