"""A recipe that wraps a library of this machine, so that nothing is fetched: NAME and what it has come from the environment."""
import glob
import os

from conan import ConanFile
from conan.tools.files import copy


class stand_in(ConanFile):
    settings = "os", "arch", "compiler", "build_type"

    def package(self):
        copy(self, f"{os.environ['STAND_IN_HEADERS']}/*", "/usr/include", os.path.join(self.package_folder, "include"))
        for found in glob.glob(f"/usr/lib/*/lib{self.name}.so*"):
            copy(self, os.path.basename(found), os.path.dirname(found), os.path.join(self.package_folder, "lib"))

    def package_info(self):
        self.cpp_info.set_property("cmake_target_name", f"{self.name}::{self.name}")
        libraries = glob.glob(os.path.join(self.package_folder, "lib", "*.so"))
        self.cpp_info.libs = [self.name] if libraries else []
