"""What this machine offers: every key is there, whatever the machine lacks; made-up machines get exact answers."""
import json
import os
import shutil
import socket
import subprocess
import tempfile
import threading
import unittest

from shared import PROGRAM, main, run, run_json

KEYS = ["cuda_driver", "cuda_runtime", "vmm", "memory", "cgroup", "memlock", "overcommit", "max_map_count",
        "transparent_huge_pages", "hugetlb", "numa", "io_uring", "redis"]
MIB = 1 << 20


# a driver for CUDA 12.4 with two devices, of which the second cannot map memory late
DRIVER = """
#include <string.h>
int cuInit(unsigned flags) { return (int)flags + FAILS; }
int cuDriverGetVersion(int* v) { *v = 12040; return 0; }
int cuDeviceGetCount(int* n) { *n = DEVICES; return 0; }
int cuDeviceGet(int* d, int k) { *d = k + 7; return 0; }
int cuDeviceGetName(char* name, int length, int d) { strncpy(name, d == 7 ? "First" : "Seco\\xffnd", length); return 0; }
int cuDeviceTotalMem_v2(unsigned long* bytes, int d) { *bytes = 1UL << 33; return 0; }
int cuDeviceGetAttribute(int* value, int which, int d) { *value = which == 102 && d == 7; return 0; }
"""
RUNTIME = "int cudaRuntimeGetVersion(int* v) { *v = 13000; return 0; }"


