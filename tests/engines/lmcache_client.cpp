// A storage client of LMCache's over our tiers: host memory, and a file below it. Compiled by tests/engines/engine_lmcache.py.

#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#if __has_include(<connector_interface.h>)
#include <connector_interface.h>
#else
// csrc/storage_backends/connector_{interface,types}.h of LMCache 8a72c30, which its wheel leaves out
namespace lmcache::connector {
struct Completion {
  uint64_t future_id = 0;
  bool ok = true;
  std::vector<uint8_t> result_bytes;
  std::string error;
};
class IStorageConnector {
 public:
  virtual ~IStorageConnector() = default;
  virtual int event_fd() const = 0;
  virtual uint64_t submit_batch_get(const std::vector<std::string>&, const std::vector<void*>&,
                                    const std::vector<size_t>&, size_t) = 0;
  virtual uint64_t submit_batch_set(const std::vector<std::string>&, const std::vector<void*>&,
                                    const std::vector<size_t>&, size_t) = 0;
  virtual uint64_t submit_batch_exists(const std::vector<std::string>&) = 0;
  virtual uint64_t submit_batch_delete(const std::vector<std::string>&) = 0;
  virtual std::vector<Completion> drain_completions() = 0;
  virtual void close() = 0;
};
}  // namespace lmcache::connector
#endif

#include <tokenheap/adapt/lmcache_connector.hpp>
#include <tokenheap/kv/tier_file.hpp>
#include <tokenheap/kv/tier_host.hpp>
#include <tokenheap/kv/tiers.hpp>

namespace py = pybind11;
namespace kv = tokenheap::kv;
using connector = tokenheap::adapt::lmcache_connector<lmcache::connector::IStorageConnector, kv::tier_chain<>>;

namespace {

template <class T>
T taken(tokenheap::result<T>&& made) {
  if (!made) throw std::runtime_error(std::string(made.why().what) + ": " + made.why().fix);
  return static_cast<T&&>(*made);
}

struct client {
  tokenheap::host_source heap;
  std::string path;
  kv::host_tier<> host;
  kv::file_tier<> file;
  kv::tier_ref both[2];
  kv::tier_chain<> chain;
  connector door;

  client(const std::string& at, std::size_t bytes, std::size_t blocks)
      : path(at),
        host(taken(kv::host_tier<>::open({.block_bytes = bytes, .room = {.blocks = blocks}}, heap))),
        file(taken(kv::file_tier<>::open({.path = path.c_str(), .block_bytes = bytes, .max_bytes = 64 << 20}))),
        both{host, file},
        chain(taken(kv::tier_chain<>::open({}, both, 2, heap))),
        door(chain) {}

  template <class Submit>
  uint64_t with_buffers(const std::vector<std::string>& keys, const py::list& views, Submit submit) {
    std::vector<void*> bufs;
    std::vector<size_t> lens;
    for (const py::handle& view : views) {
      const py::buffer_info info = py::cast<py::buffer>(view).request();
      bufs.push_back(info.ptr);
      lens.push_back(static_cast<size_t>(info.size * info.itemsize));
    }
    const size_t chunk = lens.empty() ? 0 : lens[0];
    const py::gil_scoped_release free;
    return submit(bufs, lens, chunk);
  }
  py::list drain() {
    std::vector<lmcache::connector::Completion> all;
    {
      const py::gil_scoped_release free;
      all = door.drain_completions();
    }
    py::list made;
    for (const auto& one : all) {
      py::object mask = py::none();
      if (!one.result_bytes.empty()) {
        py::list flags;
        for (const uint8_t bit : one.result_bytes) flags.append(bit != 0);
        mask = flags;
      }
      made.append(py::make_tuple(one.future_id, one.ok, one.error, mask));
    }
    return made;
  }
};

}  // namespace

PYBIND11_MODULE(tokenheap_lmcache, module) {
  py::class_<client>(module, "Client")
      .def(py::init<const std::string&, std::size_t, std::size_t>())
      .def("event_fd", [](client& c) { return c.door.event_fd(); })
      .def("submit_batch_get",
           [](client& c, const std::vector<std::string>& keys, const py::list& views) {
             return c.with_buffers(keys, views,
                                   [&](auto& b, auto& l, size_t n) { return c.door.submit_batch_get(keys, b, l, n); });
           })
      .def("submit_batch_set",
           [](client& c, const std::vector<std::string>& keys, const py::list& views) {
             return c.with_buffers(keys, views,
                                   [&](auto& b, auto& l, size_t n) { return c.door.submit_batch_set(keys, b, l, n); });
           })
      .def("submit_batch_exists",
           [](client& c, const std::vector<std::string>& keys) { return c.door.submit_batch_exists(keys); })
      .def("submit_batch_delete",
           [](client& c, const std::vector<std::string>& keys) { return c.door.submit_batch_delete(keys); })
      .def("drain_completions", &client::drain)
      .def("close",
           [](client& c) {
             const py::gil_scoped_release free;
             c.door.close();
           })
      .def("held", [](client& c) { return std::pair(c.host.stats().blocks, c.file.stats().blocks); });
}
