#include "kernels/ops.h"

namespace caudal {

void Ops::run(const Op& op) {
  std::visit(
      [this](const auto& o) {
        Expect expect(o.kName);
        o.check(expect);
        if constexpr (requires { o.compute_dtype(); })
          expect.that(computes_in(o.compute_dtype()), "this device does not compute in the dtype of the tensors");
        if constexpr (requires { o.kv_dtype(); })
          expect.that(takes_kv(o.kv_dtype(), o.compute_dtype()), "this device does not take a KV cache of this dtype");
      },
      op);
  compute(op);
}

}  // namespace caudal
