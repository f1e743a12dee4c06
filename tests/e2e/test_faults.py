"""Processes die, hang and return; requests survive where they can, and nothing is left behind."""
import concurrent.futures
import http.client
import json
import os
import pathlib
import signal
import time
import unittest

from cluster import Cluster, marked_processes


class Faults(unittest.TestCase):
    def ask(self, cluster):
        return cluster.complete("Once upon a time", max_tokens=200, ignore_eos=True)["choices"][0]["text"]

    def test_requests_survive_a_killed_worker(self):
        with Cluster(tensor_parallel=2) as cluster:
            expected = self.ask(cluster)
            with concurrent.futures.ThreadPoolExecutor(4) as pool:
                running = [pool.submit(self.ask, cluster) for _ in range(4)]
                time.sleep(0.15)
                os.kill(cluster.pids("caudal-worker")[1], signal.SIGKILL)
                self.assertEqual([r.result(90) for r in running], [expected] * 4)

    def test_another_replica_takes_over(self):
        with Cluster(replicas=2) as cluster:
            expected = self.ask(cluster)
            with concurrent.futures.ThreadPoolExecutor(8) as pool:
                running = [pool.submit(self.ask, cluster) for _ in range(8)]
                time.sleep(0.1)
                os.kill(cluster.pids("caudal-worker")[0], signal.SIGKILL)
                self.assertEqual([r.result(90) for r in running], [expected] * 8)

    def test_health_tells_the_truth_about_a_stopped_worker(self):
        with Cluster(args=["--lease-s", "2"]) as cluster:
            worker = cluster.pids("caudal-worker")[0]
            os.kill(worker, signal.SIGSTOP)
            end = time.monotonic() + 15
            while cluster.get("/health")[0] == 200 and time.monotonic() < end:
                time.sleep(0.1)
            self.assertEqual(cluster.get("/health")[0], 503)
            self.assertEqual(cluster.get("/live")[0], 200)
            os.kill(worker, signal.SIGCONT)
            cluster.wait_ready()

    def test_a_killed_coordinator_leaves_nothing(self):
        with Cluster(tensor_parallel=2) as cluster:
            cluster.stop(signal.SIGKILL)
            self.assertEqual(cluster.leftovers(20), ([], set(), []))

    def test_ctrl_c_leaves_nothing_and_is_quick(self):
        with Cluster(tensor_parallel=2) as cluster:
            start = time.monotonic()
            self.assertEqual(cluster.stop(signal.SIGINT), 0)
            self.assertEqual(cluster.leftovers(5), ([], set(), []))
            self.assertLess(time.monotonic() - start, 8)

    def test_what_a_stop_cuts_off_is_told_so(self):
        with Cluster(args=["--drain-s", "0.2"]) as cluster:
            body = {"prompt": "Once upon a time", "max_tokens": 900, "ignore_eos": True, "stream": True}
            connection = http.client.HTTPConnection("127.0.0.1", cluster.port, timeout=60)
            connection.request("POST", "/v1/completions", json.dumps(body), {"Content-Type": "application/json"})
            response = connection.getresponse()
            response.readline()
            self.assertEqual(cluster.stop(signal.SIGINT), 0)
            events = response.read().decode().split("\n\n")
            self.assertEqual(events[-2], "data: [DONE]")
            self.assertEqual(json.loads(events[-3][len("data: "):])["error"]["code"], "shutting_down")
            connection.close()

    def test_a_restarted_coordinator_takes_running_workers_back(self):
        with Cluster(replicas=0, wait=False) as cluster:
            cluster.start_workers(2, 2)
            cluster.wait_ready()
            expected = self.ask(cluster)
            workers = sorted(cluster.pids("caudal-worker"))
            cluster.stop(signal.SIGKILL)
            cluster.process = cluster.start(cluster.command)
            cluster.wait_ready()
            self.assertEqual(sorted(cluster.pids("caudal-worker")), workers, "weights must not be loaded again")
            self.assertEqual(self.ask(cluster), expected)

    def test_workers_leave_when_their_lease_ends(self):
        with Cluster(replicas=0, wait=False) as cluster:
            workers = cluster.start_workers(2, 1, ["--lease-s", "2"])
            cluster.wait_ready()
            cluster.stop(signal.SIGKILL)
            self.assertNotEqual(workers.wait(20), 0)
            self.assertEqual(marked_processes(cluster.mark), [])

    def test_an_idle_cluster_rests(self):
        with Cluster(tensor_parallel=2) as cluster:
            self.ask(cluster)
            time.sleep(1)
            def seconds():
                total = 0
                for pid in marked_processes(cluster.mark):
                    stat = pathlib.Path(f"/proc/{pid}/stat").read_text()
                    fields = stat.rsplit(")", 1)[1].split()
                    total += int(fields[11]) + int(fields[12])
                return total / os.sysconf("SC_CLK_TCK")
            before = seconds()
            time.sleep(5)
            self.assertLess((seconds() - before) / 5, 0.02 if os.cpu_count() < 4 else 0.01 * os.cpu_count())


if __name__ == "__main__":
    unittest.main()
