// The decoder of the paper in float64, one token at a time over plain arrays, from the same weights, which it names
// itself: what a family of worker/model/families must come to, for structures that no fixture has. Rotary embeddings
// are the paper's, without scaling. A family of another structure overrides layer().
#pragma once

#include <cmath>
#include <map>
#include <string>
#include <vector>

#include "worker/model/weights/weights.h"

namespace caudal {

class ReferenceDecoder {
 public:
  using Vector = std::vector<double>;

  ReferenceDecoder(const ModelConfig& config, const Checkpoint& checkpoint)
      : config_(config), checkpoint_(checkpoint) {}
  virtual ~ReferenceDecoder() = default;

  // Logits of every position: [tokens.size()][vocab_size].
  std::vector<Vector> logits(const std::vector<TokenId>& tokens) {
    const std::string embedding = "model.embed_tokens.weight";
    std::vector<Vector> x;
    const Vector table = load(embedding, config_.vocab_size, config_.hidden_size);
    for (TokenId token : tokens)
      x.emplace_back(table.begin() + token * config_.hidden_size, table.begin() + (token + 1) * config_.hidden_size);
    for (std::size_t i = 0; i < config_.layers.size(); ++i)
      layer("model.layers." + std::to_string(i) + ".", config_.layers[i], x);
    const Vector norm = load("model.norm.weight", config_.hidden_size);
    const Vector head =
        load(config_.tied_embeddings ? embedding : "lm_head.weight", config_.vocab_size, config_.hidden_size);
    std::vector<Vector> out;
    for (const Vector& row : x) out.push_back(multiply(head, {}, rms_norm(row, norm)));
    return out;
  }

 protected:
  // A whole tensor, [rows, columns] or [rows].
  const Vector& load(const std::string& name, std::int64_t rows, std::int64_t columns = 0) const {
    Vector& loaded = loaded_[name];
    if (!loaded.empty()) return loaded;
    const WeightPart part{name, rows, columns, {0, rows}, {0, columns == 0 ? 1 : columns}};
    std::vector<float> values(static_cast<std::size_t>(part.rows.count * part.columns.count));
    const StoredPart stored = checkpoint_.read(part);
    read_rows({&stored, 1}, 0, stored.rows, DType::kF32, reinterpret_cast<std::byte*>(values.data()));
    loaded.assign(values.begin(), values.end());
    return loaded;
  }
  // Nothing where the model has no such vector.
  Vector load_if(bool present, const std::string& name, std::int64_t rows) const {
    return present ? load(name, rows) : Vector();
  }

  // Replaces x, the residual stream of all positions.
  virtual void layer(const std::string& prefix, const LayerConfig& sizes, std::vector<Vector>& x) const {
    const Vector input_norm = load(prefix + "input_layernorm.weight", config_.hidden_size);
    const Vector post_norm = load(prefix + "post_attention_layernorm.weight", config_.hidden_size);
    std::vector<Vector> h;
    for (const Vector& row : x) h.push_back(rms_norm(row, input_norm));
    const std::vector<Vector> attended = attention(prefix + "self_attn.", sizes, h);
    for (std::size_t t = 0; t < x.size(); ++t) {
      add(x[t], attended[t]);
      add(x[t], mlp(prefix + "mlp.", rms_norm(x[t], post_norm)));
    }
  }

  std::vector<Vector> attention(const std::string& prefix, const LayerConfig& sizes,
                                const std::vector<Vector>& h) const {
    const std::int64_t d = sizes.head_dim, q_rows = sizes.num_heads * d, kv_rows = sizes.num_kv_heads * d;
    const Vector q_norm = load_if(config_.qk_norm, prefix + "q_norm.weight", d);
    const Vector k_norm = load_if(config_.qk_norm, prefix + "k_norm.weight", d);
    std::vector<Vector> q, k, v;
    for (std::size_t t = 0; t < h.size(); ++t) {
      q.push_back(project(prefix + "q_proj", q_rows, config_.qkv_bias, h[t]));
      k.push_back(project(prefix + "k_proj", kv_rows, config_.qkv_bias, h[t]));
      v.push_back(project(prefix + "v_proj", kv_rows, config_.qkv_bias, h[t]));
      prepare_heads(q.back(), d, q_norm, t);
      prepare_heads(k.back(), d, k_norm, t);
    }
    std::vector<Vector> out;
    const std::int32_t window = sizes.sliding_window;
    for (std::size_t t = 0; t < h.size(); ++t) {
      const std::size_t first =
          window > 0 && t + 1 > static_cast<std::size_t>(window) ? t + 1 - static_cast<std::size_t>(window) : 0;
      out.push_back(
          project(prefix + "o_proj", config_.hidden_size, config_.output_bias, attend(q[t], k, v, sizes, first, t)));
    }
    return out;
  }

