"""llama.cpp's server, from the binding xllamacpp: llama_server.py MODEL.gguf PORT THREADS. Serves until SIGTERM."""
import signal
import sys
import threading

import xllamacpp

STREAMS = 32
CONTEXT_TOKENS = 16384  # of all streams together


def main() -> None:
    model, port, threads = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    params = xllamacpp.CommonParams()
    params.model.path = model
    params.hostnames = ["127.0.0.1"]
    params.port = port
    params.n_parallel = STREAMS
    params.kv_unified = True
    params.n_ctx = CONTEXT_TOKENS
    params.cpuparams.n_threads = threads
    params.cpuparams_batch.n_threads = threads
    server = xllamacpp.Server(params)
    end = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: end.set())
    while not end.wait(0.2):
        pass
    del server


if __name__ == "__main__":
    main()
