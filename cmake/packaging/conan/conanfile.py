"""Conan 2 recipe: conan create cmake/packaging/conan"""
import os
import re

from conan import ConanFile
from conan.errors import ConanInvalidConfiguration
from conan.tools.build import check_min_cppstd
from conan.tools.files import copy, load
from conan.tools.layout import basic_layout

required_conan_version = ">=2.0"


class tokenheap_recipe(ConanFile):
    name = "tokenheap"
    description = "Allocators for inference engines, composed out of small parts"
    license = "Apache-2.0"
    url = "https://github.com/tokenheap/tokenheap"
    homepage = "https://github.com/tokenheap/tokenheap"
    topics = ("allocator", "memory", "kv-cache", "llm", "inference", "cuda", "header-only")
    package_type = "header-library"
    settings = "os", "arch", "compiler", "build_type"
    options = {"with_plan": [True, False], "with_redis": [True, False]}
    default_options = {"with_plan": False, "with_redis": False}
    no_copy_source = True

    def tree(self):
        """The tree of source that this recipe lies in."""
        return os.path.join(self.recipe_folder, "..", "..", "..")

    def set_version(self):
        text = load(self, os.path.join(self.tree(), "include", "tokenheap", "core", "config.hpp"))
        found = re.findall(r"^#define TOKENHEAP_VERSION_(?:MAJOR|MINOR|PATCH) (\d+)$", text, re.M)
        self.version = ".".join(found)

    def export_sources(self):
        copy(self, "LICENSE", self.tree(), self.export_sources_folder)
        copy(self, "include/tokenheap/*", self.tree(), self.export_sources_folder)

    def layout(self):
        basic_layout(self, src_folder=".")

    def requirements(self):
        if self.options.with_plan:
            self.requires("nlohmann_json/[>=3.11 <4]", transitive_headers=True)
        if self.options.with_redis:
            self.requires("hiredis/[>=1.0 <2]", transitive_headers=True, transitive_libs=True)

    def package_id(self):
        self.info.clear()

    def validate(self):
        if self.settings.os != "Linux" or self.settings.arch != "x86_64":
            raise ConanInvalidConfiguration("tokenheap is for Linux on x86-64")
        if self.settings.get_safe("compiler.cppstd"):
            check_min_cppstd(self, 20)

    def package(self):
        copy(self, "LICENSE", self.source_folder, os.path.join(self.package_folder, "licenses"))
        copy(self, "*.hpp", os.path.join(self.source_folder, "include"), os.path.join(self.package_folder, "include"))
        copy(self, "*.h", os.path.join(self.source_folder, "include"), os.path.join(self.package_folder, "include"))

    def package_info(self):
        self.cpp_info.set_property("cmake_file_name", "tokenheap")
        self.cpp_info.set_property("cmake_target_name", "tokenheap::all")
        self.cpp_info.set_property("pkg_config_name", "tokenheap-all")
        self.part("core", "tokenheap::tokenheap", "tokenheap", [])
        if self.options.with_plan:
            self.part("plan", "tokenheap::plan", "tokenheap-plan", ["core", "nlohmann_json::nlohmann_json"])
        if self.options.with_redis:
            self.part("redis", "tokenheap::redis", "tokenheap-redis", ["core", "hiredis::hiredis"])

    def part(self, name, target, module, requires):
        """The names that the library's own packages have too."""
        component = self.cpp_info.components[name]
        component.set_property("cmake_target_name", target)
        component.set_property("pkg_config_name", module)
        component.bindirs = []
        component.libdirs = []
        component.requires = requires
