"""What every test of the program shares: its path, a way to run it, and temporary trace files."""
import json
import os
import subprocess
import sys
import tempfile
import unittest

PROGRAM = os.path.abspath(sys.argv[1]) if len(sys.argv) > 1 else os.environ.get("TOKENHEAP_PROGRAM", "tokenheap")
SOURCE = os.path.abspath(sys.argv[2]) if len(sys.argv) > 2 else os.getcwd()
TRACES = os.path.join(SOURCE, "..", "shared", "traces")


def run(*arguments, timeout=240):
    """Runs the program; returns exit code, stdout and stderr."""
    done = subprocess.run([PROGRAM, *map(str, arguments)], capture_output=True, timeout=timeout, stdin=subprocess.DEVNULL)
    return done.returncode, done.stdout.decode(), done.stderr.decode(errors="replace")


def run_json(*arguments):
    """Runs the program with --json, expects success, and returns the one object that it printed."""
    code, out, err = run(*arguments, "--json")
    assert code == 0, (arguments, code, err)
    assert out.count("\n") == 1 and out.endswith("\n"), out
    return json.loads(out)


def public_trace(name):
    """The path of a public trace, or a skipped test where it is absent."""
    path = os.path.join(TRACES, name)
    if not os.path.exists(path):
        raise unittest.SkipTest(f"{name} is not in ../shared/traces")
    return path


class trace_file:
    """A file with these bytes, for as long as the `with` lasts."""

    def __init__(self, content, suffix=".trace"):
        self.content = content.encode() if isinstance(content, str) else content
        self.suffix = suffix

    def __enter__(self):
        handle, self.path = tempfile.mkstemp(self.suffix)
        with os.fdopen(handle, "wb") as file:
            file.write(self.content)
        return self.path

    def __exit__(self, *_):
        os.unlink(self.path)


def main():
    unittest.main(argv=[sys.argv[0]], verbosity=2)
