"""Perplexity as llama.cpp computes it: llama_perplexity.py MODEL.gguf IDS WINDOW THREADS. IDS has a token a line; the
windows are those of tests/bench/perplexity.cpp. Through the C functions that the binding xllamacpp exports."""
import ctypes
import pathlib
import sys

import numpy as np
import xllamacpp


class Params(ctypes.Structure):
    """More than the library's parameters take; how they begin has not changed in years."""
    _fields_ = [("n_ctx", ctypes.c_uint32), ("n_batch", ctypes.c_uint32), ("n_ubatch", ctypes.c_uint32),
                ("rest", ctypes.c_uint32 * 253)]


class Batch(ctypes.Structure):
    _fields_ = [("n_tokens", ctypes.c_int32), ("token", ctypes.POINTER(ctypes.c_int32)), ("embd", ctypes.c_void_p),
                ("pos", ctypes.POINTER(ctypes.c_int32)), ("n_seq_id", ctypes.POINTER(ctypes.c_int32)),
                ("seq_id", ctypes.POINTER(ctypes.POINTER(ctypes.c_int32))), ("logits", ctypes.POINTER(ctypes.c_int8)),
                ("rest", ctypes.c_uint64 * 8)]


def load() -> ctypes.CDLL:
    library = ctypes.CDLL(str(next(pathlib.Path(xllamacpp.__file__).parent.glob("xllamacpp*.so"))))
    for name in ("llama_model_load_from_file", "llama_init_from_model", "llama_get_memory", "llama_model_get_vocab"):
        getattr(library, name).restype = ctypes.c_void_p
    for name in ("llama_model_default_params", "llama_context_default_params"):
        getattr(library, name).restype = Params
    library.llama_batch_init.restype = Batch
    library.llama_get_logits.restype = ctypes.POINTER(ctypes.c_float)
    return library


def surprise(logits: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """-log of the probability of each token; logits [n, vocabulary], ids [n]."""
    logits = logits.astype(np.float64)
    most = logits.max(axis=1)
    return most + np.log(np.exp(logits - most[:, None]).sum(axis=1)) - logits[np.arange(len(ids)), ids]


def main() -> None:
    model_path, ids_path = sys.argv[1:3]
    window, threads = map(int, sys.argv[3:5])
    ids = np.loadtxt(ids_path, dtype=np.int32)
    llama = load()
    llama.llama_backend_init()
    model = ctypes.c_void_p(llama.llama_model_load_from_file(model_path.encode(), llama.llama_model_default_params()))
    params = llama.llama_context_default_params()
    assert (params.n_ctx, params.n_batch, params.n_ubatch) == (512, 2048, 512), "another version's parameters"
    params.n_ctx = params.n_batch = params.n_ubatch = window
    context = ctypes.c_void_p(llama.llama_init_from_model(model, params))
    llama.llama_set_n_threads(context, threads, threads)
    vocab_size = llama.llama_vocab_n_tokens(ctypes.c_void_p(llama.llama_model_get_vocab(model)))
    batch = llama.llama_batch_init(window, 0, 1)
    batch.n_tokens = window
    total = []
    for begin in range(0, len(ids), window):
        now = ids[begin:begin + window]
        llama.llama_memory_clear(ctypes.c_void_p(llama.llama_get_memory(context)), ctypes.c_bool(True))
        for i, token in enumerate(now):
            batch.token[i], batch.pos[i], batch.n_seq_id[i], batch.logits[i] = int(token), i, 1, 1
            batch.seq_id[i][0] = 0
        assert llama.llama_decode(context, batch) == 0
        logits = np.ctypeslib.as_array(llama.llama_get_logits(context), (window, vocab_size))
        total.append(surprise(logits[:-1], now[1:]))
    print(f"{np.exp(np.concatenate(total).mean()):.6f}")


if __name__ == "__main__":
    main()
