// caudal-worker: joins its MPI group, loads its shard, registers with the coordinator, computes. The main
// thread is the step thread, because MPI is only called from there; the link thread is the server's.
#include <fmt/core.h>
#include <mpi.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <csignal>
#include <cstdlib>
#include <random>

#include "kernels/factory/make_backend.h"
#include "worker/comm/make.h"
#include "worker/comm/refusal.h"
#include "worker/process/options.h"
#include "worker/process/plan_report.h"

namespace caudal {
namespace {

constexpr unsigned kFinalizeSeconds = 5;  // for the other ranks to end as well

std::atomic<bool> g_stop{false};
static_assert(std::atomic<bool>::is_always_lock_free, "set by a signal handler");

// Where this rank stands in the job.
struct Job {
  int world_rank = 0;
  int world_size = 1;
  int local_rank = 0;  // among the job's ranks on this host
  int local_size = 1;
  MPI_Comm replica = MPI_COMM_NULL;  // tensor_parallel_size neighbouring ranks
};

int cannot_start() { return std::getenv(kLaunchedVariable) != nullptr ? kExitCannotStart : 1; }

template <typename T>
T or_give_up(Result<T> result) {
  if (!result) refuse_to_start(result.error(), cannot_start());
  return std::move(result).value();
}

void handle_signals() {
  struct sigaction action {};
  action.sa_handler = [](int) { g_stop = true; };
  sigaction(SIGTERM, &action, nullptr);
  sigaction(SIGINT, &action, nullptr);
  // A rank ends with its mpirun, also when mpirun is killed.
  if (under_mpirun()) prctl(PR_SET_PDEATHSIG, SIGTERM);
}

Job join_job(const WorkerOptions& options) {
  Job job;
  MPI_Comm_rank(MPI_COMM_WORLD, &job.world_rank);
  MPI_Comm_size(MPI_COMM_WORLD, &job.world_size);
  if (job.world_size % options.tensor_parallel_size != 0) {
    refuse_to_start({fmt::format("--tensor-parallel {} does not divide the {} ranks that mpirun started",
                                 options.tensor_parallel_size, job.world_size),
                     "tensor-parallel"},
                    cannot_start());
  }
  MPI_Comm host = MPI_COMM_NULL;
  MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, job.world_rank, MPI_INFO_NULL, &host);
  MPI_Comm_rank(host, &job.local_rank);
  MPI_Comm_size(host, &job.local_size);
  MPI_Comm_free(&host);
  MPI_Comm_split(MPI_COMM_WORLD, job.world_rank / options.tensor_parallel_size, job.world_rank, &job.replica);
  return job;
}

// A random key, made by rank 0 of the replica. It identifies the replica as long as its processes live.
std::string share_replica_key(MPI_Comm replica, int rank) {
  std::array<std::uint32_t, 4> key{};
  std::random_device random;
  if (rank == 0)
    for (std::uint32_t& word : key) word = random();
  MPI_Bcast(key.data(), static_cast<int>(sizeof key), MPI_BYTE, 0, replica);
  return fmt::format("{:08x}{:08x}{:08x}{:08x}", key[0], key[1], key[2], key[3]);
}

std::unique_ptr<Socket> connect(const WorkerOptions& options) {
  SocketOptions socket;
  socket.linger = std::chrono::milliseconds(500);  // for a last Failed to be sent
  if (!options.curve_keys.empty()) socket.curve = or_give_up(load_curve_keys(options.curve_keys));
  return or_give_up(Socket::connect_dealer(options.coordinator, socket));
}

BackendOptions backend_options(const WorkerOptions& options, const RankCores& cores, int gpu) {
  BackendOptions backend;
  backend.device = options.device;
  backend.num_threads = cores.num_threads;
  backend.pinned_cores = cores.pinned;
  backend.gpu = gpu;
  backend.max_isa = options.max_isa;
  backend.tf32 = options.tf32;
  backend.deterministic = options.deterministic;
  return backend;
}

// Ranks that share memory divide it.
void divide_memory(WorkerOptions& options, int ranks_on_host, bool is_host) {
  const bool shared = is_host || options.gpu >= 0;  // all ranks of a host use one device
  options.runner.host_blocks.ranks_on_host = std::max(ranks_on_host, options.runner.kv.ranks_on_host);
  options.runner.kv.ranks_on_device = shared ? options.runner.host_blocks.ranks_on_host : 1;
}

// A GPU whose memory was stated need not be there.
Result<std::unique_ptr<Backend>> make_device(const WorkerOptions& options, const RankCores& cores, int gpu) {
  const BackendOptions chosen = backend_options(options, cores, gpu);
  return options.runner.assumed.device_bytes > 0 ? make_backend_to_plan(chosen) : make_backend(chosen);
}

// Without mpirun one process plans for all ranks. Those of GPUs that are there must meet, as when they serve.
bool plans_alone(const WorkerOptions& options) {
  return options.plan_only && !under_mpirun() && (options.device == "cpu" || options.runner.assumed.device_bytes > 0);
}

// None of the ranks is pinned.
int plan_all_ranks(WorkerOptions options) {
  const int ranks = options.tensor_parallel_size;
  options.cores.pin = false;
  divide_memory(options, ranks, options.device == "cpu");
  const auto make = [&](int rank) {
    const int gpu = options.gpu >= 0 ? options.gpu : rank;
    return make_device(options, choose_rank_cores(options.cores, rank, ranks), gpu);
  };
  fmt::print("{}", or_give_up(report_plan_of_all(ranks, make, options.model_dir, options.runner)));
  return 0;
}

int serve(WorkerOptions options, const Job& job) {
  std::unique_ptr<Socket> socket = options.plan_only ? nullptr : connect(options);
  const RankCores cores = choose_rank_cores(options.cores, job.local_rank, job.local_size);
  options.comm.ordered_sums = options.deterministic;
  const int gpu = options.gpu >= 0 ? options.gpu : job.local_rank;
  const std::unique_ptr<Backend> backend = or_give_up(make_device(options, cores, gpu));
  const std::unique_ptr<Communicator> group = or_give_up(make_communicator(*backend, job.replica, options.comm));
  divide_memory(options, job.local_size, backend->traits().is_host);
  if (options.plan_only) {
    const std::string report = or_give_up(report_plan(*backend, *group, options.model_dir, options.runner));
    if (group->rank() == 0) fmt::print("{}", report);
    return 0;
  }
  if (!cores.pinned.empty()) options.runner.begin_thread = use_all_cores;
  const std::unique_ptr<Runner> runner =
      or_give_up(Runner::create(*backend, *group, options.model_dir, options.runner));

  runner->expect_grammars();

  StepQueues queues;
  StepLoop loop(*group, *runner, queues);
  Register registration;
  registration.replica_key = share_replica_key(job.replica, group->rank());
  registration.rank = static_cast<std::uint32_t>(group->rank());
  registration.info = runner->info();
  registration.build_version = CAUDAL_VERSION;
  Server server(std::move(socket), std::move(registration), options.timing, queues, g_stop);
  server.start([pinned = !cores.pinned.empty()] {
    if (pinned) use_all_cores();
  });
  const int code = server.finish(loop.run());
  if (!server.refusal().empty()) refuse_to_start({server.refusal(), ""}, code);
  if (backend->traits().queues)
    LOG_INFO("{} steps were submitted while the device was still at the one before", loop.num_overlaps());
  return code;
}

}  // namespace
}  // namespace caudal

