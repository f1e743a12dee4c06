"""Rounds values to GGUF's Q4_K and Q6_K, which the Python package gguf reads but does not write.

Scales are those of the smallest and greatest values, not searched for as llama.cpp does: good enough to measure speed
with, and to compare programs on the same file. Specification: ggml's block layouts (block_q4_K, block_q6_K).
"""
import numpy as np

BLOCK = 256


def _halves(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """f16 as bytes, and the f32 values that they stand for."""
    half = values.astype(np.float16)
    return half.view(np.uint8).reshape(len(values), 2), half.astype(np.float32)


def _inverse(scale: np.ndarray) -> np.ndarray:
    return np.divide(1.0, scale, out=np.zeros_like(scale), where=scale != 0)


def quantize_q4_k(rows: np.ndarray) -> np.ndarray:
    """[rows, columns] of f32 to [rows, bytes]; columns a multiple of 256."""
    parts = rows.reshape(-1, 8, 32).astype(np.float32)
    least = np.minimum(parts.min(axis=2), 0.0)
    scale, minimum = (parts.max(axis=2) - least) / 15.0, -least
    d_bytes, d = _halves(scale.max(axis=1) / 63.0)
    m_bytes, m = _halves(minimum.max(axis=1) / 63.0)
    scales = np.clip(np.rint(scale * _inverse(d)[:, None]), 0, 63).astype(np.uint8)
    mins = np.clip(np.rint(minimum * _inverse(m)[:, None]), 0, 63).astype(np.uint8)
    step = (d[:, None] * scales)[:, :, None]
    codes = np.rint((parts + (m[:, None] * mins)[:, :, None]) * _inverse(step)).clip(0, 15).astype(np.uint8)
    packed = np.empty((len(parts), 12), np.uint8)
    packed[:, 0:4] = scales[:, :4] | (scales[:, 4:] >> 4) << 6
    packed[:, 4:8] = mins[:, :4] | (mins[:, 4:] >> 4) << 6
    packed[:, 8:12] = (scales[:, 4:] & 15) | (mins[:, 4:] & 15) << 4
    nibbles = (codes[:, 0::2] | codes[:, 1::2] << 4).reshape(len(parts), 128)
    return np.concatenate([d_bytes, m_bytes, packed, nibbles], axis=1).reshape(len(rows), -1)


def quantize_q6_k(rows: np.ndarray) -> np.ndarray:
    """The same for Q6_K."""
    parts = rows.reshape(-1, 16, 16).astype(np.float32)
    greatest = np.abs(parts).max(axis=2) / 31.0
    d_bytes, d = _halves(greatest.max(axis=1) / 127.0)
    scales = np.rint(greatest * _inverse(d)[:, None]).clip(0, 127).astype(np.int8)
    step = (d[:, None] * scales)[:, :, None]
    codes = (np.rint(parts * _inverse(step)).clip(-32, 31) + 32).astype(np.uint8).reshape(-1, 2, 4, 32)
    low = np.concatenate([codes[:, :, 0] & 15 | (codes[:, :, 2] & 15) << 4, codes[:, :, 1] & 15 | (codes[:, :, 3] & 15) << 4],
                         axis=2)
    high = codes[:, :, 0] >> 4 | (codes[:, :, 1] >> 4) << 2 | (codes[:, :, 2] >> 4) << 4 | (codes[:, :, 3] >> 4) << 6
    count = len(parts)
    return np.concatenate([low.reshape(count, 128), high.reshape(count, 64), scales.view(np.uint8), d_bytes],
                          axis=1).reshape(len(rows), -1)
