// Readers of the components of a tokenizer.json, one per kind: each turns the JSON of any supported type
// into the few steps this library has. All throw JsonError; unknown types are refused by name.
#pragma once

#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#include "common/json/json_node.h"
#include "common/tokenizer/hf_tokenizer.h"
#include "common/tokenizer/words/word_model.h"

namespace caudal {

Normalizer read_normalizer(const JsonNode& node);
PreTokenizer read_pre_tokenizer(const JsonNode& node);
DecoderSpec read_decoder(const JsonNode& node);
SurroundingTokens read_post_processor(const JsonNode& node);
std::unique_ptr<WordModel> read_model(const JsonNode& node);
// `id` is kept; everything else comes from the node.
AddedToken read_added_token(const JsonNode& node, TokenId id);

// Part of read_normalizer: the steps of one normalizer that is no Sequence.
void add_normalizer_steps(std::vector<NormalizerStep>& steps, const JsonNode& node);
// {"String": text} or {"Regex": expression}
Pattern read_pattern(const JsonNode& node);

// Fails at the type of `node`, with the list of known ones.
[[noreturn]] void refuse_type(const JsonNode& node, std::string_view type, std::string_view known);

// Unwraps a Result; its error gets the node's path, and the error's own field below it.
template <typename T>
T unwrap(const JsonNode& node, Result<T> result) {
  if (result) return std::move(result).value();
  const Error& error = result.error();
  if (error.field.empty()) node.fail(error.message);
  node.fail_at(error.field, error.message);
}

}  // namespace caudal
