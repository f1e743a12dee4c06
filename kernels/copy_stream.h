// CopyStream: whole blocks copied between cache tensors, beside what the backend computes: on a GPU by a stream of its
// own, on CPUs by a thread. Copies are done in the order in which they were started.
// Made by a backend, which outlives it, as do the tensors; used by the thread that owns the backend.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/tensor.h"

namespace caudal {

// Of a block to be copied: rows of two cache tensors.
struct BlockPair {
  std::int32_t source = 0;
  std::int32_t destination = 0;
};

// The same blocks of one or more pairs of tensors [num_blocks, kBlockSize, num_kv_heads, head_dim], which differ in the
// number of blocks only.
struct BlockCopies {
  struct Tensors {
    Tensor from;
    Tensor to;
  };

  std::vector<BlockPair> pairs{};
  std::vector<Tensors> tensors{};
};

// Aborts for wrong shapes and for blocks that are not there.
void check_copy_blocks(std::span<const BlockPair> pairs, const Tensor& from, const Tensor& to);

class CopyStream {
 public:
  virtual ~CopyStream() = default;

  // The copies begin once everything is done that the backend was called for before.
  void start(BlockCopies copies) {
    for (const auto& [from, to] : copies.tensors) check_copy_blocks(copies.pairs, from, to);
    ++num_started_;
    queue(std::move(copies));
  }
  std::uint64_t num_started() const { return num_started_; }

  // The first so many are done.
  virtual std::uint64_t num_done() = 0;
  // What the backend is called for from now on begins when the first `count` are done.
  virtual void join(std::uint64_t count) = 0;
  // The caller waits until they are.
  virtual void wait(std::uint64_t count) = 0;

 protected:
  virtual void queue(BlockCopies copies) = 0;

 private:
  std::uint64_t num_started_ = 0;
};

}  // namespace caudal
