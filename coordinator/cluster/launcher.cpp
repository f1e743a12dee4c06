#include "coordinator/cluster/launcher.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <optional>
#include <sstream>
#include <string_view>
#include <utility>

#include "common/check.h"
#include "common/log.h"
#include "common/wire.h"

namespace caudal {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

constexpr auto kFirstBackOff = 1s;
constexpr auto kLongestBackOff = 30s;
constexpr auto kSettled = 60s;       // a replica that ran this long starts over with the first back-off
constexpr auto kOrderlyExit = 4s;    // after the coordinator's Shutdown messages
constexpr auto kTerminateExit = 4s;  // after SIGTERM to mpirun

// Where mpirun and the ranks of this host keep their sockets and shared memory. A folder for each replica: several
// mpirun that start at once trip over a common one, and one that is killed leaves what is in it behind.
std::filesystem::path make_session_folder() {
  std::string pattern = "/dev/shm/caudal-mpi-XXXXXX";
  return mkdtemp(pattern.data()) == nullptr ? "" : pattern;
}

// One replica's mpirun, seen from the launcher child.
struct Job {
  std::vector<std::string> command;
  std::filesystem::path folder;  // empty: mpirun's own choice
  pid_t pid = -1;
  int pidfd = -1;
  Clock::time_point started{};
  Clock::time_point restart_at{};
  std::chrono::seconds back_off = kFirstBackOff;
  bool has_settled = false;  // it can run: it has
  bool has_refused = false;  // it ended because it cannot run, and has not settled since

  bool running() const { return pid > 0; }

  void start() {
    pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) execute();
    pidfd = static_cast<int>(syscall(SYS_pidfd_open, pid, 0));
    CHECK(pidfd >= 0);
    started = Clock::now();
  }

  [[noreturn]] void execute() const {
    setpgid(0, 0);
    // The launcher has one thread, so the signal comes when the launcher dies and not earlier.
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, nullptr);
    std::vector<char*> argv;
    argv.reserve(command.size() + 1);
    for (const std::string& argument : command) argv.push_back(const_cast<char*>(argument.c_str()));
    argv.push_back(nullptr);
    execvp(argv[0], argv.data());
    std::perror(argv[0]);
    _exit(kExitCannotStart);
  }

  // Reaps the ended mpirun; its exit code, 128 + signal when killed.
  int reap() {
    int status = 0;
    waitpid(pid, &status, 0);
    close(pidfd);
    pid = pidfd = -1;
    if (Clock::now() - started > kSettled) {
      back_off = kFirstBackOff;
      has_settled = true;
      has_refused = false;
    }
    empty_folder();
    restart_at = Clock::now() + back_off;
    back_off = std::min<std::chrono::seconds>(back_off * 2, kLongestBackOff);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }

  void empty_folder() const {
    if (folder.empty()) return;
    std::error_code gone;
    for (const auto& entry : std::filesystem::directory_iterator(folder, gone)) {
      std::error_code in_use;
      std::filesystem::remove_all(entry.path(), in_use);
    }
  }
};

// The launcher child's life: start, watch, restart, end.
class Supervisor {
 public:
  Supervisor(int command_fd, int fatal_fd) : command_fd_(command_fd), fatal_fd_(fatal_fd) {}

  void run(const LaunchConfig& config, const std::vector<std::string>& hosts) {
    const auto endpoint = read_endpoint();
    if (!endpoint) return;
    for (int i = 0; i < config.num_replicas; ++i) {
      const std::filesystem::path folder = hosts[i].empty() ? make_session_folder() : "";
      jobs_.push_back({.command = mpirun_command(config, *endpoint, i, hosts[i], folder), .folder = folder});
      jobs_.back().start();
    }
    while (!coordinator_gone_) watch();
    end_all();
    for (const Job& job : jobs_) {
      std::error_code gone;
      if (!job.folder.empty()) std::filesystem::remove_all(job.folder, gone);
    }
  }

 private:
  std::optional<std::string> read_endpoint() {
    std::string line;
    for (char c = 0; c != '\n';) {
      if (read(command_fd_, &c, 1) != 1) return std::nullopt;
      if (c != '\n') line += c;
    }
    return line;
  }

  // Waits for an mpirun to end, a restart to come due, or the coordinator to go.
  void watch() {
    auto timeout = 3600'000ms;
    for (Job& job : jobs_) {
      if (job.running()) continue;
      const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(job.restart_at - Clock::now());
      if (left <= 0ms) {
        job.start();
      } else {
        timeout = std::min(timeout, left + 1ms);
      }
    }
    wait_for_exits(timeout, true);
  }

  void wait_for_exits(std::chrono::milliseconds timeout, bool watch_coordinator) {
    std::vector<pollfd> fds;
    std::vector<Job*> watched;
    for (Job& job : jobs_) {
      if (!job.running()) continue;
      fds.push_back({job.pidfd, POLLIN, 0});
      watched.push_back(&job);
    }
    if (watch_coordinator) fds.push_back({command_fd_, POLLIN, 0});
    if (poll(fds.data(), fds.size(), static_cast<int>(timeout.count())) <= 0) return;
    if (watch_coordinator && fds.back().revents != 0) coordinator_gone_ = true;
    for (std::size_t i = 0; i < watched.size(); ++i) {
      if (fds[i].revents != 0) on_exit(*watched[i], watch_coordinator);
    }
  }

