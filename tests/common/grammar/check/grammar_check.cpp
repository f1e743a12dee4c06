// Holds the engine of grammars against schemas with instances:
//   grammar_check --tokenizer FILE --schemas DIRECTORY|ARCHIVE [--json] [--by-file] [--failures]
// Every schema is compiled; every instance of one that is accepted goes through a matcher token by token, with a mask
// before each token. Exits 1 if a valid instance is stopped, an invalid one is not, or a mask and the matcher disagree.
#include <fmt/format.h>

#include <algorithm>
#include <boost/json.hpp>
#include <ctime>
#include <map>

#include "common/command_line.h"
#include "common/grammar/matcher.h"
#include "tests/common/grammar/check/schema_files.h"
#include "tests/common/grammar/check/tokenizer_file.h"

namespace caudal {
namespace {

// Of this thread on its CPU, so that others on the machine do not count.
double cpu_us() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) * 1e6 + static_cast<double>(now.tv_nsec) / 1e3;
}

struct Tally {
  std::size_t schemas = 0;
  std::size_t accepted = 0;
  std::size_t valid = 0;
  std::size_t valid_passed = 0;
  std::size_t invalid = 0;
  std::size_t invalid_stopped = 0;
  std::size_t wrong_masks = 0;

  bool is_right() const { return valid == valid_passed && invalid == invalid_stopped && wrong_masks == 0; }
  void add(const Tally& other) {
    schemas += other.schemas;
    accepted += other.accepted;
    valid += other.valid;
    valid_passed += other.valid_passed;
    invalid += other.invalid;
    invalid_stopped += other.invalid_stopped;
    wrong_masks += other.wrong_masks;
  }
};

struct Times {
  std::vector<double> compile_us;
  std::vector<double> mask_us;

  static double quantile(std::vector<double>& values, double q) {
    if (values.empty()) return 0;
    const auto at = values.begin() + static_cast<std::ptrdiff_t>(q * static_cast<double>(values.size() - 1));
    std::ranges::nth_element(values, at);
    return *at;
  }
  static double mean(const std::vector<double>& values) {
    double sum = 0;
    for (const double value : values) sum += value;
    return values.empty() ? 0 : sum / static_cast<double>(values.size());
  }
};

class Checker {
 public:
  Checker(const Tokenizer& tokenizer, bool prints_failures)
      : tokenizer_(tokenizer),
        vocabulary_(std::make_shared<const grammar::TokenVocabulary>(grammar::TokenVocabulary::of(tokenizer, {}))),
        prints_failures_(prints_failures) {}

  void check(const SchemaCase& schema) {
    Tally tally;
    tally.schemas = 1;
    const double begin = cpu_us();
    const auto grammar = grammar::Grammar::compile(grammar::GrammarKind::kJsonSchema, schema.schema);
    times.compile_us.push_back(cpu_us() - begin);
    if (grammar) {
      tally.accepted = 1;
      const grammar::Matcher fresh(grammar.value(), vocabulary_);
      for (std::size_t i = 0; i < schema.instances.size(); ++i) check_instance(fresh, schema, i, tally);
    } else if (grammar.error().message.ends_with("no value satisfies it")) {
      tally.accepted = 1;  // and every instance is stopped
      for (const SchemaInstance& instance : schema.instances) ++(instance.is_valid ? tally.valid : tally.invalid);
      tally.invalid_stopped = tally.invalid;
    } else {
      const std::string& message = grammar.error().message;
      ++refusals[message.substr(message.find(": ") == std::string::npos ? 0 : message.find(": ") + 2)];
      if (prints_failures_) fmt::print("refused: {}: {}\n", schema.file, message);
    }
    by_file[schema.file].add(tally);
    total.add(tally);
  }

  std::size_t vocabulary_size() const { return vocabulary_->size(); }

  Tally total;
  std::map<std::string, Tally> by_file;
  std::map<std::string, std::size_t> refusals;
  Times times;

 private:
  void check_instance(grammar::Matcher matcher, const SchemaCase& schema, std::size_t index, Tally& tally) {
    const SchemaInstance& instance = schema.instances[index];
    std::vector<std::uint64_t> mask(vocabulary_->mask_words());
    std::string read;
    bool passes = true;
    for (const TokenId token :
         tokenizer_.encode(instance.text, {.add_special_tokens = false, .parse_special = false})) {
      const double begin = cpu_us();
      matcher.fill_mask(mask);
      const double us = cpu_us() - begin;
      if (instance.is_valid) times.mask_us.push_back(us);
      if (us > 1000 && prints_failures_) fmt::print("slow: {}#{}: {:.0f} us after {}\n", schema.file, index, us, read);
      const bool in_mask = (mask[static_cast<std::size_t>(token) / 64] >> (token % 64) & 1) != 0;
      passes = matcher.accept(token);
      if (passes != in_mask) {
        ++tally.wrong_masks;
        if (prints_failures_)
          fmt::print("wrong mask: {}#{} at {}|{}\n", schema.file, index, read, vocabulary_->bytes(token));
      }
      if (!passes) break;
      read += vocabulary_->bytes(token);
    }
    passes = passes && matcher.is_complete();
    (instance.is_valid ? tally.valid : tally.invalid) += 1;
    if (passes && instance.is_valid) ++tally.valid_passed;
    if (!passes && !instance.is_valid) ++tally.invalid_stopped;
    if (passes != instance.is_valid && prints_failures_)
      fmt::print("{}: {}#{} at {}\n", passes ? "not stopped" : "stopped", schema.file, index, read);
  }

