"""deploy/quickstart.sh as a new user runs it."""
import contextlib
import json
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time
import unittest
import urllib.request

from cluster import MARK, ROOT, free_port, marked_processes, shared_memory

QUICKSTART = str(ROOT / "deploy/quickstart.sh")


class Quickstart(unittest.TestCase):
    def setUp(self):
        self.mark = f"quickstart-{os.getpid()}-{self.id()}"
        # The same build as the other tests; a user's first run builds it.
        self.files = tempfile.TemporaryDirectory()
        self.addCleanup(self.files.cleanup)
        self.env = dict(os.environ, CAUDAL_BUILD_DIR=os.environ["CAUDAL_BUILD"], TMPDIR=self.files.name,
                        **{MARK: self.mark})
        self.shared_memory = shared_memory()

    def tearDown(self):
        end = time.monotonic() + 10
        while time.monotonic() < end and (marked_processes(self.mark) or shared_memory() - self.shared_memory):
            time.sleep(0.1)
        left = marked_processes(self.mark)
        for pid in left:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        self.assertEqual((left, shared_memory() - self.shared_memory, os.listdir(self.files.name)), ([], set(), []))

    def test_once(self):
        done = subprocess.run([QUICKSTART, "--once", "--port", str(free_port())], env=self.env, text=True,
                              capture_output=True, timeout=900)
        self.assertEqual(done.returncode, 0, done.stderr[-3000:])
        self.assertIn("> What is 17 plus 25?", done.stdout)
        self.assertIn("42", done.stdout)

    def test_serves_until_ctrl_c(self):
        port = free_port()
        process = subprocess.Popen([QUICKSTART, "--port", str(port), "--replicas", "2", "--tensor-parallel", "1"],
                                   env=self.env, text=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                                   start_new_session=True)
        lines = []
        for line in process.stdout:
            lines.append(line)
            if "Ctrl-C" in line:
                break
        self.assertIn(f"http://127.0.0.1:{port}/metrics", "".join(lines))
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health") as answer:
            self.assertEqual(answer.status, 200)
        body = {"prompt": "Once", "n": 32, "max_tokens": 1000, "ignore_eos": True, "stream": True}  # many seconds of work
        request = urllib.request.Request(f"http://127.0.0.1:{port}/v1/completions", json.dumps(body).encode(),
                                         {"Content-Type": "application/json"})
        with urllib.request.urlopen(request) as stream:
            stream.readline()
            started = time.monotonic()
            os.killpg(process.pid, signal.SIGINT)  # as the terminal does: the stream may go on for 5 seconds
            time.sleep(0.5)
            os.killpg(process.pid, signal.SIGINT)  # and once more, from an impatient user: it ends now, with a last word
            rest = stream.read().decode()
            self.assertLess(time.monotonic() - started, 4)
        self.assertIn('"code":"shutting_down"', rest[-2000:])
        self.assertEqual(rest[-14:], "data: [DONE]\n\n")
        self.assertEqual(process.wait(30), 130)
        process.stdout.close()

    def test_a_model_without_a_chat_template_goes_on_with_the_text(self):
        with tempfile.TemporaryDirectory() as folder:
            model = pathlib.Path(folder) / "model"
            shutil.copytree(ROOT / "deploy/demo-model/model", model)
            (model / "chat_template.jinja").unlink()
            done = subprocess.run([QUICKSTART, "--once", "--port", str(free_port()), "--model", str(model), "--dtype", "f32",
                                   "--prompt", "Once upon a time"], env=self.env, text=True, capture_output=True,
                                  timeout=900)
        self.assertEqual(done.returncode, 0, done.stderr[-3000:])
        self.assertIn("without a chat template", done.stdout)
        self.assertIn("there was", done.stdout)

    def test_wrong_flags(self):
        for flags, named in [(["--nonsense"], "--nonsense"), (["--replicas", "0"], "--replicas"),
                             (["--tensor-parallel", "two"], "--tensor-parallel")]:
            done = subprocess.run([QUICKSTART, *flags], env=self.env, text=True, capture_output=True)
            self.assertEqual(done.returncode, 2)
            self.assertIn(named, done.stderr)


if __name__ == "__main__":
    unittest.main()
