"""llama.cpp's server, from the binding xllamacpp: llama_server.py MODEL.gguf PORT THREADS CONTEXT_TOKENS. Serves until SIGTERM."""
import signal
import sys
import threading

import xllamacpp

STREAMS = 32


def main() -> None:
    model = sys.argv[1]
    port, threads, context_tokens = map(int, sys.argv[2:5])
    params = xllamacpp.CommonParams()
    params.model.path = model
    params.hostnames = ["127.0.0.1"]
    params.port = port
    params.n_parallel = STREAMS
    params.kv_unified = True
    params.n_ctx = context_tokens  # of all streams together
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
