"""What the tests of packages share: installs of this tree, and programs that see an installed tree and nothing else."""
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True  # a test leaves nothing in the tree of source
ROOT = pathlib.Path(sys.argv[1]).absolute()
COMPILER = sys.argv[2]
BUILD = pathlib.Path(sys.argv[3]).absolute() if len(sys.argv) > 3 else None
OFF = ["-DTOKENHEAP_BUILD_TESTS=OFF", "-DTOKENHEAP_BUILD_EXAMPLES=OFF", "-DTOKENHEAP_BUILD_PROGRAM=OFF",
       "-DTOKENHEAP_BUILD_BENCHMARKS=OFF"]


def clean_environment(folder):
    """The folders of the tools and nothing that a user's shell may have set."""
    tools = [pathlib.Path(found).parent for found in map(shutil.which, ("cmake", "ninja", "pkg-config", COMPILER)) if found]
    path = list(dict.fromkeys([str(tool) for tool in tools] + ["/usr/bin", "/bin"]))
    return {"PATH": os.pathsep.join(path), "HOME": str(folder), "LC_ALL": "C"}


def run(*command, env=None, cwd=None):
    """The output of a command that has to succeed."""
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, env=env, cwd=cwd)
    if done.returncode != 0:
        raise AssertionError(f"{' '.join(str(word) for word in command)}: {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def version():
    text = (ROOT / "include/tokenheap/core/config.hpp").read_text()
    return ".".join(re.search(rf"^#define TOKENHEAP_VERSION_{part} (\d+)$", text, re.M).group(1)
                    for part in ("MAJOR", "MINOR", "PATCH"))


def options():
    """The names that CMakeLists.txt declares by option()."""
    return set(re.findall(r"^option\((\w+)", (ROOT / "CMakeLists.txt").read_text(), re.M))


def remembers(folder, places):
    """The files below a folder whose bytes name one of the places."""
    found = []
    for path in sorted(folder.rglob("*")):
        if path.is_file() and any(str(place).encode() in path.read_bytes() for place in places):
            found.append(path.relative_to(folder).as_posix())
    return found


def installed_headers(include):
    """Names of the headers below an installed include folder."""
    return {path.relative_to(include).as_posix() for path in include.rglob("*") if path.is_file()}


def own_headers():
    return {name for name in installed_headers(ROOT / "include") if name.endswith((".hpp", ".h"))}


class packaging_test(unittest.TestCase):
    """A test with a folder of its own, far from the tree of source, and without the environment of its caller."""

    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="tokenheap_packaging_"))
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        cls.env = clean_environment(cls.folder)
        shutil.copytree(ROOT / "tests" / "consumer", cls.folder / "consumer")

    @classmethod
    def configure(cls, build, *more):
        run("cmake", "-S", ROOT, "-B", build, "-G", "Ninja", f"-DCMAKE_CXX_COMPILER={COMPILER}", *OFF, *more, env=cls.env)

    def build_by_find_package(self, prefix, case="find_package", *more):
        """Builds and runs a consumer; demands that each header of the library came out of the prefix."""
        build = self.folder / f"build_{case}_{len(list(self.folder.iterdir()))}"
        run("cmake", "-S", self.folder / "consumer" / case, "-B", build, "-G", "Ninja", "-DCMAKE_BUILD_TYPE=Debug",
            f"-DCMAKE_CXX_COMPILER={COMPILER}", "-DCMAKE_CXX_FLAGS_DEBUG=-O0 -g0", f"-DCMAKE_PREFIX_PATH={prefix}",
            f"-DWANTED_VERSION={version()}", "-DCMAKE_FIND_PACKAGE_NO_PACKAGE_REGISTRY=ON", *more, env=self.env)
        run("cmake", "--build", build, env=self.env)
        run(build / "consumer", env=self.env)
        self.came_from(prefix, run("ninja", "-C", build, "-t", "deps", env=self.env).splitlines())

    def build_by_pkg_config(self, prefix, module="tokenheap", source="main.cpp", env=None):
        """The same without CMake: the line that a makefile would have."""
        env = self.env | {"PKG_CONFIG_PATH": str(next(prefix.rglob("tokenheap.pc")).parent)} | (env or {})
        flags = run("pkg-config", "--cflags", "--libs", f"{module} = {version()}", env=env).split()
        program = self.folder / f"by_pkg_config_{module}"
        source = self.folder / "consumer" / source
        run(COMPILER, source, "-o", program, *flags, "-MD", "-MF", self.folder / "deps", env=env)
        run(program, env=self.env)
        self.came_from(prefix, (self.folder / "deps").read_text().split())

    def came_from(self, prefix, dependencies):
        headers = [name.strip() for name in dependencies if re.search(r"/tokenheap/\S+\.hpp$", name)]
        self.assertGreater(len(headers), 5)
        strangers = [header for header in headers if not os.path.realpath(header).startswith(os.path.realpath(prefix) + "/")]
        self.assertEqual(strangers, [])


def main():
    unittest.main(argv=sys.argv[:1], verbosity=2)