  const Tokenizer& tokenizer_;
  std::shared_ptr<const grammar::TokenVocabulary> vocabulary_;
  bool prints_failures_;
};

void print_table(Checker& checker) {
  const Tally& t = checker.total;
  fmt::print("{:<28} {:>9}\n", "vocabulary", checker.vocabulary_size());
  fmt::print("{:<28} {:>9} of {} ({:.1f} %)\n", "schemas accepted", t.accepted, t.schemas,
             100.0 * static_cast<double>(t.accepted) / static_cast<double>(t.schemas));
  fmt::print("{:<28} {:>9} of {}\n", "valid instances passed", t.valid_passed, t.valid);
  fmt::print("{:<28} {:>9} of {}\n", "invalid instances stopped", t.invalid_stopped, t.invalid);
  fmt::print("{:<28} {:>9}\n", "wrong masks", t.wrong_masks);
  Times& times = checker.times;
  fmt::print("{:<28} {:>9.1f} mean {:>9.1f} p50 {:>9.1f} p99 {:>9.1f} max\n", "mask, us of CPU",
             Times::mean(times.mask_us), Times::quantile(times.mask_us, 0.5), Times::quantile(times.mask_us, 0.99),
             Times::quantile(times.mask_us, 1));
  fmt::print("{:<28} {:>9.1f} mean {:>9.1f} p50 {:>9.1f} p99 {:>9.1f} max\n", "compile, us of CPU",
             Times::mean(times.compile_us), Times::quantile(times.compile_us, 0.5),
             Times::quantile(times.compile_us, 0.99), Times::quantile(times.compile_us, 1));
  for (const auto& [message, count] : checker.refusals) fmt::print("  refused {:>5}: {}\n", count, message);
}

void print_json(Checker& checker) {
  const Tally& t = checker.total;
  Times& times = checker.times;
  fmt::print("{}\n",
             boost::json::serialize(boost::json::object{{"vocabulary", checker.vocabulary_size()},
                                                        {"schemas", t.schemas},
                                                        {"accepted", t.accepted},
                                                        {"valid", t.valid},
                                                        {"valid_passed", t.valid_passed},
                                                        {"invalid", t.invalid},
                                                        {"invalid_stopped", t.invalid_stopped},
                                                        {"wrong_masks", t.wrong_masks},
                                                        {"mask_mean_us", Times::mean(times.mask_us)},
                                                        {"mask_p99_us", Times::quantile(times.mask_us, 0.99)},
                                                        {"compile_p50_us", Times::quantile(times.compile_us, 0.5)}}));
}

void print_files(const Checker& checker) {
  for (const auto& [file, t] : checker.by_file) {
    const char* verdict = t.accepted == 0          ? "all refused"
                          : !t.is_right()          ? "WRONG"
                          : t.accepted < t.schemas ? "some refused"
                                                   : "all right";
    fmt::print("{:<50} {:<12} {:>4} of {} accepted\n", file, verdict, t.accepted, t.schemas);
  }
}

int run(int argc, char** argv) {
  std::string tokenizer_file;
  std::string schemas;
  bool as_json = false;
  bool by_file = false;
  bool failures = false;
  CommandLine line("Holds grammars of JSON Schemas against valid and invalid instances", "grammar_check");
  line.add("--tokenizer", tokenizer_file, "tokenizer.json whose tokens are matched").required().existing_file();
  line.add("--schemas", schemas, "directory or archive of schemas with instances").required().existing_path();
  line.add_switch("--json", as_json, "print one JSON object instead of a table");
  line.add_switch("--by-file", by_file, "print a verdict for each file, too");
  line.add_switch("--failures", failures, "print each refusal and each wrong instance");
  if (const auto exit_code = line.parse_or_say(argc, argv)) return *exit_code;
  const auto tokenizer = read_tokenizer_file(tokenizer_file);
  if (!tokenizer) {
    fmt::print(stderr, "{}: {} {}\n", tokenizer_file, tokenizer.error().field, tokenizer.error().message);
    return 2;
  }
  Checker checker(*tokenizer.value(), failures);
  for (const SchemaCase& schema : read_schema_cases(schemas)) checker.check(schema);
  if (by_file) print_files(checker);
  as_json ? print_json(checker) : print_table(checker);
  return checker.total.is_right() ? 0 : 1;
}

}  // namespace
}  // namespace caudal

int main(int argc, char** argv) {
  try {
    return caudal::run(argc, argv);
  } catch (const std::exception& error) {
    fmt::print(stderr, "{}\n", error.what());
    return 2;
  }
}
