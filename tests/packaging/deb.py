"""The Debian packages: their fields and files, programs built out of them, and an installation that goes away again.

    deb.py SOURCE_DIR COMPILER [BUILD]        with a build tree that has the program, tokenheap-tools is tested too

Exits with 77 where dpkg or cpack is absent.
"""
import gzip
import os
import re
import shutil
import stat
import subprocess
import sys
import unittest

import kit


def field(package, name):
    return kit.run("dpkg-deb", "-f", package, name).strip()


def listing(package):
    """(mode, owner, name) of everything in a package."""
    lines = kit.run("dpkg-deb", "-c", package).splitlines()
    return [(words[0], words[1], words[5]) for words in (line.split(maxsplit=5) for line in lines)]


class debian_package:
    """What holds for each package."""

    def check_papers(self, name):
        folder = self.unpacked / "usr/share/doc" / name
        papers = {path.name for path in folder.iterdir()}
        self.assertEqual(papers - {"changelog.gz"}, {"copyright"})
        self.assertIn("License: Apache-2.0", (folder / "copyright").read_text())
        if shutil.which("gzip"):
            changes = gzip.decompress((folder / "changelog.gz").read_bytes()).decode()
            self.assertTrue(changes.startswith(f"tokenheap ({kit.version()}) unstable;"), changes[:200])
            self.assertTrue(changes.endswith((kit.ROOT / "CHANGELOG.md").read_text().rstrip() + "\n\n"), changes[-200:])
        modes = {(mode, owner) for mode, owner, _ in listing(self.package)}
        allowed = {("drwxr-xr-x", "root/root"), ("-rw-r--r--", "root/root"), ("-rwxr-xr-x", "root/root")}
        self.assertEqual(modes - allowed, set())

    def test_lintian_finds_nothing(self):
        if not shutil.which("lintian"):
            self.skipTest("lintian is not installed")
        more = ["--allow-root"] if os.geteuid() == 0 else []
        done = subprocess.run(["lintian", "--no-cfg", "--fail-on", "error,warning", *more, str(self.package)],
                              capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)


class libtokenheap_dev(debian_package, kit.packaging_test):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.env = cls.env | {"PATH": cls.env["PATH"] + ":/usr/sbin:/sbin"}
        cls.configure(cls.folder / "build")
        # what is packed must not depend on the mask of who packs
        kit.run("sh", "-c", 'umask 027 && cpack --config "$1/build/CPackConfig.cmake" -B "$1/out"', "sh", cls.folder, env=cls.env)
        cls.package, *others = (cls.folder / "out").glob("*.deb")
        assert others == [], others
        cls.unpacked = cls.folder / "unpacked"
        kit.run("dpkg-deb", "-x", cls.package, cls.unpacked)

    def test_fields(self):
        self.assertEqual(self.package.name, f"libtokenheap-dev_{kit.version()}_all.deb")
        for name, value in (("Package", "libtokenheap-dev"), ("Version", kit.version()), ("Architecture", "all"), ("Depends", ""),
                            ("Section", "libdevel"), ("Recommends", "nlohmann-json3-dev, libhiredis-dev")):
            self.assertEqual(field(self.package, name), value, name)
        description = field(self.package, "Description").splitlines()
        self.assertLessEqual(len(description[0]), 80)
        self.assertGreater(len(description), 3)

    def test_files(self):
        self.check_papers("libtokenheap-dev")
        usr = self.unpacked / "usr"
        self.assertEqual(kit.installed_headers(usr / "include"), kit.own_headers())
        others = {path.relative_to(usr).parts[:3] for path in usr.rglob("*") if path.is_file() and path.suffix not in (".hpp", ".h")}
        self.assertEqual(others, {("share", "cmake", "tokenheap"), ("share", "doc", "libtokenheap-dev")} | {
            ("share", "pkgconfig", f"{module}.pc") for module in ("tokenheap", "tokenheap-plan", "tokenheap-redis")})
        self.assertEqual(kit.remembers(self.unpacked, {kit.ROOT, kit.ROOT.resolve(), self.folder}), [])
        sums = self.folder / "control"
        kit.run("dpkg-deb", "-e", self.package, sums)
        self.assertEqual({stat.S_IMODE(path.stat().st_mode) for path in sums.iterdir()}, {0o644})
        kit.run("md5sum", "--check", "--quiet", "--strict", sums / "md5sums", cwd=self.unpacked)

    def test_programs_are_built_out_of_it(self):
        self.build_by_find_package(self.unpacked / "usr")
        self.build_by_pkg_config(self.unpacked / "usr", source="leaf.cpp", env={"PKG_CONFIG_SYSROOT_DIR": str(self.unpacked)})

    def test_the_system_prefix_is_no_flag(self):
        # found from its own place, /usr/include would come as a path that hides the C library from the C++ one
        env = self.env | {"PKG_CONFIG_PATH": str(self.unpacked / "usr/share/pkgconfig")}
        self.assertEqual(kit.run("pkg-config", "--cflags", "tokenheap", env=env).split(), ["-std=c++20"])

    def test_dpkg_installs_and_removes_it(self):
        """In a root folder of its own, with a list of packages of its own."""
        as_root = [] if os.geteuid() == 0 else [shutil.which("fakeroot")]
        if as_root == [None]:
            self.skipTest("neither root nor fakeroot")
        root = self.folder / "root"
        for folder in ("updates", "info", "triggers"):
            (root / "var/lib/dpkg" / folder).mkdir(parents=True)
        (root / "var/lib/dpkg/status").touch()
        dpkg = [*as_root, "dpkg", f"--root={root}", f"--log={self.folder / 'dpkg.log'}", "--force-not-root",
                "--force-script-chrootless"]
        kit.run(*dpkg, "--install", self.package, env=self.env)
        state = kit.run("dpkg-query", f"--root={root}", "-W", "-f", "${db:Status-Status}", "libtokenheap-dev", env=self.env)
        self.assertEqual(state, "installed")
        self.assertTrue((root / "usr/include/tokenheap/tokenheap.hpp").is_file())
        kit.run(*dpkg, "--purge", "libtokenheap-dev", env=self.env)
        self.assertEqual(list((root / "usr").rglob("*")) if (root / "usr").exists() else [], [])

    def test_installed_in_the_system_it_needs_no_path(self):
        """By dpkg into /usr itself, under a layer of memory over /usr and /var that this process alone sees."""
        layers = f"""set -e
            mount -t tmpfs none {self.folder}/layers
            for top in usr var; do
              mkdir -p {self.folder}/layers/$top/upper {self.folder}/layers/$top/work
              mount -t overlay overlay -o lowerdir=/$top,upperdir={self.folder}/layers/$top/upper,workdir={self.folder}/layers/$top/work /$top
            done
            """
        (self.folder / "layers").mkdir()
        if subprocess.run(["unshare", "-m", "sh", "-c", layers], capture_output=True, env=self.env).returncode != 0:
            self.skipTest("no overlay over /usr: it takes root and a kernel that lets it")
        steps = layers + f"""
            dpkg --install {self.package}
            for way in find_package pkg_config; do
              cmake -S {self.folder}/consumer/$way -B {self.folder}/$way -G Ninja -DCMAKE_CXX_COMPILER={kit.COMPILER} \\
                -DWANTED_VERSION={kit.version()}
              cmake --build {self.folder}/$way
              {self.folder}/$way/consumer
            done
            {kit.COMPILER} -std=c++20 {self.folder}/consumer/leaf.cpp -o {self.folder}/without_a_flag
            {self.folder}/without_a_flag
            dpkg --purge libtokenheap-dev
            test ! -e /usr/include/tokenheap
            """
        before = os.path.exists("/usr/include/tokenheap")
        kit.run("unshare", "-m", "sh", "-c", steps, env=self.env)
        self.assertEqual(os.path.exists("/usr/include/tokenheap"), before)


