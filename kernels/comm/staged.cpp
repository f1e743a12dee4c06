#include "kernels/comm/staged.h"

#include <vector>

namespace caudal {
namespace {

class StagedCommunicator final : public Communicator {
 public:
  StagedCommunicator(Backend& backend, std::unique_ptr<Communicator> host)
      : backend_(backend), host_(std::move(host)) {}

  int rank() const override { return host_->rank(); }
  int size() const override { return host_->size(); }
  HostExchange& host() override { return host_->host(); }

  void all_reduce(const Tensor& tensor) override {
    if (size() == 1 || tensor.elements() == 0) return;
    const Tensor staged = fetch(tensor, input_);
    host_->all_reduce(staged);
    put(staged, tensor);
  }

  void all_gather_columns(const Tensor& input, const Tensor& output) override {
    if (output.elements() == 0) return;
    const Tensor mine = fetch(input, input_), all = host_tensor(output, output_);
    host_->all_gather_columns(mine, all);
    put(all, output);
  }

  void broadcast(const Tensor& tensor, int root) override {
    if (size() == 1) return;
    const Tensor staged = rank() == root ? fetch(tensor, input_) : host_tensor(tensor, input_);
    host_->broadcast(staged, root);
    if (rank() != root) put(staged, tensor);
  }

 private:
  static Tensor host_tensor(const Tensor& like, std::vector<std::byte>& memory) {
    CHECK(like.contiguous());
    memory.resize(like.bytes());
    return like.rank() == 1 ? Tensor(memory.data(), like.dtype(), {like.dim(0)})
                            : Tensor(memory.data(), like.dtype(), {like.dim(0), like.row_elements()});
  }
  Tensor fetch(const Tensor& tensor, std::vector<std::byte>& memory) {
    const Tensor staged = host_tensor(tensor, memory);
    backend_.copy_to_host(tensor, staged.data());
    backend_.synchronize();
    return staged;
  }
  void put(const Tensor& staged, const Tensor& tensor) {
    backend_.copy_to_device(staged.data(), tensor);
    backend_.synchronize();  // the next call fills the memory anew
  }

  Backend& backend_;
  std::unique_ptr<Communicator> host_;
  std::vector<std::byte> input_, output_;  // kept between calls
};

}  // namespace

std::unique_ptr<Communicator> make_staged_communicator(Backend& backend, std::unique_ptr<Communicator> host) {
  return std::make_unique<StagedCommunicator>(backend, std::move(host));
}

}  // namespace caudal