int main(int argc, char** argv) {
  caudal::WorkerOptions options;
  const caudal::Result<std::optional<std::string>> parsed = caudal::parse_worker_options(argc, argv, options);
  if (parsed && parsed.value()) {
    fmt::print("{}", *parsed.value());
    return 0;
  }
  if (!parsed && !caudal::under_mpirun()) {
    fmt::print(stderr, "{}\nRun with --help for more information.\n", parsed.error().message);
    return caudal::cannot_start();
  }
  // Waiting ranks poll. They must yield, since they may share cores with each other or with the coordinator.
  setenv("OMPI_MCA_mpi_yield_when_idle", "1", /*overwrite=*/0);
  int provided = MPI_THREAD_SINGLE;
  MPI_Init_thread(&argc, &argv, MPI_THREAD_FUNNELED, &provided);
  int rank = 0;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  caudal::log_init(fmt::format("worker {}", rank), options.log_level);
  if (!parsed) caudal::refuse_to_start(parsed.error(), caudal::cannot_start());
  caudal::handle_signals();  // after MPI, which may set its own
  const int code = caudal::plans_alone(options) ? caudal::plan_all_ranks(options)
                                                : caudal::serve(options, caudal::join_job(options));
  if (code != 0) std::_Exit(code);  // mpirun ends the other ranks and passes the code on
  alarm(caudal::kFinalizeSeconds);
  MPI_Finalize();
  return 0;
}
