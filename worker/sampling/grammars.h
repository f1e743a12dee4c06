// Grammars: what the outputs of a replica's sequences are held to (common/grammar). Rank 0 has one, for its sampler and
// its drafter. A grammar is compiled on a thread of its own from the moment its sequence enters; the states are a
// function of the output's tokens, so that nothing has to be told when a sequence comes from another replica. Used by
// the step thread.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <future>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "common/grammar/matcher.h"
#include "common/queue.h"
#include "common/tokenizer/tokenizer.h"
#include "worker/batch/sequence_table.h"

namespace caudal {

// How the model's tokens are written.
struct TokenText {
  std::shared_ptr<const Tokenizer> tokenizer;
  std::shared_ptr<const grammar::TokenVocabulary> vocabulary;
};

class Grammars {
 public:
  using LoadText = std::function<Result<TokenText>()>;
  // `load` is called once, by a thread of its own, in load_text() or when the first grammar is needed. At most
  // `max_sequences` outputs are followed; of more, those that were not asked for lately are followed from their
  // beginning again. `begin_thread` is what threads that compile do first; it may be empty.
  Grammars(LoadText load, std::size_t max_sequences, std::function<void()> begin_thread = {})
      : load_(std::move(load)), begin_thread_(std::move(begin_thread)), max_sequences_(max_sequences) {}
  ~Grammars();
  Grammars(const Grammars&) = delete;
  Grammars& operator=(const Grammars&) = delete;

  // In the background, before it is needed, so that no step waits for it.
  void load_text();

  // The sequence has entered, perhaps with an output from elsewhere: its grammar is made ready.
  void enter(const SequenceRow& sequence);
  void clear() { followed_.clear(); }

  // Bit t says whether token t may follow the output and `drafts`. Where the output may end, these are special tokens
  // among the sequence's stop tokens, too. No bit is set where it cannot go on: the grammar could not be loaded, or
  // forbids what is there already. Drafts that it forbids allow everything: what follows them is not used.
  void fill_allowed(const SequenceRow& sequence, std::span<const TokenId> drafts, std::span<std::uint64_t> allowed);

  // The next tokens, where there is no choice: at most `max_tokens`.
  std::vector<TokenId> forced(const SequenceRow& sequence, std::int32_t max_tokens);

  // How many of `drafts` the grammar allows to follow the output.
  std::size_t num_allowed(const SequenceRow& sequence, std::span<const TokenId> drafts);

 private:
  static constexpr std::size_t kMaxJobs = 1024;
  // Before its first token; copied for each sequence. Null: an error.
  using Compiled = std::shared_future<std::shared_ptr<const grammar::Matcher>>;
  struct Followed {
    std::unique_ptr<grammar::Matcher> matcher;
    std::uint64_t last_used = 0;
  };

  // A job of the thread that compiles, which is started by the first one. Its result is not there before it is done.
  template <typename Result>
  std::shared_future<Result> run(std::function<Result()> job);
  Compiled compiled(const GrammarParams& grammar);
  // Behind the output; null where that is not possible.
  grammar::Matcher* follow(const SequenceRow& sequence);
  // Calls visit(matcher) behind as many of `drafts` as are allowed; what it gives is passed on.
  template <typename Visit>
  auto behind(grammar::Matcher& matcher, std::span<const TokenId> drafts, Visit&& visit);

  LoadText load_;
  std::function<void()> begin_thread_;
  std::size_t max_sequences_;
  std::shared_future<std::shared_ptr<const TokenText>> text_;           // null: an error
  std::map<std::string, std::pair<Compiled, std::uint64_t>> compiled_;  // by kind and text, with the last use
  std::map<SequenceId, Followed> followed_;
  std::uint64_t clock_ = 0;
  Queue<std::function<void()>> jobs_{kMaxJobs};
  std::thread thread_;
};

// From the files of a model. Errors name the file and the field.
Result<TokenText> load_token_text(const std::filesystem::path& model);

}  // namespace caudal
