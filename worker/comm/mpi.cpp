// all_reduce is not MPI_Allreduce: that one may sum in an order that depends on message size and group.
// Short messages go to everybody and everybody sums them all (one exchange: decode steps wait for latency);
// long ones are cut into a piece per rank, summed once and sent around (two exchanges, each moves a piece).
#include "worker/comm/mpi.h"

#include <vector>

#include "worker/comm/mpi_exchange.h"
#include "worker/comm/ordered_sum.h"

namespace caudal {
namespace {

// Cutting pays once moving the tensor costs more than a second exchange, a few microseconds on one host.
// mpi_check --times (tests/worker/comm) prints what a machine does.
constexpr std::size_t kShortBytes = 32'768;

class MpiCommunicator final : public Communicator {
 public:
  MpiCommunicator(MPI_Comm group, std::chrono::milliseconds deadline) : group_(group), exchange_(group, deadline) {
    MPI_Comm_rank(group_, &rank_);
    MPI_Comm_size(group_, &size_);
  }

  int rank() const override { return rank_; }
  int size() const override { return size_; }
  HostExchange& host() override { return exchange_; }

  void all_reduce(const Tensor& tensor) override {
    CHECK(tensor.contiguous());
    if (size_ == 1 || tensor.bytes() == 0) return;
    received_.resize(tensor.bytes() * static_cast<std::size_t>(size_));
    if (tensor.bytes() <= kShortBytes) {
      reduce_short(tensor);
    } else {
      reduce_long(tensor);
    }
  }

  void all_gather_columns(const Tensor& input, const Tensor& output) override {
    CHECK(input.contiguous() && output.contiguous() && output.dim(1) == size_ * input.dim(1));
    CHECK(output.dim(0) == input.dim(0) && output.dtype() == input.dtype());
    if (input.bytes() == 0) return;
    received_.resize(output.bytes());
    const int bytes = as_count(input.bytes());
    MPI_Allgather(input.data(), bytes, MPI_BYTE, received_.data(), bytes, MPI_BYTE, group_);
    const std::size_t rows = input.dim(0);
    place_columns(received_.data(), size_, rows, input.bytes() / rows, output.as<std::byte>());
  }

  void broadcast(const Tensor& tensor, int root) override {
    CHECK(tensor.contiguous());
    MPI_Bcast(tensor.data(), as_count(tensor.bytes()), MPI_BYTE, root, group_);
  }

 private:
  static int as_count(std::size_t bytes) {
    CHECK_MSG(bytes <= 0x7FFFFFFF, "one MPI message holds at most 2 GiB");
    return static_cast<int>(bytes);
  }

  void reduce_short(const Tensor& tensor) {
    const int bytes = as_count(tensor.bytes());
    MPI_Allgather(tensor.data(), bytes, MPI_BYTE, received_.data(), bytes, MPI_BYTE, group_);
    sum(tensor.dtype(), tensor.bytes(), static_cast<std::size_t>(tensor.elements()), tensor.as<std::byte>());
  }

  void reduce_long(const Tensor& tensor) {
    const std::size_t element = dtype_bytes(tensor.dtype());
    const std::size_t n = tensor.elements();
    const Piece mine = piece_of(n, rank_, size_);
    const std::size_t mine_bytes = (mine.end - mine.begin) * element;
    piece_bytes_.clear();
    piece_offsets_.clear();
    for (int r = 0; r < size_; ++r) {
      const Piece piece = piece_of(n, r, size_);
      piece_bytes_.push_back(as_count((piece.end - piece.begin) * element));
      piece_offsets_.push_back(as_count(piece.begin * element));
    }
    mine_counts_.assign(size_, as_count(mine_bytes));
    mine_offsets_.clear();
    for (int r = 0; r < size_; ++r) mine_offsets_.push_back(as_count(static_cast<std::size_t>(r) * mine_bytes));

    MPI_Alltoallv(tensor.data(), piece_bytes_.data(), piece_offsets_.data(), MPI_BYTE, received_.data(),
                  mine_counts_.data(), mine_offsets_.data(), MPI_BYTE, group_);
    sum(tensor.dtype(), mine_bytes, mine.end - mine.begin, tensor.as<std::byte>() + mine.begin * element);
    MPI_Allgatherv(MPI_IN_PLACE, 0, MPI_DATATYPE_NULL, tensor.data(), piece_bytes_.data(), piece_offsets_.data(),
                   MPI_BYTE, group_);
  }

  // received_ holds one part of part_bytes per rank.
  void sum(DType dtype, std::size_t part_bytes, std::size_t n, std::byte* out) {
    parts_.clear();
    for (std::size_t r = 0; r < static_cast<std::size_t>(size_); ++r)
      parts_.push_back(received_.data() + r * part_bytes);
    ordered_sum(dtype, parts_, n, out);
  }

  MPI_Comm group_;
  MpiExchange exchange_;
  int rank_ = 0;
  int size_ = 1;
  std::vector<std::byte> received_;               // kept between calls, as all below
  std::vector<const std::byte*> parts_;           // [size]
  std::vector<int> piece_bytes_, piece_offsets_;  // [size], of every rank's piece in the tensor
  std::vector<int> mine_counts_, mine_offsets_;   // [size], of my piece from every rank in received_
};

}  // namespace

std::unique_ptr<Communicator> make_mpi_communicator(MPI_Comm group, std::chrono::milliseconds deadline) {
  return std::make_unique<MpiCommunicator>(group, deadline);
}

}  // namespace caudal
