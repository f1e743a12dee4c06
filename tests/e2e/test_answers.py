"""Every fourth of the recorded answers, bit for bit: 250 requests over both endpoints, sampled, greedy and by beams."""
import pathlib
import subprocess
import sys
import unittest

HERE = pathlib.Path(__file__).resolve().parent
RECORDS = HERE.parent / "reference" / "answers"


class Answers(unittest.TestCase):
    def test_are_as_recorded(self):
        from answers import instruction_set
        record = RECORDS / f"{instruction_set()}.json"
        if not record.exists():
            self.skipTest(f"no record for {instruction_set()}")
        done = subprocess.run([sys.executable, "-B", HERE / "answers.py", "compare", record, "--every", "4"],
                              capture_output=True, text=True, timeout=280)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertIn("250 of 250 answers as recorded", done.stdout)


if __name__ == "__main__":
    unittest.main()
