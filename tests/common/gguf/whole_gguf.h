// A whole model of a few kilobytes as GGUF, for files that are damaged at random
// (tests/worker/model/damaged_gguf_test.cpp) or on purpose (tests/common/model_files/gguf_fuzz.cpp).
#pragma once

#include <string>
#include <vector>

#include "tests/common/gguf/gguf_writer.h"

namespace caudal {

namespace detail {

inline void add_tokenizer(bool by_scores, GgufWriter& writer) {
  std::vector<std::string> tokens = {"<s>", "</s>", "a", "b", "c", "ab", "bc", "abc"};
  std::vector<std::int32_t> types = {3, 3, 1, 1, 1, 1, 1, 1};
  writer.add("tokenizer.ggml.model", by_scores ? "llama" : "gpt2");
  writer.add("tokenizer.ggml.tokens", tokens);
  writer.add("tokenizer.ggml.token_type", types);
  if (by_scores) {
    writer.add("tokenizer.ggml.scores", std::vector<float>{0, 0, -3, -4, -5, -1, -2, -0.5F});
  } else {
    writer.add("tokenizer.ggml.pre", "qwen2");
    writer.add("tokenizer.ggml.merges", std::vector<std::string>{"a b", "b c", "ab c"});
  }
  writer.add("tokenizer.ggml.bos_token_id", 0U);
  writer.add("tokenizer.ggml.eos_token_id", 1U);
  writer.add("tokenizer.ggml.add_bos_token", true);
  writer.add("tokenizer.chat_template", "{{ messages[0].content }}");
}

inline void add_tensors(GgufWriter& writer) {
  const auto matrix = [&](const std::string& name, std::int64_t rows, bool blocks = false) {
    const std::size_t bytes = static_cast<std::size_t>(rows) * (blocks ? 34 : 64);  // 32 columns
    writer.add_tensor(name, {rows, 32}, blocks ? GgufWriter::kQ8_0 : GgufWriter::kBF16, std::string(bytes, '\x11'));
  };
  const std::string ones(128, '\x3F');
  matrix("token_embd.weight", 8);
  writer.add_tensor("output_norm.weight", {32}, GgufWriter::kF32, ones);
  writer.add_tensor("blk.0.attn_norm.weight", {32}, GgufWriter::kF32, ones);
  writer.add_tensor("blk.0.ffn_norm.weight", {32}, GgufWriter::kF32, ones);
  for (const char* name : {"attn_q", "attn_k", "attn_v", "attn_output"})
    matrix(std::string("blk.0.") + name + ".weight", 32, name[5] == 'q');
  for (const char* name : {"ffn_gate", "ffn_up", "ffn_down"}) matrix(std::string("blk.0.") + name + ".weight", 32);
}

}  // namespace detail

// Of one layer, 32 wide; its tokenizer is SentencePiece's or byte-level BPE.
inline std::string whole_gguf(bool by_scores) {
  GgufWriter writer;
  writer.add("general.architecture", "llama");
  for (const char* name : {"embedding_length", "feed_forward_length", "context_length"})
    writer.add(std::string("llama.") + name, 32U);
  writer.add("llama.block_count", 1U);
  writer.add("llama.attention.head_count", 2U);
  writer.add("llama.attention.head_count_kv", 2U);
  writer.add("llama.attention.layer_norm_rms_epsilon", 1e-5F);
  writer.add("llama.rope.freq_base", 10000.0F);
  writer.add("general.sampling.temp", 0.5F);
  detail::add_tokenizer(by_scores, writer);
  detail::add_tensors(writer);
  return writer.image();
}

}  // namespace caudal
