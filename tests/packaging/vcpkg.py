"""The vcpkg port: its manifest, what its portfile names, and the package that its steps make, used by programs.

    vcpkg.py SOURCE_DIR COMPILER

Where vcpkg itself is absent, vcpkg_steps.cmake runs the portfile over plain CMake.
"""
import json
import re
import shutil
import unittest

import kit

PORT = kit.ROOT / "cmake" / "packaging" / "vcpkg"


def manifest():
    return json.loads((PORT / "vcpkg.json").read_text())


class the_manifest(unittest.TestCase):
    def test_says_what_the_headers_say(self):
        read = manifest()
        self.assertEqual(read["version-semver"], kit.version())
        self.assertEqual(read["name"], "tokenheap")
        project = (kit.ROOT / "CMakeLists.txt").read_text()
        self.assertIn(f'HOMEPAGE_URL "{read["homepage"]}"', project)
        self.assertIn(f'DESCRIPTION "{read["description"][0]}"', project)
        self.assertIn("Apache License", (kit.ROOT / "LICENSE").read_text())
        self.assertEqual(read["license"], "Apache-2.0")

    def test_has_the_fields_and_no_others(self):
        read = manifest()
        self.assertEqual(set(read), {"$schema", "name", "version-semver", "description", "homepage", "license", "supports",
                                     "dependencies", "features"})
        for dependency in read["dependencies"]:
            self.assertEqual(dependency, {"name": dependency["name"], "host": True})
        self.assertEqual({feature: read["features"][feature]["dependencies"] for feature in read["features"]},
                         {"plan": ["nlohmann-json"], "redis": ["hiredis"]})

    def test_features_are_parts_of_the_package(self):
        config = (kit.ROOT / "cmake" / "tokenheap-config.cmake.in").read_text()
        parts = set(re.findall(r'tokenheap_part STREQUAL "(\w+)"', config))
        self.assertEqual(set(manifest()["features"]), parts - {"cuda"})
        for feature in manifest()["features"]:
            self.assertIn(f"tokenheap::{feature}", (PORT / "usage").read_text())


class the_portfile(kit.packaging_test):
    def test_sets_options_that_exist(self):
        text = (PORT / "portfile.cmake").read_text()
        named = dict(re.findall(r"-D(\w+)=(\w+)", text))
        self.assertEqual(set(named), kit.options())
        self.assertEqual([name for name, value in named.items() if value == "ON"], ["TOKENHEAP_INSTALL"])
        # each helper port that brings a function is a dependency
        brings = {"vcpkg_cmake_configure": "vcpkg-cmake", "vcpkg_cmake_install": "vcpkg-cmake",
                  "vcpkg_cmake_config_fixup": "vcpkg-cmake-config"}
        needed = {port for function, port in brings.items() if f"{function}(" in text}
        self.assertEqual({dependency["name"] for dependency in manifest()["dependencies"]}, needed)

    def package(self, *features):
        work = self.folder / ("port_" + "_".join(features))
        (work / "dependencies").mkdir(parents=True)
        for feature in features:
            module = {"plan": "nlohmann_json", "redis": "hiredis"}[feature]
            (work / "dependencies" / f"{module}.pc").write_text(f"Name: {module}\nDescription: stands in\nVersion: 1\n")
        kit.run("cmake", f"-DPORTFILE={PORT / 'portfile.cmake'}", f"-DROOT={kit.ROOT}", f"-DWORK={work}",
                f"-DFEATURES={';'.join(('core',) + features)}", f"-DVERSION={manifest()['version-semver']}", "-DPORT=tokenheap",
                f"-DCOMPILER={kit.COMPILER}", "-P", kit.ROOT / "tests/packaging/vcpkg_steps.cmake", env=self.env)
        return work / "packages"

    def laid_out(self, package, modules):
        others = {path.relative_to(package).as_posix() for path in package.rglob("*")
                  if path.is_file() and path.suffix not in (".hpp", ".h")}
        share = {f"share/tokenheap/{name}" for name in ("tokenheap-config.cmake", "tokenheap-config-version.cmake",
                                                        "tokenheap-targets.cmake", "usage", "copyright")}
        self.assertEqual(others, share | {f"share/pkgconfig/{module}.pc" for module in modules})
        self.assertEqual(kit.installed_headers(package / "include"), kit.own_headers())
        self.assertEqual((package / "share/tokenheap/copyright").read_text(), (kit.ROOT / "LICENSE").read_text())
        empty = [path for path in package.rglob("*") if path.is_dir() and not any(path.iterdir())]
        self.assertEqual(empty, [])

    def test_makes_a_package_that_works(self):
        package = self.package()
        self.laid_out(package, ["tokenheap"])
        # installed trees of vcpkg are copies
        moved = self.folder / "vcpkg_installed" / "x64-linux"
        shutil.copytree(package, moved)
        self.assertEqual(kit.remembers(moved, {kit.ROOT, kit.ROOT.resolve(), package.parent}), [])
        self.build_by_find_package(moved)

    def test_features_add_their_modules(self):
        self.laid_out(self.package("plan", "redis"), ["tokenheap", "tokenheap-plan", "tokenheap-redis"])

    def test_a_module_without_its_need_is_refused_by_the_steps(self):
        # what the portfile leaves out must matter
        text = (PORT / "portfile.cmake").read_text().replace("if(NOT part IN_LIST FEATURES)", "if(FALSE)")
        broken = self.folder / "broken"
        shutil.copytree(PORT, broken)
        (broken / "portfile.cmake").write_text(text)
        work = self.folder / "port_broken"
        with self.assertRaisesRegex(AssertionError, "nlohmann_json"):
            kit.run("cmake", f"-DPORTFILE={broken / 'portfile.cmake'}", f"-DROOT={kit.ROOT}", f"-DWORK={work}", "-DFEATURES=core",
                    f"-DVERSION={kit.version()}", "-DPORT=tokenheap", f"-DCOMPILER={kit.COMPILER}",
                    "-P", kit.ROOT / "tests/packaging/vcpkg_steps.cmake", env=self.env)


if __name__ == "__main__":
    kit.main()
