#include "worker/comm/host_exchange.h"

namespace caudal {

Result<std::unique_ptr<HostExchange>> HostExchange::create(Backend& backend, Communicator& group,
                                                           std::int64_t capacity) {
  Result<Buffer> memory = backend.allocate(device_bytes(group.size(), capacity));
  if (!memory) return memory.error();
  return std::unique_ptr<HostExchange>(new HostExchange(backend, group, std::move(memory).value()));
}

std::span<const std::int32_t> HostExchange::gather(std::span<const std::int32_t> mine) {
  const auto n = static_cast<std::int64_t>(mine.size());
  auto* device = static_cast<std::int32_t*>(memory_.data());
  const Tensor one(device, DType::kI32, {1, n}), all(device + n, DType::kI32, {1, group_.size() * n});
  CHECK(one.bytes() + all.bytes() <= memory_.bytes());
  backend_.copy_to_device(mine.data(), one);
  backend_.synchronize();
  group_.all_gather_columns(one, all);
  gathered_.resize(static_cast<std::size_t>(all.elements()));
  backend_.copy_to_host(all, gathered_.data());
  backend_.synchronize();
  return gathered_;
}

void HostExchange::broadcast(std::span<std::int32_t> numbers, int root) {
  const Tensor tensor = memory_.tensor(DType::kI32, {static_cast<std::int64_t>(numbers.size())});
  if (group_.rank() == root) backend_.copy_to_device(numbers.data(), tensor);
  backend_.synchronize();
  group_.broadcast(tensor, root);
  if (group_.rank() == root) return;
  backend_.copy_to_host(tensor, numbers.data());
  backend_.synchronize();
}

}  // namespace caudal
