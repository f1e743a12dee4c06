#include "worker/comm/refusal.h"

#include <mpi.h>

#include <chrono>
#include <cstdlib>
#include <map>
#include <set>
#include <thread>
#include <vector>

#include "common/log.h"

namespace caudal {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

constexpr int kRefusalTag = 1;           // of nothing else on MPI_COMM_WORLD
constexpr std::size_t kMaxBytes = 4000;  // below Open MPI's eager limits: sent without the receiver's help
constexpr auto kMeeting = 1s;            // for other ranks to come to the same end
constexpr auto kLeave = 5s;              // for the first rank to end the job
constexpr auto kPause = 1ms;

struct Refusal {
  std::string key;  // the same for the same refusal
  std::string message;
};

std::string to_bytes(const Error& error) {
  std::string bytes = (error.field.empty() ? error.message : error.field) + '\0' + error.message;
  bytes.resize(std::min(bytes.size(), kMaxBytes));
  return bytes;
}

Refusal from_bytes(const std::string& bytes) {
  const std::size_t end = bytes.find('\0');
  return {bytes.substr(0, end), end == std::string::npos ? bytes : bytes.substr(end + 1)};
}

// The refusals of a job, by rank.
class Meeting {
 public:
  explicit Meeting(const Error& error) : bytes_(to_bytes(error)) {
    MPI_Comm_rank(MPI_COMM_WORLD, &rank_);
    MPI_Comm_size(MPI_COMM_WORLD, &size_);
    refusals_[rank_] = from_bytes(bytes_);
    sends_.resize(size_, MPI_REQUEST_NULL);
    for (int to = 0; to < size_; ++to) {
      if (to == rank_) continue;
      MPI_Isend(bytes_.data(), static_cast<int>(bytes_.size()), MPI_BYTE, to, kRefusalTag, MPI_COMM_WORLD, &sends_[to]);
    }
  }

  void listen(Clock::duration limit) {
    const auto end = Clock::now() + limit;
    while (!complete() && Clock::now() < end) {
      if (!receive()) std::this_thread::sleep_for(kPause);
    }
  }

  bool complete() const { return std::ssize(refusals_) == size_; }
  bool is_first() const { return refusals_.begin()->first == rank_; }

  void say() const {
    std::set<std::string> said;
    for (const auto& [rank, refusal] : refusals_) {
      if (!said.insert(refusal.key).second) continue;
      LOG_ERROR("{}{}", rank == rank_ ? "" : fmt::format("worker {} says: ", rank), refusal.message);
    }
  }

 private:
  bool receive() {
    int found = 0;
    MPI_Status status;
    MPI_Iprobe(MPI_ANY_SOURCE, kRefusalTag, MPI_COMM_WORLD, &found, &status);
    if (found == 0) return false;
    int count = 0;
    MPI_Get_count(&status, MPI_BYTE, &count);
    std::string bytes(count, '\0');
    MPI_Recv(bytes.data(), count, MPI_BYTE, status.MPI_SOURCE, kRefusalTag, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
    refusals_[status.MPI_SOURCE] = from_bytes(bytes);
    return true;
  }

  const std::string bytes_;
  int rank_ = 0;
  int size_ = 1;
  std::vector<MPI_Request> sends_;  // never waited for: the process ends
  std::map<int, Refusal> refusals_;
};

}  // namespace

bool under_mpirun() { return std::getenv("OMPI_COMM_WORLD_SIZE") != nullptr; }

void refuse_to_start(const Error& error, int code) {
  Meeting meeting(error);
  meeting.listen(kMeeting);
  if (!meeting.is_first()) std::this_thread::sleep_for(kLeave);
  meeting.say();
  // Of all ways to end a job this one makes mpirun say least, as long as only one rank does it. mpirun --quiet says
  // nothing at all, and without mpirun there is nobody to end.
  if (under_mpirun()) MPI_Abort(MPI_COMM_WORLD, code);
  std::_Exit(code);
}

}  // namespace caudal
