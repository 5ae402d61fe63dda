"""The Conan recipe: what it says, the package that its own package() makes, and `conan create` where conan is installed.

    conan_recipe.py SOURCE_DIR COMPILER CONAN        CONAN may be empty: then what needs it is left out, by name
"""
import ast
import fnmatch
import importlib.util
import os
import pathlib
import re
import shutil
import subprocess
import sys
import types
import unittest

import kit

RECIPE = kit.ROOT / "cmake" / "packaging" / "conan"
CONAN = sys.argv[3] if len(sys.argv) > 3 and sys.argv[3] and "NOTFOUND" not in sys.argv[3] else None
PROFILE = """[settings]
os=Linux
arch=x86_64
build_type=Debug
compiler={compiler}
compiler.version={version}
compiler.libcxx=libstdc++11
compiler.cppstd={standard}
[conf]
tools.cmake.cmaketoolchain:generator=Ninja
tools.build:compiler_executables={{"cpp": "{path}"}}
"""


class open_record(types.SimpleNamespace):
    """An object that has whatever is put into it, and remembers properties."""

    def set_property(self, name, value):
        self.__dict__.setdefault("properties", {})[name] = value


class components(dict):
    def __missing__(self, name):
        self[name] = open_record()
        return self[name]


def copy(recipe, pattern, src, dst):
    """conan.tools.files.copy, as documented: patterns over paths below src, folders kept."""
    for path in sorted(pathlib.Path(src).rglob("*")):
        name = path.relative_to(src).as_posix()
        if path.is_file() and fnmatch.fnmatch(name, pattern):
            target = pathlib.Path(dst) / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target)


