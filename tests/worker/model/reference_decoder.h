// The decoder of the paper in float64, one token at a time over plain arrays, from the same weights: what
// worker/model/decoder.cpp must come to, for structures no fixture has.
#pragma once

#include <cmath>
#include <vector>

#include "worker/model/rope.h"
#include "worker/model/weights.h"

namespace caudal {

class ReferenceDecoder {
 public:
  using Vector = std::vector<double>;

  ReferenceDecoder(const ModelConfig& config, const WeightSource& source)
      : config_(config), source_(source), all_(decoder_parameters(config, make_partition(config, 0, 1).value())) {}

  // Logits of every position: [tokens.size()][vocab_size].
  std::vector<Vector> logits(const std::vector<TokenId>& tokens) {
    std::vector<Vector> x;
    const Vector table = load(all_.embedding.parts[0]);
    for (TokenId token : tokens)
      x.emplace_back(table.begin() + token * config_.hidden_size, table.begin() + (token + 1) * config_.hidden_size);
    for (std::size_t i = 0; i < all_.layers.size(); ++i) layer(all_.layers[i], config_.sliding_window[i], x);
    const Vector norm = load(all_.final_norm.parts[0]), head = load(all_.head.parts[0]);
    std::vector<Vector> out;
    for (const Vector& row : x) out.push_back(multiply(head, {}, rms_norm(row, norm)));
    return out;
  }

 private:
  Vector load(const WeightPart& part) const {
    std::vector<float> values(static_cast<std::size_t>(part.rows.count * part.columns.count));
    source_.read(part, DType::kF32, reinterpret_cast<std::byte*>(values.data()));
    return {values.begin(), values.end()};
  }
  Vector load(const Parameter& parameter, std::size_t part) const {
    return parameter.parts.empty() ? Vector() : load(parameter.parts[part]);
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
  void prepare_heads(Vector& heads, const Vector& norm, std::size_t position) const {
    const auto d = static_cast<std::size_t>(config_.head_dim);
    const std::vector<double> frequencies = rope_frequencies(config_, config_.max_position);
    for (std::size_t begin = 0; begin < heads.size(); begin += d) {
      Vector head(heads.begin() + static_cast<std::ptrdiff_t>(begin),
                  heads.begin() + static_cast<std::ptrdiff_t>(begin + d));
      if (!norm.empty()) head = rms_norm(head, norm);
      for (std::size_t i = 0; i < d / 2; ++i) {
        const double angle = static_cast<double>(position) * frequencies[i];
        heads[begin + i] = head[i] * std::cos(angle) - head[i + d / 2] * std::sin(angle);
        heads[begin + i + d / 2] = head[i + d / 2] * std::cos(angle) + head[i] * std::sin(angle);
      }
    }
  }

  void layer(const LayerParameters& p, std::int32_t window, std::vector<Vector>& x) const {
    const Vector input_norm = load(p.input_norm, 0), post_norm = load(p.post_norm, 0);
    std::vector<Vector> q, k, v;
    for (std::size_t t = 0; t < x.size(); ++t) {
      const Vector h = rms_norm(x[t], input_norm);
      q.push_back(multiply(load(p.qkv, 0), load(p.qkv_bias, 0), h));
      k.push_back(multiply(load(p.qkv, 1), load(p.qkv_bias, 1), h));
      v.push_back(multiply(load(p.qkv, 2), load(p.qkv_bias, 2), h));
      prepare_heads(q.back(), load(p.q_norm, 0), t);
      prepare_heads(k.back(), load(p.k_norm, 0), t);
    }
    for (std::size_t t = 0; t < x.size(); ++t) {
      const std::size_t first =
          window > 0 && t + 1 > static_cast<std::size_t>(window) ? t + 1 - static_cast<std::size_t>(window) : 0;
      add(x[t], multiply(load(p.output, 0), load(p.output_bias, 0), attend(q[t], k, v, first, t)));
      const Vector h = rms_norm(x[t], post_norm);
      Vector gate = multiply(load(p.gate_up, 0), load(p.gate_up_bias, 0), h);
      const Vector up = multiply(load(p.gate_up, 1), load(p.gate_up_bias, 1), h);
      for (std::size_t i = 0; i < gate.size(); ++i) gate[i] *= up[i] / (1.0 + std::exp(-gate[i]));
      add(x[t], multiply(load(p.down, 0), load(p.down_bias, 0), gate));
    }
  }

  Vector attend(const Vector& q, const std::vector<Vector>& k, const std::vector<Vector>& v, std::size_t first,
                std::size_t last) const {
    const auto d = static_cast<std::size_t>(config_.head_dim);
    const auto group = static_cast<std::size_t>(config_.num_heads / config_.num_kv_heads);
    Vector out(q.size(), 0.0);
    for (std::size_t h = 0; h < static_cast<std::size_t>(config_.num_heads); ++h) {
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
  const WeightSource& source_;
  DecoderParameters all_;
};

}  // namespace caudal
