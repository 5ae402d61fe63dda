// The CUDA driver and runtime, found by name: the program runs, and says so, where there is neither.
#include <dlfcn.h>

#include <fmt/format.h>

#include "doctor.hpp"

namespace program {
namespace {

/// A shared library that may not be there, and the functions of it that may not be there either.
class loaded_library {
 public:
  explicit loaded_library(std::initializer_list<const char*> names) {
    for (const char* name : names)
      if (handle_ == nullptr && (handle_ = ::dlopen(name, RTLD_LAZY | RTLD_LOCAL)) != nullptr) name_ = name;
  }
  // never closed: drivers start threads of their own

  explicit operator bool() const { return handle_ != nullptr; }
  [[nodiscard]] const std::string& name() const { return name_; }
  /// Calls a function that returns a status; `absent` if the library has none of that name.
  template <class... Arguments>
  [[nodiscard]] int call(const char* function, Arguments... arguments) const {
    void* const found = handle_ == nullptr ? nullptr : ::dlsym(handle_, function);
    return found == nullptr ? absent : reinterpret_cast<int (*)(Arguments...)>(found)(arguments...);
  }
  static constexpr int absent = -1;

 private:
  void* handle_ = nullptr;
  std::string name_;
};

std::string version_text(int version) { return fmt::format("{}.{}", version / 1000, version % 1000 / 10); }

/// The devices in words, and whether all of them map memory late.
struct device_count {
  int devices = 0;
  int with_paging = 0;
};

device_count look_at_driver(const loaded_library& driver, int& version, finding& f) {
  device_count count;
  f.numbers = {{"version", nullptr}, {"devices", nlohmann::ordered_json::array()}};
  f.cost = "no device memory: pools of device memory run on the simulated device alone";
  f.fix = "sudo apt-get install nvidia-driver    # docker run --gpus all";
  f.state = finding_state::missing;
  f.value = "libcuda.so.1 is not here";
  if (!driver) return count;
  if (driver.call("cuDriverGetVersion", &version) == 0) f.numbers["version"] = version_text(version);
  f.value = fmt::format("driver for CUDA {}", version_text(version));
  const int started = driver.call("cuInit", 0U);
  if (started != 0 || driver.call("cuDeviceGetCount", &count.devices) != 0 || count.devices <= 0) {
    f.value += started == 0 ? ", no device" : fmt::format(", which does not start (error {})", started);
    f.state = finding_state::limited;
    f.fix = "nvidia-smi    # and look at CUDA_VISIBLE_DEVICES";
    count.devices = 0;
    return count;
  }
  constexpr int late_mapping = 102;  // CU_DEVICE_ATTRIBUTE_VIRTUAL_MEMORY_MANAGEMENT_SUPPORTED
  for (int k = 0; k != count.devices; ++k) {
    int device = 0;
    int maps_late = 0;
    char name[128] = "";
    std::size_t bytes = 0;
    if (driver.call("cuDeviceGet", &device, k) != 0) continue;
    if (driver.call("cuDeviceGetName", &name[0], int{sizeof name - 1}, device) != 0) name[0] = '\0';
    if (driver.call("cuDeviceTotalMem_v2", &bytes, device) != 0) bytes = 0;
    if (driver.call("cuDeviceGetAttribute", &maps_late, late_mapping, device) == 0 && maps_late != 0) ++count.with_paging;
    f.numbers["devices"].push_back({{"name", name}, {"bytes", bytes}, {"vmm", maps_late != 0}});
    f.value += fmt::format(", {} with {}", name, bytes_text(bytes));
  }
  f.state = finding_state::good;
  f.cost = f.fix = "";
  return count;
}

finding look_at_runtime(int driver_version) {
  finding f{.name = "cuda_runtime", .state = finding_state::missing};
  const loaded_library runtime{"libcudart.so.13", "libcudart.so.12", "libcudart.so.11.0", "libcudart.so"};
  int version = 0;
  f.numbers = {{"version", nullptr}};
  if (!runtime || runtime.call("cudaRuntimeGetVersion", &version) != 0) {
    f.value = "libcudart is not here";
    f.cost = "programs that include device/cuda.hpp do not start, unless they are linked with cudart_static";
    f.fix = "sudo apt-get install nvidia-cuda-toolkit    # or: export LD_LIBRARY_PATH=/usr/local/cuda/lib64";
    return f;
  }
  f.numbers["version"] = version_text(version);
  f.value = fmt::format("CUDA {} ({})", version_text(version), runtime.name());
  f.state = finding_state::good;
  if (driver_version != 0 && driver_version / 1000 < version / 1000) {
    f.state = finding_state::limited;
    f.cost = fmt::format("the driver knows CUDA {} only: the runtime refuses every call", version_text(driver_version));
    f.fix = "sudo apt-get install --only-upgrade nvidia-driver";
  }
  return f;
}

finding look_at_paging(const device_count& count) {
  finding f{.name = "vmm", .state = finding_state::good};
  f.numbers = {{"devices", count.devices}, {"supported", count.with_paging}};
  f.value = fmt::format("{} of {} devices put memory behind reserved addresses", count.with_paging, count.devices);
  if (count.devices != 0 && count.with_paging == count.devices) return f;
  f.state = count.devices == 0 ? finding_state::missing : finding_state::limited;
  f.cost = "segments cannot grow: free memory of two segments does not serve one request, and pools do not shrink by pages";
  f.fix = count.devices == 0 ? "tokenheap doctor    # once a device is there"
                             : "static constexpr segment_kind kind_of(memory_class) noexcept { return segment_kind::fixed; }";
  return f;
}

}  // namespace

void look_at_devices(std::vector<finding>& into) {
  const loaded_library driver{"libcuda.so.1"};
  finding f{.name = "cuda_driver"};
  int version = 0;
  const device_count count = look_at_driver(driver, version, f);
  into.push_back(f);
  into.push_back(look_at_runtime(version));
  into.push_back(look_at_paging(count));
}

}  // namespace program