def load_recipe():
    """The module conanfile.py over a stand-in of the few names that it imports."""
    modules = {"conan": {"ConanFile": object}, "conan.errors": {"ConanInvalidConfiguration": type("refused", (Exception,), {})},
               "conan.tools": {}, "conan.tools.build": {"check_min_cppstd": lambda recipe, least: None},
               "conan.tools.files": {"copy": copy, "load": lambda recipe, path: pathlib.Path(path).read_text()},
               "conan.tools.layout": {"basic_layout": lambda recipe, src_folder: None}}
    kept = {name: sys.modules.get(name) for name in modules}
    for name, names in modules.items():
        sys.modules[name] = types.ModuleType(name)
        sys.modules[name].__dict__.update(names)
    try:
        spec = importlib.util.spec_from_file_location("recipe", RECIPE / "conanfile.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    finally:
        for name, module_before in kept.items():
            sys.modules.pop(name)
            if module_before is not None:
                sys.modules[name] = module_before
    return module


def made(module, **options):
    """A recipe object in the state that Conan would give it."""
    recipe = module.tokenheap_recipe()
    recipe.recipe_folder = str(RECIPE)
    recipe.options = types.SimpleNamespace(**(module.tokenheap_recipe.default_options | options))
    recipe.cpp_info = open_record(components=components())
    recipe.needed = []
    recipe.requires = lambda reference, **traits: recipe.needed.append((reference, traits))
    return recipe


class the_recipe(kit.packaging_test):
    def test_parses_and_has_what_conan_reads(self):
        for path in (RECIPE / "conanfile.py", RECIPE / "test_package" / "conanfile.py"):
            tree = ast.parse(path.read_text())
            classes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
            self.assertEqual([base.id for node in classes for base in node.bases], ["ConanFile"])
        recipe = load_recipe().tokenheap_recipe
        self.assertEqual(recipe.name, "tokenheap")
        self.assertEqual(recipe.package_type, "header-library")
        self.assertTrue(recipe.no_copy_source)
        self.assertEqual(recipe.license, "Apache-2.0")
        self.assertEqual(set(recipe.options), set(recipe.default_options))
        project = (kit.ROOT / "CMakeLists.txt").read_text()
        self.assertIn(f'DESCRIPTION "{recipe.description}"', project)
        self.assertIn(f'HOMEPAGE_URL "{recipe.homepage}"', project)

    def test_takes_the_version_of_the_headers(self):
        recipe = made(load_recipe())
        recipe.set_version()
        self.assertEqual(recipe.version, kit.version())

    def test_options_bring_what_the_parts_need(self):
        recipe = made(load_recipe())
        recipe.requirements()
        recipe.package_info()
        self.assertEqual(recipe.needed, [])
        self.assertEqual(set(recipe.cpp_info.components), {"core"})
        recipe = made(load_recipe(), with_plan=True, with_redis=True)
        recipe.requirements()
        recipe.package_info()
        self.assertEqual([reference.split("/")[0] for reference, _ in recipe.needed], ["nlohmann_json", "hiredis"])
        # the names are those of the library's own package
        config = (kit.ROOT / "cmake" / "tokenheap-config.cmake.in").read_text()
        parts = set(re.findall(r'tokenheap_part STREQUAL "(\w+)"', config)) - {"cuda"}
        self.assertEqual(set(recipe.cpp_info.components), parts | {"core"})
        names = {part.properties["cmake_target_name"] for part in recipe.cpp_info.components.values()}
        self.assertEqual(names, {f"tokenheap::{part}" for part in parts | {"tokenheap"}})
        self.assertNotIn(recipe.cpp_info.properties["cmake_target_name"], names)

    def test_other_machines_are_refused(self):
        module = load_recipe()
        for system, arch, good in (("Linux", "x86_64", True), ("Windows", "x86_64", False), ("Linux", "armv8", False)):
            recipe = made(module)
            recipe.settings = types.SimpleNamespace(os=system, arch=arch, get_safe=lambda name: "20")
            if good:
                recipe.validate()
            else:
                self.assertRaises(module.ConanInvalidConfiguration, recipe.validate)

    def test_package_by_hand_serves_a_program(self):
        recipe = made(load_recipe())
        recipe.export_sources_folder = recipe.source_folder = str(self.folder / "exported")
        recipe.package_folder = str(self.folder / "package")
        recipe.export_sources()
        recipe.package()
        package = self.folder / "package"
        self.assertEqual(kit.installed_headers(package / "include"), kit.own_headers())
        self.assertEqual((package / "licenses" / "LICENSE").read_text(), (kit.ROOT / "LICENSE").read_text())
        source = self.folder / "test_package.cpp"
        shutil.copy(RECIPE / "test_package" / "test_package.cpp", source)
        kit.run(kit.COMPILER, "-std=c++20", "-O0", f"-I{package}/include", source, "-o", self.folder / "by_hand", env=self.env)
        kit.run(self.folder / "by_hand", env=self.env)


@unittest.skipIf(CONAN is None, "conan is not installed (PyPI has it)")
class conan_itself(kit.packaging_test):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.env = cls.env | {"CONAN_HOME": str(cls.folder / "home")}

    def profile(self, standard="20"):
        said = kit.run(kit.COMPILER, "-dM", "-E", "-x", "c++", os.devnull, env=self.env)
        clang = re.search(r"__clang_major__ (\d+)", said)
        path = self.folder / f"profile_{standard}"
        path.write_text(PROFILE.format(
            compiler="clang" if clang else "gcc", version=(clang or re.search(r"__GNUC__ (\d+)", said)).group(1),
            standard=standard, path=shutil.which(kit.COMPILER)))
        return path

    def conan(self, *words, **environment):
        return subprocess.run([CONAN, *map(str, words)], capture_output=True, text=True, env=self.env | environment, cwd=self.folder)

    def create(self, *more, standard="20"):
        # conan builds beside the test's recipe
        tests = self.folder / "test_package"
        shutil.copytree(RECIPE / "test_package", tests, dirs_exist_ok=True)
        return self.conan("create", RECIPE, "-tf", tests, "-pr:a", self.profile(standard), "--no-remote", *more)

    def test_create_with_every_part_that_is_here(self):
        wanted = []
        for option, name, version, header in (("with_plan", "nlohmann_json", "3.11.2", "nlohmann"),
                                              ("with_redis", "hiredis", "1.2.0", "hiredis")):
            if not os.path.isdir(f"/usr/include/{header}"):
                print(f"left out: {option}; /usr/include/{header} is not there")
                continue
            # conan writes beside a recipe
            recipe = self.folder / f"stand_in_{name}"
            recipe.mkdir()
            shutil.copy(kit.ROOT / "tests/packaging/conan_stand_in.py", recipe / "conanfile.py")
            done = self.conan("export-pkg", recipe, "--name", name, "--version", version,
                              "-pr:a", self.profile(), "--no-remote", STAND_IN_HEADERS=header)
            self.assertEqual(done.returncode, 0, done.stderr)
            wanted += ["-o", f"tokenheap/*:{option}=True"]
        done = self.create(*wanted)
        self.assertEqual(done.returncode, 0, done.stderr)
        for target in ["tokenheap", "plan", "redis"][:1 + len(wanted) // 2]:
            self.assertIn(f"'tokenheap::{target}'", done.stderr + done.stdout)
        package = next((self.folder / "home").rglob("licenses")).parent
        self.assertEqual(kit.installed_headers(package / "include"), kit.own_headers())
        left = {path.name for path in (RECIPE / "test_package").iterdir()} - {".gitignore", "__pycache__"}
        self.assertEqual(left, {"CMakeLists.txt", "conanfile.py", "test_package.cpp"})

    def test_older_standard_is_refused(self):
        done = self.create(standard="17")
        self.assertNotEqual(done.returncode, 0)
        self.assertRegex(done.stderr, r"Invalid.*17.*20")


if __name__ == "__main__":
    kit.main()