  Vector mlp(const std::string& prefix, const Vector& h) const {
    Vector gate = project(prefix + "gate_proj", config_.intermediate_size, config_.mlp_bias, h);
    const Vector up = project(prefix + "up_proj", config_.intermediate_size, config_.mlp_bias, h);
    for (std::size_t i = 0; i < gate.size(); ++i) gate[i] *= up[i] / (1.0 + std::exp(-gate[i]));
    return project(prefix + "down_proj", config_.hidden_size, config_.mlp_bias, gate);
  }

  Vector project(const std::string& name, std::int64_t rows, bool has_bias, const Vector& x) const {
    return multiply(load(name + ".weight", rows, std::ssize(x)), load_if(has_bias, name + ".bias", rows), x);
  }

  static Vector multiply(const Vector& weight, const Vector& bias, const Vector& x) {
    Vector y(weight.size() / x.size());
    for (std::size_t r = 0; r < y.size(); ++r) {
      y[r] = bias.empty() ? 0.0 : bias[r];
      for (std::size_t c = 0; c < x.size(); ++c) y[r] += weight[r * x.size() + c] * x[c];
    }
    return y;
  }

  Vector rms_norm(const Vector& x, const Vector& weight) const {
    double squares = 0.0;
    for (double v : x) squares += v * v;
    const double scale = 1.0 / std::sqrt(squares / static_cast<double>(x.size()) + config_.norm_eps);
    Vector y(x.size());
    for (std::size_t i = 0; i < x.size(); ++i) y[i] = x[i] * scale * weight[i];
    return y;
  }

  // Norm and rotation of every head in place.
  void prepare_heads(Vector& heads, std::int64_t head_dim, const Vector& norm, std::size_t position) const {
    const auto d = static_cast<std::size_t>(head_dim);
    for (std::size_t begin = 0; begin < heads.size(); begin += d) {
      Vector head(heads.begin() + static_cast<std::ptrdiff_t>(begin),
                  heads.begin() + static_cast<std::ptrdiff_t>(begin + d));
      if (!norm.empty()) head = rms_norm(head, norm);
      for (std::size_t i = 0; i < d / 2; ++i) {
        const double frequency = std::pow(config_.rope.theta, -2.0 * static_cast<double>(i) / static_cast<double>(d));
        const double angle = static_cast<double>(position) * frequency;
        heads[begin + i] = head[i] * std::cos(angle) - head[i + d / 2] * std::sin(angle);
        heads[begin + i + d / 2] = head[i + d / 2] * std::cos(angle) + head[i] * std::sin(angle);
      }
    }
  }

  static Vector attend(const Vector& q, const std::vector<Vector>& k, const std::vector<Vector>& v,
                       const LayerConfig& sizes, std::size_t first, std::size_t last) {
    const auto d = static_cast<std::size_t>(sizes.head_dim);
    const auto group = static_cast<std::size_t>(sizes.num_heads / sizes.num_kv_heads);
    Vector out(q.size(), 0.0);
    for (std::size_t h = 0; h < static_cast<std::size_t>(sizes.num_heads); ++h) {
      const std::size_t kv = h / group * d;
      Vector weights;
      double sum = 0.0;
      for (std::size_t t = first; t <= last; ++t) {
        double score = 0.0;
        for (std::size_t i = 0; i < d; ++i) score += q[h * d + i] * k[t][kv + i];
        weights.push_back(std::exp(score / std::sqrt(static_cast<double>(d))));
        sum += weights.back();
      }
      for (std::size_t t = first; t <= last; ++t)
        for (std::size_t i = 0; i < d; ++i) out[h * d + i] += weights[t - first] / sum * v[t][kv + i];
    }
    return out;
  }

  static void add(Vector& x, const Vector& y) {
    for (std::size_t i = 0; i < x.size(); ++i) x[i] += y[i];
  }

  ModelConfig config_;

 private:
  const Checkpoint& checkpoint_;
  mutable std::map<std::string, Vector> loaded_;
};

}  // namespace caudal