@unittest.skipUnless(kit.BUILD and "tokenheap_tools" in (kit.BUILD / "CPackConfig.cmake").read_text(),
                     "no build tree that has the program")
class tokenheap_tools(debian_package, kit.packaging_test):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        kit.run("cpack", "--config", kit.BUILD / "CPackConfig.cmake", "-B", cls.folder / "out",
                "-D", "CPACK_COMPONENTS_ALL=tokenheap_tools")
        cls.package, *others = (cls.folder / "out").glob("*.deb")
        assert others == [], others
        cls.unpacked = cls.folder / "unpacked"
        kit.run("dpkg-deb", "-x", cls.package, cls.unpacked)

    def test_fields(self):
        architecture = kit.run("dpkg", "--print-architecture").strip()
        self.assertEqual(self.package.name, f"tokenheap-tools_{kit.version()}_{architecture}.deb")
        self.assertEqual(field(self.package, "Architecture"), architecture)
        self.assertEqual(field(self.package, "Section"), "utils")
        if not shutil.which("dpkg-shlibdeps"):
            self.skipTest("dpkg-shlibdeps (dpkg-dev) is not installed: the package depends on nothing")
        depends = field(self.package, "Depends")
        for library in ("libc6", "libstdc++6", "libfmt"):
            self.assertRegex(depends, rf"(^|, ){re.escape(library)}")

    def test_files(self):
        self.check_papers("tokenheap-tools")
        files = {name for mode, _, name in listing(self.package) if mode.startswith("-")}
        self.assertEqual({name for name in files if not name.endswith(".gz")},
                         {"./usr/bin/tokenheap", "./usr/share/doc/tokenheap-tools/copyright"})
        self.assertEqual(kit.remembers(self.unpacked, {kit.ROOT, kit.ROOT.resolve(), kit.BUILD}), [])

    def test_the_program_runs(self):
        program = self.unpacked / "usr/bin/tokenheap"
        self.assertNotIn(".symtab", kit.run("readelf", "-SW", program))
        self.assertIn("memory", kit.run(program, "doctor", env=self.env))

    def test_the_manual_page_names_every_command(self):
        if not shutil.which("gzip"):
            self.skipTest("gzip is not installed")
        page = gzip.decompress((self.unpacked / "usr/share/man/man1/tokenheap.1.gz").read_bytes()).decode()
        said = kit.run(self.unpacked / "usr/bin/tokenheap", "--help", env=self.env)
        commands = re.findall(r"^  (\w+) ", said.split("Subcommands:")[1], re.M)
        self.assertGreater(len(commands), 5)
        self.assertEqual(sorted(re.findall(r"^\.TP\n\.B (\w+)$", page, re.M)), sorted(commands))
        self.assertIn(f'"tokenheap {kit.version()}"', page)


if __name__ == "__main__":
    missing = [tool for tool in ("dpkg", "dpkg-deb", "dpkg-query", "cpack", "pkg-config") if not shutil.which(tool)]
    if missing:
        print(f"left out: Debian packages; {', '.join(missing)} not found")
        sys.exit(77)
    kit.main()
