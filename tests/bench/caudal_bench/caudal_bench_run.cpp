#include <fmt/format.h>

#include <algorithm>
#include <cstdio>

#include "tests/bench/caudal_bench/caudal_bench_client.h"

namespace caudal::bench {

Run::Run(const Load& load) : load_(load), records_(load.requests.size()) {
  for (std::size_t i = 0; i < records_.size(); ++i) {
    records_[i].num_prompt_tokens = load.requests[i].num_prompt_tokens;
    records_[i].due_s = load.requests[i].arrival_s;
  }
}

double Run::now_s() const { return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count(); }

std::optional<std::size_t> Run::take() {
  if (idle_s(1.0) > 0.0) return std::nullopt;
  return num_taken_++;
}

double Run::idle_s(double limit_s) const {
  const bool full = load_.max_concurrency > 0 && num_taken_ - num_finished_ >= std::size_t(load_.max_concurrency);
  if (full || num_taken_ == records_.size()) return limit_s;
  return std::clamp(records_[num_taken_].due_s - now_s(), 0.0, limit_s);
}

void Run::finish(std::size_t index, std::string error) {
  Record& record = records_[index];
  record.finished = true;
  record.error = std::move(error);
  if (!record.error.empty()) record.end_s = now_s();
  ++num_finished_;
}

bool Run::over() const {
  return num_finished_ == records_.size() || (load_.interrupted != nullptr && *load_.interrupted);
}

void Run::show_progress() const {
  if (!load_.show_progress) return;
  constexpr std::size_t kWidth = 30;
  const double elapsed_s = now_s();
  const std::size_t filled = records_.empty() ? kWidth : kWidth * num_finished_ / records_.size();
  fmt::print(stderr, "\r{:>3}% |{:#<{}}{:-<{}}| {}/{} [{:.0f}s, {:.2f} req/s] ", 100 * filled / kWidth, "", filled, "",
             kWidth - filled, num_finished_, records_.size(), elapsed_s,
             static_cast<double>(num_finished_) / std::max(elapsed_s, 1e-3));
  if (over()) fmt::print(stderr, "\n");
}

std::vector<std::int32_t> Run::prompt(std::size_t index) const {
  return make_prompt(load_.seed, index, records_[index].num_prompt_tokens, load_.vocab_size);
}

Outcome Run::outcome() && {
  const double duration_s = now_s();
  show_progress();
  return {std::move(records_), duration_s};
}

}  // namespace caudal::bench
