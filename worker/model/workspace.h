// Workspace: one piece of device memory for the intermediate values of a model. A stack: a block takes tensors inside a
// scope and gives them back at the scope's end, so layers that run one after another use the same memory. What a step
// takes depends on its size alone, so a recorded step finds its tensors again. Owned by the model; step thread.
#pragma once

#include <algorithm>
#include <cstddef>
#include <initializer_list>
#include <memory>
#include <utility>

#include "kernels/backend.h"

namespace caudal {

class Workspace {
 public:
  static Result<std::unique_ptr<Workspace>> create(Backend& backend, std::size_t bytes) {
    Result<Buffer> memory = backend.allocate(bytes);
    if (!memory) return memory.error();
    return std::unique_ptr<Workspace>(new Workspace(std::move(memory).value()));
  }

  // What is taken during a scope's life is given back at its end. The values stay until the memory is taken again.
  class Scope {
   public:
    explicit Scope(Workspace& workspace) : workspace_(workspace), begin_(workspace.used_) {}
    ~Scope() { workspace_.used_ = begin_; }
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    Workspace& workspace_;
    std::size_t begin_;
  };

  // The values are undefined. More than the memory plan foresaw is a bug of the model.
  Tensor take(DType dtype, std::initializer_list<std::int64_t> shape) {
    const Tensor tensor(static_cast<std::byte*>(memory_.data()) + used_, dtype, shape);
    used_ += (tensor.bytes() + kAlignment - 1) / kAlignment * kAlignment;
    CHECK_MSG(used_ <= memory_.bytes(), "a step takes more workspace than planned");
    peak_ = std::max(peak_, used_);
    return tensor;
  }

  std::size_t peak_bytes() const { return peak_; }  // the most that was ever taken at a time

 private:
  static constexpr std::size_t kAlignment = 256;  // of every tensor; what vector and matrix units like best

  explicit Workspace(Buffer memory) : memory_(std::move(memory)) {}

  Buffer memory_;
  std::size_t used_ = 0;
  std::size_t peak_ = 0;
};

}  // namespace caudal