def with_libraries(libraries):
    """What the doctor says with these shared libraries first in the search path: C source by name."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        raise unittest.SkipTest("no C compiler")
    with tempfile.TemporaryDirectory() as folder:
        for name, (source, *flags) in libraries.items():
            subprocess.run([compiler, "-shared", "-fPIC", "-w", "-x", "c", "-", "-o", os.path.join(folder, name), *flags],
                           input=source.encode(), check=True)
        done = subprocess.run([PROGRAM, "doctor", "--json"], env={"LD_LIBRARY_PATH": folder}, capture_output=True,
                              timeout=60, stdin=subprocess.DEVNULL)
        assert (done.returncode, done.stderr) == (0, b""), done
        return json.loads(done.stdout)


class machine:
    """A directory with these files, for as long as the `with` lasts."""

    def __init__(self, files):
        self.files = files

    def __enter__(self):
        self.folder = tempfile.TemporaryDirectory()
        for name, text in self.files.items():
            path = os.path.join(self.folder.name, name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "w") as file:
                file.write(text)
        return self.folder.name

    def __exit__(self, *_):
        self.folder.cleanup()


class fake_redis:
    """Listens at a free port and answers each caller with these bytes; None: says nothing."""

    def __init__(self, answer):
        self.answer = answer

    def __enter__(self):
        self.socket = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self.serve, daemon=True).start()
        return self.socket.getsockname()[1]

    def serve(self):
        try:
            caller, _ = self.socket.accept()
            caller.recv(64)
            if self.answer is not None:
                caller.sendall(self.answer)
            caller.recv(64)
            caller.close()
        except OSError:
            pass

    def __exit__(self, *_):
        self.socket.close()


def closed_port():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return taken.getsockname()[1]


def on(files, *arguments):
    with machine(files) as root:
        return run_json("doctor", "--root", root, *arguments)


class Doctor(unittest.TestCase):
    def check_shape(self, out):
        self.assertEqual(list(out), KEYS + ["lacking"])
        for key in KEYS:
            with self.subTest(key):
                found = out[key]
                self.assertIn(found["state"], ("ok", "limited", "missing", "unknown"))
                self.assertTrue(found["value"])
                lacks = found["state"] != "ok"
                self.assertEqual((key in out["lacking"], bool(found["cost"]), bool(found["fix"])), (lacks,) * 3)

    def test_this_machine(self):
        self.check_shape(run_json("doctor"))

    def test_bare_environment(self):
        done = subprocess.run([PROGRAM, "doctor", "--json"], env={}, cwd="/", capture_output=True, timeout=60,
                              stdin=subprocess.DEVNULL)
        self.assertEqual((done.returncode, done.stderr), (0, b""))
        self.check_shape(json.loads(done.stdout))

    def test_no_files_at_all(self):
        out = on({})
        self.check_shape(out)
        for key in ("memory", "memlock", "overcommit", "max_map_count", "numa"):
            self.assertEqual(out[key]["state"], "unknown", key)
        for key in ("transparent_huge_pages", "hugetlb"):
            self.assertEqual(out[key]["state"], "missing", key)
        self.assertEqual(out["cgroup"]["state"], "ok")
        self.check_shape(run_json("doctor", "--root", "/nowhere/at/all"))

    def test_files_of_garbage(self):
        names = ["proc/meminfo", "proc/self/cgroup", "proc/self/limits", "proc/sys/vm/overcommit_memory",
                 "proc/sys/vm/max_map_count", "proc/sys/kernel/io_uring_disabled", "sys/fs/cgroup/memory.max",
                 "sys/kernel/mm/transparent_hugepage/enabled", "sys/kernel/mm/hugepages/hugepages-x/nr_hugepages",
                 "sys/kernel/mm/hugepages/hugepages-99999999999999999999kB/nr_hugepages", "sys/devices/system/node/nodeX/cpulist"]
        for garbage in ("", "\n", "x" * 100_000, "-5", "99999999999999999999999999", "MemTotal: 99999999999999999999 kB",
                        "MemTotal: 18446744073709551615 kB", "]never[", "[", "Max locked memory", "0::", ":memory:\n0::../.."):
            with self.subTest(garbage[:40]):
                self.check_shape(on(dict.fromkeys(names, garbage)))
        # directories where files are expected
        self.check_shape(on({name + "/x": "" for name in names}))

    def test_a_good_machine(self):
        out = on({"proc/meminfo": "MemTotal:       1000000 kB\nMemFree: 5 kB\nMemAvailable:    500000 kB\n",
                  "proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "max\n",
                  "proc/self/limits": "Limit  Soft  Hard\nMax locked memory         unlimited            unlimited            bytes\n",
                  "proc/sys/vm/overcommit_memory": "1\n", "proc/sys/vm/max_map_count": "1048576\n",
                  "sys/kernel/mm/transparent_hugepage/enabled": "always [madvise] never\n",
                  "sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages": "512\n",
                  "sys/kernel/mm/hugepages/hugepages-2048kB/free_hugepages": "500\n",
                  "sys/devices/system/node/node0/cpulist": "0", "sys/devices/system/node/node1/cpulist": "1",
                  "sys/devices/system/node/possible": "0-1"})
        for key in KEYS[3:11]:
            self.assertEqual(out[key]["state"], "ok", out[key])
        self.assertEqual(out["memory"]["total_bytes"], 1_024_000_000)
        self.assertEqual(out["memory"]["available_bytes"], 512_000_000)
        self.assertIsNone(out["memlock"]["limit_bytes"])
        self.assertIsNone(out["cgroup"]["limit_bytes"])
        self.assertEqual(out["transparent_huge_pages"]["mode"], "madvise")
        self.assertEqual(out["hugetlb"]["sizes"], [{"page_bytes": 2 * MIB, "pages": 512, "free": 500}])
        self.assertEqual(out["numa"]["nodes"], 2)

    def test_a_poor_machine(self):
        out = on({"proc/meminfo": "MemTotal: 1048576 kB\nMemAvailable: 10240 kB\n",
                  "proc/self/cgroup": "12:memory:/a/b\n0::/\n",
                  "sys/fs/cgroup/memory/a/b/memory.limit_in_bytes": "9223372036854771712\n",
                  "sys/fs/cgroup/memory/a/memory.limit_in_bytes": "104857600\n",
                  "proc/self/limits": "Max locked memory         8388608              8388608              bytes\n",
                  "proc/sys/vm/overcommit_memory": "2\n", "proc/sys/vm/max_map_count": "65530\n",
                  "sys/kernel/mm/transparent_hugepage/enabled": "always madvise [never]\n",
                  "sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages": "0\n"})
        for key in KEYS[3:10]:
            self.assertEqual(out[key]["state"], "limited", out[key])
        self.assertEqual(out["memory"]["fix"], "hard_limit_options{.limit = 9437184}")
        self.assertEqual(out["cgroup"]["limit_bytes"], 100 * MIB)
        self.assertEqual(out["cgroup"]["fix"], "hard_limit_options{.limit = 94371840}")
        self.assertEqual(out["memlock"]["limit_bytes"], 8 * MIB)
        self.assertEqual(out["max_map_count"]["mappings"], 65530)
        self.assertIn("128.0 GiB", out["max_map_count"]["cost"])

    def test_the_second_control_groups(self):
        files = {"proc/meminfo": "MemTotal: 1048576 kB\nMemAvailable: 1048576 kB\n", "proc/self/cgroup": "0::/x/y\n",
                 "sys/fs/cgroup/x/y/memory.max": "max\n", "sys/fs/cgroup/x/memory.max": "52428800\n"}
        self.assertEqual(on(files)["cgroup"]["limit_bytes"], 50 * MIB)
        # a container's own group is the top
        files = {"proc/meminfo": files["proc/meminfo"], "proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "1000000\n"}
        self.assertEqual(on(files)["cgroup"]["limit_bytes"], 1_000_000)

    def test_redis(self):
        for answer, state, words in ((b"+PONG\r\n", "ok", "answers"), (b"-NOAUTH needed\r\n", "limited", "password"),
                                     (b"HTTP/1.1 400\r\n", "missing", "no Redis"), (b"", "missing", "no Redis"),
                                     (None, "missing", "no Redis")):
            with self.subTest(answer), fake_redis(answer) as port:
                found = run_json("doctor", "--redis-port", port)["redis"]
                self.assertEqual((found["state"], found["address"]), (state, f"127.0.0.1:{port}"))
                self.assertIn(words, found["value"])
        port = closed_port()
        found = run_json("doctor", "--redis-port", port)["redis"]
        self.assertEqual((found["state"], found["value"]), ("missing", f"nobody listens at 127.0.0.1:{port}"))
        self.assertIn(f"--port {port}", found["fix"])

    def test_a_driver_with_two_devices(self):
        out = with_libraries({"libcuda.so.1": (DRIVER, "-DFAILS=0", "-DDEVICES=2"), "libcudart.so.13": (RUNTIME,)})
        self.check_shape(out)
        driver = out["cuda_driver"]
        self.assertEqual((driver["state"], driver["version"], len(driver["devices"])), ("ok", "12.4", 2))
        self.assertEqual(driver["devices"][0], {"name": "First", "bytes": 1 << 33, "vmm": True})
        self.assertFalse(driver["devices"][1]["vmm"])
        self.assertIn("First with 8.0 GiB", driver["value"])
        # the runtime is newer than the driver
        self.assertEqual((out["cuda_runtime"]["state"], out["cuda_runtime"]["version"]), ("limited", "13.0"))
        self.assertEqual((out["vmm"]["state"], out["vmm"]["devices"], out["vmm"]["supported"]), ("limited", 2, 1))

    def test_drivers_that_do_not_help(self):
        for what, source, flags, words in (("no device", DRIVER, ["-DFAILS=0", "-DDEVICES=0"], "no device"),
                                           ("does not start", DRIVER, ["-DFAILS=3", "-DDEVICES=2"], "(error 3)"),
                                           ("another library", "int x;", [], "(error -1)")):
            with self.subTest(what):
                out = with_libraries({"libcuda.so.1": (source, *flags), "libcudart.so.13": ("int x;",)})
                self.check_shape(out)
                self.assertEqual(out["cuda_driver"]["state"], "limited")
                self.assertIn(words, out["cuda_driver"]["value"])
                self.assertEqual(out["cuda_runtime"]["state"], "missing")
                self.assertEqual(out["vmm"]["state"], "missing")

    def test_table(self):
        with machine({"proc/sys/vm/max_map_count": "65530\n"}) as root:
            code, out, err = run("doctor", "--root", root)
        self.assertEqual((code, err), (0, ""))
        self.assertRegex(out, r"(?m)^limited  max_map_count           65530 mappings$")
        self.assertIn("fix:   sudo sysctl vm.max_map_count=1048576\n", out)
        for key in KEYS:
            self.assertIn(f" {key} ", out)

    def test_bad_options(self):
        for bad in (["--redis-port", "0"], ["--redis-port", "65536"], ["--redis-port", "x"], ["--colour"]):
            code, out, err = run("doctor", *bad)
            self.assertEqual((code, out), (2, ""), bad)
            self.assertTrue(err.startswith("tokenheap: "))


if __name__ == "__main__":
    main()
