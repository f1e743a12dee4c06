"""A short life of a cluster of two ranks, the one that also runs under the sanitizers: requests of both
gateways at once, a cancel, bad input, an orderly end, and not a word from a sanitizer."""
import concurrent.futures
import sys
import unittest

from cluster import Cluster, ROOT

sys.path.insert(0, str(ROOT / "deploy/examples"))
import zmq_client

REPORTS = ("ERROR: AddressSanitizer", "ERROR: LeakSanitizer", "WARNING: ThreadSanitizer", "runtime error:")


class TwoRanks(unittest.TestCase):
    def test_a_short_life(self):
        with Cluster(tensor_parallel=2, zmq=True) as cluster:
            expected = cluster.chat("What is 17 plus 25?")
            self.assertIn("42", expected)
            with concurrent.futures.ThreadPoolExecutor(8) as pool:
                answers = [pool.submit(cluster.chat, "What is 17 plus 25?") for _ in range(12)]
                stories = [pool.submit(cluster.complete, "Once upon a time", max_tokens=20, temperature=0.8, seed=i,
                                       n=2, logprobs=1, repetition_penalty=1.1) for i in range(4)]
                self.assertEqual({a.result() for a in answers}, {expected})
                for story in stories:
                    self.assertEqual(len(story.result()["choices"]), 2)
            client = zmq_client.Client(cluster.zmq_endpoint)
            self.assertEqual(client.chat(("user", "What is 17 plus 25?"), temperature=0.0).choices[0].text, expected)
            tag = client.send(zmq_client.completion("Once", max_tokens=900, ignore_eos=True, stream=True))
            while client.receive().WhichOneof("event") != "delta":
                pass
            client.cancel(tag)
            while client.receive().WhichOneof("event") != "finished":
                pass
            client.close()
            self.assertEqual(cluster.post("/v1/completions", {"prompt": "x", "top_p": -1})[0], 400)
            self.assertIn("caudal:batch_size", cluster.get("/metrics")[1])
            self.assertEqual(cluster.stop(), 0)
            for report in REPORTS:
                self.assertNotIn(report, cluster.output())


if __name__ == "__main__":
    unittest.main()
