// Named-dimension checks: the one place where ops check the tensors they are given. A wrong shape is a
// bug of the caller and aborts, naming op, tensor, dimension and both values.
//
//   Dim num_tokens("num_tokens"), hidden("hidden");
//   Expect("rms_norm").shape("x", x, {num_tokens, hidden}).shape("weight", weight, {hidden});
//   for (std::int64_t i = 0; i < *hidden; ++i) ...
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>

#include "kernels/tensor.h"

namespace caudal {

// A dimension that takes its value from the first tensor it is seen in; later ones must agree.
class Dim {
 public:
  explicit Dim(const char* name) : name_(name) {}
  Dim(const char* name, std::int64_t value) : name_(name), value_(value) {}
  std::int64_t operator*() const { return value_; }

 private:
  friend class Expect;
  const char* name_;
  std::int64_t value_ = -1;
};

// A list of these is a list of references.
struct DimRef {
  DimRef(Dim& of) : dim(of) {}  // implicit: dimensions are written as they are
  Dim& dim;
};

class Expect {
 public:
  explicit Expect(const char* op) : op_(op) {}

  Expect& shape(const char* name, const Tensor& tensor, std::initializer_list<DimRef> dims);
  Expect& dtype(const char* name, const Tensor& tensor, DType expected);
  Expect& contiguous(const char* name, const Tensor& tensor);
  Expect& that(bool condition, const char* message);

 private:
  [[noreturn]] void fail(const char* name, const Tensor& tensor, const std::string& message) const;

  const char* op_;
};

}  // namespace caudal
