// perplexity: how well a model predicts a text, in windows that know nothing of each other. For comparing ways to
// compute the same weights, so the windows are plain: no token is added in front, and all but the first of each are
// predicted.
#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <iterator>

#include "common/command_line.h"
#include "common/model_files/model_files.h"
#include "kernels/factory/make_backend.h"
#include "worker/comm/local.h"
#include "worker/runner/runner.h"

namespace caudal::bench {
namespace {

struct Options {
  std::string model, text, write_ids;
  std::int32_t num_tokens = 20'000;
  std::int32_t window = 512;
  std::int32_t num_threads = 0;
  std::string max_isa;
  DTypeChoice dtype = DTypeChoice::kAuto;
  std::optional<StoredFormat> quantize;
};

template <typename T>
T or_exit(Result<T> result) {
  if (result) return std::move(result).value();
  fmt::print(stderr, "{}\n", result.error().message);
  std::exit(1);
}

std::vector<TokenId> read_tokens(const Options& options) {
  std::ifstream file(options.text);
  const std::string text((std::istreambuf_iterator<char>(file)), {});
  const std::unique_ptr<Tokenizer> tokenizer = or_exit(load_tokenizer(options.model));
  std::vector<TokenId> tokens = tokenizer->encode(text);
  const auto wanted = static_cast<std::size_t>(options.num_tokens / options.window * options.window);
  if (tokens.size() < wanted || wanted == 0) {
    fmt::print(stderr, "the text has {} tokens\n", tokens.size());
    std::exit(1);
  }
  tokens.resize(wanted);
  return tokens;
}

// -log of the probability of `token`.
double surprise(std::span<const float> logits, TokenId token) {
  const double most = *std::ranges::max_element(logits);
  double sum = 0.0;
  for (const float logit : logits) sum += std::exp(static_cast<double>(logit) - most);
  return most + std::log(sum) - static_cast<double>(logits[static_cast<std::size_t>(token)]);
}

double perplexity(Runner& runner, std::span<const TokenId> tokens, std::int32_t window) {
  const auto vocab_size = static_cast<std::size_t>(runner.info().vocab_size), size = static_cast<std::size_t>(window);
  double sum = 0.0;
  std::int64_t count = 0;
  for (std::size_t begin = 0; begin < tokens.size(); begin += size) {
    const std::span<const TokenId> now = tokens.subspan(begin, size);
    const std::vector<float> logits = runner.prompt_logits(now, window);
    for (std::size_t i = 0; i + 1 < size; ++i, ++count)
      sum += surprise({logits.data() + i * vocab_size, vocab_size}, now[i + 1]);
  }
  return std::exp(sum / static_cast<double>(count));
}

std::optional<int> parse(int argc, char** argv, Options& options) {
  CommandLine line("Perplexity of a model on a text.");
  line.add("--model", options.model, "Hugging Face model directory, or a GGUF file").required().existing_path();
  line.add("--text", options.text, "File").required().existing_file();
  line.add("--write-ids", options.write_ids, "File for the tokens that are used, one a line");
  line.add("--num-tokens", options.num_tokens, "Of the text, as many whole windows as fit").positive();
  line.add("--window", options.window, "Tokens that are computed together").within(2, 4096);
  line.add("--threads", options.num_threads, "0 = all cores");
  line.add("--max-isa", options.max_isa, "As caudal-worker has it");
  line.add_choice<DTypeChoice>("--dtype", options.dtype,
                               {{"auto", DTypeChoice::kAuto}, {"bf16", DTypeChoice::kBF16}, {"f32", DTypeChoice::kF32}},
                               "To compute in");
  line.add_choice<std::optional<StoredFormat>>(
      "--quantize", options.quantize,
      {{"none", std::nullopt}, {"q8_0", StoredFormat::kQ8_0}, {"q4_0", StoredFormat::kQ4_0}}, "Round while it loads");
  return line.parse_or_say(argc, argv);
}

int run(const Options& options) {
  log_init("perplexity", LogLevel::kWarning);
  const std::vector<TokenId> tokens = read_tokens(options);
  if (!options.write_ids.empty()) {
    std::ofstream ids(options.write_ids);
    for (const TokenId token : tokens) ids << token << '\n';
  }
  RunnerOptions runner_options;
  runner_options.dtype = options.dtype;
  runner_options.quantize = options.quantize;
  runner_options.max_num_sequences = runner_options.max_tokens_per_step = options.window;
  runner_options.max_context_tokens = options.window;
  runner_options.max_draft_tokens = 0;
  runner_options.kv.num_blocks = 2 * (options.window / kBlockSize + 1);
  runner_options.host_blocks.bytes = 0;
  const std::unique_ptr<Backend> backend =
      or_exit(make_backend({.num_threads = options.num_threads, .max_isa = options.max_isa}));
  const std::unique_ptr<Communicator> group = std::move(make_local_group(1).front());
  const std::unique_ptr<Runner> runner = or_exit(Runner::create(*backend, *group, options.model, runner_options));
  fmt::print("{:.6f}\n", perplexity(*runner, tokens, options.window));
  return 0;
}

}  // namespace
}  // namespace caudal::bench

int main(int argc, char** argv) {
  caudal::bench::Options options;
  if (const std::optional<int> code = caudal::bench::parse(argc, argv, options)) return *code;
  return caudal::bench::run(options);
}
