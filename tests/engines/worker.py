"""A process of a proof that answers commands with JSON, one a line, until its input ends."""

import json
import subprocess
import sys


class Worker:
    def __init__(self, script, *arguments, env=None):
        self.process = subprocess.Popen([sys.executable, script, "--worker", *arguments], text=True, env=env,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def ask(self, command):
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        assert answer, f"the worker ended at {command}: {self.process.wait()}"
        return json.loads(answer)

    def end(self):
        self.process.stdin.close()
        assert self.process.wait() == 0, "a worker did not end well"