  void on_exit(Job& job, bool unexpected) {
    const auto replica = &job - jobs_.data();
    const int code = job.reap();
    if (!unexpected || coordinator_gone_) return;
    if ((code == kExitCannotStart || code == kExitRefused) && !job.has_settled) job.has_refused = true;
    // As long as one replica runs, or may, the others are tried again: what stops them may pass.
    if (std::ranges::all_of(jobs_, &Job::has_refused)) return give_up(replica, code);
    LOG_WARNING("replica {} {} with code {}; starting it again in {} s", replica,
                job.has_refused ? "cannot run: it ended" : "ended", code,
                std::chrono::duration_cast<std::chrono::seconds>(job.restart_at - Clock::now()).count() + 1);
  }

  void give_up(std::ptrdiff_t replica, int code) {
    const std::string reason = fmt::format("replica {} cannot run (exit code {})", replica, code);
    // A short line into an empty pipe; the coordinator then ends and with it this process.
    if (write(fatal_fd_, reason.data(), reason.size()) < 0) LOG_ERROR("{}", reason);
    for (Job& job : jobs_) job.restart_at = Clock::time_point::max();
  }

  bool any_running() const { return std::ranges::any_of(jobs_, &Job::running); }

  void wait_until_gone(Clock::duration limit) {
    const auto end = Clock::now() + limit;
    while (any_running() && Clock::now() < end) {
      wait_for_exits(std::chrono::duration_cast<std::chrono::milliseconds>(end - Clock::now()) + 1ms, false);
    }
  }

  void signal_all(int signal) {
    for (const Job& job : jobs_) {
      if (job.running()) kill(job.pid, signal);
    }
  }

  void end_all() {
    wait_until_gone(kOrderlyExit);
    signal_all(SIGTERM);
    wait_until_gone(kTerminateExit);
    for (const Job& job : jobs_) {
      if (job.running()) kill(-job.pid, SIGKILL);
    }
    wait_until_gone(kTerminateExit);
  }

  int command_fd_;
  int fatal_fd_;
  bool coordinator_gone_ = false;
  std::vector<Job> jobs_;
};

struct Host {
  std::string name;
  int slots = 1;
};

std::vector<Host> parse_hostfile(const std::string& text) {
  std::vector<Host> hosts;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line.substr(0, line.find('#')));
    Host host;
    if (!(words >> host.name)) continue;
    for (std::string word; words >> word;) {
      constexpr std::string_view kSlots = "slots=";
      if (!word.starts_with(kSlots)) continue;
      host.slots = 0;  // also where it is no number
      std::from_chars(word.data() + kSlots.size(), word.data() + word.size(), host.slots);
    }
    hosts.push_back(std::move(host));
  }
  return hosts;
}

}  // namespace

Result<std::vector<std::string>> assign_hosts(const std::string& hostfile_text, int num_replicas,
                                              int tensor_parallel_size) {
  std::vector<Host> hosts = parse_hostfile(hostfile_text);
  auto host = hosts.begin();
  std::vector<std::string> assigned;
  for (int replica = 0; replica < num_replicas; ++replica) {
    std::string list;
    for (int left = tensor_parallel_size; left > 0;) {
      while (host != hosts.end() && host->slots <= 0) ++host;
      if (host == hosts.end()) {
        return Error{fmt::format("has too few slots for {} replicas of {} ranks", num_replicas, tensor_parallel_size),
                     "hostfile"};
      }
      const int used = std::min(left, host->slots);
      list += fmt::format("{}{}:{}", list.empty() ? "" : ",", host->name, used);
      host->slots -= used;
      left -= used;
    }
    assigned.push_back(std::move(list));
  }
  return assigned;
}

Result<Launcher> Launcher::fork_child(const LaunchConfig& config) {
  if (const Result<void> checked = check_operator_args(config); !checked) return checked.error();
  std::vector<std::string> hosts(config.num_replicas);
  if (!config.hostfile.empty()) {
    std::ifstream file(config.hostfile);
    if (!file) return Error{"cannot be read", "hostfile"};
    const std::string text(std::istreambuf_iterator<char>(file), {});
    auto assigned = assign_hosts(text, config.num_replicas, config.tensor_parallel_size);
    if (!assigned.ok()) return assigned.error();
    hosts = std::move(assigned).value();
  }
  std::array<int, 2> command{};
  std::array<int, 2> fatal{};
  if (pipe2(command.data(), O_CLOEXEC) != 0 || pipe2(fatal.data(), O_CLOEXEC) != 0) {
    return Error{"no file descriptors left", "replicas"};
  }
  const pid_t child = fork();
  if (child < 0) return Error{"cannot fork", "replicas"};
  if (child == 0) {
    setsid();  // the terminal's Ctrl-C goes to the coordinator, which ends us in order
    CHECK(signal(SIGPIPE, SIG_IGN) != SIG_ERR);
    close(command[1]);
    close(fatal[0]);
    Supervisor(command[0], fatal[1]).run(config, hosts);
    _exit(0);
  }
  close(command[0]);
  close(fatal[1]);
  return Launcher(child, command[1], fatal[0]);
}

Launcher::Launcher(Launcher&& other) noexcept
    : child_(std::exchange(other.child_, -1)),
      command_fd_(std::exchange(other.command_fd_, -1)),
      fatal_fd_(std::exchange(other.fatal_fd_, -1)) {}

Launcher::~Launcher() {
  if (child_ < 0) return;
  close(command_fd_);
  close(fatal_fd_);
  waitpid(child_, nullptr, 0);
}

void Launcher::start(const std::string& endpoint) {
  const std::string line = endpoint + "\n";
  CHECK(write(command_fd_, line.data(), line.size()) == static_cast<ssize_t>(line.size()));
}

std::string Launcher::read_fatal() const {
  std::array<char, 256> text{};
  const ssize_t size = read(fatal_fd_, text.data(), text.size());
  return size > 0 ? std::string(text.data(), size) : "the launcher ended";
}

}  // namespace caudal
