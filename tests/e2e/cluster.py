"""Starts real clusters for the end-to-end tests and proves that nothing is left behind.

Every process of a cluster carries a unique variable in its environment, so that what survives it can be
found (and is ended, and fails the test). Standard library only.
"""
import contextlib
import glob
import http.client
import json
import os
import pathlib
import signal
import socket
import subprocess
import tempfile
import time
import uuid

ROOT = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(os.environ.get("CAUDAL_BIN", ROOT / "build/release/bin"))
DEMO = ROOT / "deploy/demo-model/model"
MARK = "CAUDAL_TEST_CLUSTER"


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def marked_processes(mark):
    """Pids whose environment carries the mark; zombies do not count."""
    found = []
    for path in glob.glob("/proc/[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if f"{MARK}={mark}".encode() in pathlib.Path(path).read_bytes():
                found.append(int(path.split("/")[2]))
    return found


def shared_memory():
    return set(glob.glob("/dev/shm/*"))


class Cluster:
    """A coordinator and what it launches; `with Cluster(...) as c:` waits until it can serve."""

    def __init__(self, model=DEMO, tensor_parallel=1, replicas=1, args=(), worker_args=(), wait=True, zmq=False,
                 port=None, control=None):
        self.mark = uuid.uuid4().hex
        self.port = port or free_port()
        self.zmq_endpoint = f"tcp://127.0.0.1:{free_port()}" if zmq else ""
        self.control = control or f"tcp://127.0.0.1:{free_port()}"
        self.wait = wait
        self.log = tempfile.NamedTemporaryFile("w+", prefix="caudal-e2e-", suffix=".log")
        self.command = [
            str(BIN / "caudal-coordinator"), "--model", str(model), "--served-model-name", "demo",
            "--port", str(self.port), "--control", self.control, "--zmq", self.zmq_endpoint,
            "--replicas", str(replicas), "--tensor-parallel", str(tensor_parallel), *args,
            *[f"--worker-arg={a}" for a in worker_args]]
        self.process = None
        self.extra = []

    def __enter__(self):
        self.shared_memory_before = shared_memory()
        self.process = self.start(self.command)
        if self.wait:
            try:
                self.wait_ready()
            except BaseException:
                self.__exit__(None, None, None)
                raise
        return self

    def start(self, command, cwd=None):
        env = dict(os.environ, **{MARK: self.mark})
        return subprocess.Popen(command, cwd=cwd, env=env, stdin=subprocess.DEVNULL, stdout=self.log,
                                stderr=self.log, start_new_session=True)

    def start_workers(self, ranks, tensor_parallel, args=()):
        """mpirun by hand, as operators do; returns the process."""
        root = ["--allow-run-as-root"] if os.geteuid() == 0 else []
        process = self.start(["mpirun", *root, "--oversubscribe", "--bind-to", "none", "-np", str(ranks),
                              str(BIN / "caudal-worker"), "--coordinator", self.control, "--model", str(DEMO),
                              "--tensor-parallel", str(tensor_parallel), *args])
        self.extra.append(process)
        return process

    def wait_ready(self, limit=120):
        end = time.monotonic() + limit
        while time.monotonic() < end:
            if self.process.poll() is not None:
                raise RuntimeError(f"the coordinator ended with {self.process.returncode}:\n{self.output()}")
            with contextlib.suppress(OSError, http.client.HTTPException):
                if self.get("/health")[0] == 200:
                    return
            time.sleep(0.05)
        raise TimeoutError(f"not ready:\n{self.output()}")

    def output(self):
        return pathlib.Path(self.log.name).read_text(errors="replace")[-6000:]

    def request(self, method, path, body=None, headers=None, timeout=120):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            data = body if isinstance(body, (bytes, type(None))) else json.dumps(body).encode()
            connection.request(method, path, data, {"Content-Type": "application/json", **(headers or {})})
            response = connection.getresponse()
            return response.status, response.read().decode()
        finally:
            connection.close()

    def get(self, path, timeout=10):
        return self.request("GET", path, timeout=timeout)

    def post(self, path, body, timeout=120):
        status, text = self.request("POST", path, body, timeout=timeout)
        return status, json.loads(text)

    def chat(self, prompt, **parameters):
        body = {"messages": [{"role": "user", "content": prompt}], "temperature": 0, "max_tokens": 64, **parameters}
        status, answer = self.post("/v1/chat/completions", body)
        assert status == 200, (status, answer)
        return answer["choices"][0]["message"]["content"]

    def complete(self, prompt, **parameters):
        """Greedy completion; the whole answer object."""
        status, answer = self.post("/v1/completions", {"prompt": prompt, "temperature": 0, "max_tokens": 32, **parameters})
        assert status == 200, (status, answer)
        return answer

    def metric(self, name, **labels):
        """Sum of the series `name` over all label sets that contain `labels`."""
        total = 0.0
        for line in self.get("/metrics")[1].splitlines():
            if line.startswith((name + "{", name + " ")) and all(f'{k}="{v}"' in line for k, v in labels.items()):
                total += float(line.rsplit(" ", 1)[1])
        return total

    def pids(self, program):
        return [p for p in marked_processes(self.mark)
                if os.path.basename(os.readlink(f"/proc/{p}/exe")) == program]

    def stop(self, how=signal.SIGTERM, limit=20):
        """Ends the coordinator; its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(how)
        return self.process.wait(limit)

    def leftovers(self, limit=15):
        """What is still there `limit` seconds after the end: processes, shared memory, listening ports."""
        end = time.monotonic() + limit
        while True:
            processes = marked_processes(self.mark)
            memory = shared_memory() - self.shared_memory_before
            listening = []
            for port in (self.port, int(self.control.rsplit(":", 1)[1])):
                with socket.socket() as s:
                    s.settimeout(0.2)
                    if s.connect_ex(("127.0.0.1", port)) == 0:
                        listening.append(port)
            if not (processes or memory or listening) or time.monotonic() > end:
                return processes, memory, listening
            time.sleep(0.1)

    def __exit__(self, *_):
        try:
            if self.process and self.process.poll() is None:
                self.stop()
            for process in self.extra:
                if process.poll() is None:
                    process.terminate()
                    process.wait(10)
            left = self.leftovers()
        finally:
            for pid in marked_processes(self.mark):
                with contextlib.suppress(OSError):
                    os.kill(pid, signal.SIGKILL)
            output = self.output()
            self.log.close()
        assert left == ([], set(), []), f"left behind: {left}\n{output}"
