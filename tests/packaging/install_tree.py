"""An installed tree that was moved: complete, without a memory of where it came from, and enough for programs by itself.

    install_tree.py SOURCE_DIR COMPILER
"""
import os
import re
import shutil
import subprocess

import kit


class install_tree(kit.packaging_test):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.configure(cls.folder / "build")
        kit.run("cmake", "--install", cls.folder / "build", "--prefix", cls.folder / "first", env=cls.env)
        cls.prefix = cls.folder / "moved to here"
        (cls.folder / "first").rename(cls.prefix)
        shutil.rmtree(cls.folder / "build")

    def test_is_complete_and_forgets_its_origin(self):
        self.assertEqual(kit.installed_headers(self.prefix / "include"), kit.own_headers())
        others = {path.relative_to(self.prefix).as_posix() for path in self.prefix.rglob("*")
                  if path.is_file() and "include" not in path.relative_to(self.prefix).parts}
        self.assertEqual(others, {
            "share/cmake/tokenheap/tokenheap-config.cmake", "share/cmake/tokenheap/tokenheap-config-version.cmake",
            "share/cmake/tokenheap/tokenheap-targets.cmake", "share/doc/tokenheap/LICENSE", "share/pkgconfig/tokenheap.pc",
            "share/pkgconfig/tokenheap-plan.pc", "share/pkgconfig/tokenheap-redis.pc"})
        places = {kit.ROOT, kit.ROOT.resolve(), self.folder / "build", self.folder / "first"}
        self.assertEqual(kit.remembers(self.prefix, places), [])
        # the search itself finds what is there
        (self.prefix / "planted").write_text(f"x{kit.ROOT}y")
        self.assertEqual(kit.remembers(self.prefix, places), ["planted"])
        (self.prefix / "planted").unlink()

    def test_serves_programs_that_see_nothing_else(self):
        self.build_by_find_package(self.prefix)
        if os.path.isfile("/usr/include/nlohmann/json.hpp") and os.path.isfile("/usr/include/hiredis/hiredis.h"):
            self.build_by_find_package(self.prefix, "components")
        else:
            print("left out: the parts plan and redis; nlohmann-json or hiredis is not installed")
        if os.path.isfile("/usr/local/cuda/include/cuda_runtime_api.h"):
            self.build_by_find_package(self.prefix, "cuda")
        else:
            print("left out: the part cuda; no toolkit in /usr/local/cuda")

    def test_pkg_config_alone_is_enough(self):
        prefix = self.folder / "moved"  # without a blank, as makefiles need it
        shutil.copytree(self.prefix, prefix)
        self.build_by_pkg_config(prefix)
        env = self.env | {"PKG_CONFIG_PATH": str(prefix / "share/pkgconfig")}
        for part, need in (("plan", "nlohmann_json"), ("redis", "hiredis")):
            if subprocess.run(["pkg-config", "--exists", need], env=self.env).returncode != 0:
                print(f"left out: tokenheap-{part}; pkg-config does not know {need}")
            elif part == "redis":
                self.build_by_pkg_config(prefix, "tokenheap-redis", "components/redis.cpp")
            else:  # headers alone, and four seconds to compile: the find_package consumer does
                flags = kit.run("pkg-config", "--cflags", "tokenheap-plan", env=env).split()
                self.assertEqual([os.path.realpath(flag[2:]) for flag in flags if flag.startswith("-I")],
                                 [os.path.realpath(prefix / "include")])

    def test_a_part_that_is_absent_fails_those_alone_who_need_it(self):
        def configure(wanted, *more):
            project = self.folder / "wanting"
            project.mkdir(exist_ok=True)
            (project / "CMakeLists.txt").write_text(
                "cmake_minimum_required(VERSION 3.24)\nproject(wanting LANGUAGES NONE)\n"
                f"find_package(tokenheap {wanted})\n"
                "message(STATUS \"got ${tokenheap_FOUND} ${tokenheap_cuda_FOUND} ${tokenheap_plan_FOUND}\")\n"
                "if(TARGET tokenheap::plan)\n  message(STATUS \"target plan\")\nendif()\n")
            shutil.rmtree(self.folder / "wanting_build", ignore_errors=True)
            done = subprocess.run(
                ["cmake", "-S", project, "-B", self.folder / "wanting_build", "-G", "Ninja",
                 f"-DCMAKE_PREFIX_PATH={self.prefix}", *more], capture_output=True, text=True, env=self.env)
            return done.returncode, re.sub(r"\s+", " ", done.stdout + done.stderr)

        none = ["-DCMAKE_DISABLE_FIND_PACKAGE_nlohmann_json=ON", "-DCMAKE_DISABLE_FIND_PACKAGE_CUDAToolkit=ON"]
        code, output = configure("REQUIRED COMPONENTS plan", *none)
        self.assertNotEqual(code, 0)
        self.assertIn("The part plan needs nlohmann-json (Debian: nlohmann-json3-dev).", output)
        code, output = configure("REQUIRED OPTIONAL_COMPONENTS cuda plan", *none)
        self.assertEqual(code, 0, output)
        self.assertIn("got 1 FALSE FALSE", output)
        self.assertNotIn("target plan", output)
        code, output = configure("COMPONENTS plan", *none)
        self.assertEqual(code, 0, output)
        self.assertIn("got 0", output)
        code, output = configure("REQUIRED COMPONENTS no_such_part")
        self.assertNotEqual(code, 0)
        self.assertIn("the parts are cuda, plan and redis", output)

    def test_below_usr_pkg_config_names_no_system_folder(self):
        self.configure(self.folder / "usr", "-DCMAKE_INSTALL_PREFIX=/usr")
        kit.run("cmake", "--install", self.folder / "usr", env=self.env | {"DESTDIR": str(self.folder / "stage")})
        folder = self.folder / "stage/usr/share/pkgconfig"
        flags = kit.run("pkg-config", "--cflags", "tokenheap", env=self.env | {"PKG_CONFIG_PATH": str(folder)})
        self.assertEqual(flags.split(), ["-std=c++20"])


if __name__ == "__main__":
    kit.main()
