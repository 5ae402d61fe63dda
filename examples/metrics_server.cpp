// An endpoint that Prometheus scrapes: GET /metrics over HTTP, beside an engine that goes on working.
//
//   example_metrics_server          serves on a free port, scrapes itself once, and ends
//   example_metrics_server 9400     serves on 127.0.0.1:9400 until it is stopped

#include <tokenheap/core/config.hpp>

#if !defined(TOKENHEAP_HAS_HTTPLIB) || !TOKENHEAP_HAS_EXCEPTIONS

#include <cstdio>

int main() {
  std::puts("skipped: built without cpp-httplib or without exceptions");
  return 77;
}

#else

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <thread>

#include <httplib.h>

#include <tokenheap/kv/block_pool.hpp>
#include <tokenheap/observe/openmetrics.hpp>
#include <tokenheap/observe/reading_of_kv.hpp>

namespace kv = tokenheap::kv;

namespace {

struct shared : kv::default_policy {
  using lock = tokenheap::spin_lock;
};

// [serve]
// one answer: a snapshot of every pool of the process, in the format that the scraper asks for
void answer(const httplib::Request& request, httplib::Response& response) {
  const bool open = request.get_header_value("Accept").find("application/openmetrics-text") != std::string::npos;
  const auto format = open ? tokenheap::metric_format::open_metrics : tokenheap::metric_format::prometheus;
  response.set_content(tokenheap::to_metrics(tokenheap::registry().snapshot(), format),
                       open ? "application/openmetrics-text; version=1.0.0; charset=utf-8"
                            : "text/plain; version=0.0.4; charset=utf-8");
}
// [serve]

// what a scraper would see; true if it is what it should be
bool scrape(int port) {
  httplib::Client client("127.0.0.1", port);
  const auto plain = client.Get("/metrics");
  const auto open = client.Get("/metrics", {{"Accept", "application/openmetrics-text;version=1.0.0"}});
  const auto other = client.Get("/");
  if (!plain || !open || !other) return std::fprintf(stderr, "no answer\n"), false;
  return plain->status == 200 && plain->body.find("tokenheap_pool_blocks{pool=\"chat\"") != std::string::npos &&
         open->body.find("# EOF\n") == open->body.size() - 6 && other->status == 404;
}

}  // namespace

int main(int count, char** arguments) {
  auto pool = kv::block_pool<shared>::open({.blocks = 1000, .name = "chat"});
  if (!pool) return 1;
  const tokenheap::registration seen(*pool, {.owner = "llama"});

  httplib::Server server;
  server.new_task_queue = [] { return new httplib::ThreadPool(2); };
  server.Get("/metrics", answer);
  if (count > 1) {
    std::printf("serving http://127.0.0.1:%s/metrics\n", arguments[1]);
    return server.listen("127.0.0.1", std::atoi(arguments[1])) ? 0 : 1;
  }

  const int port = server.bind_to_any_port("127.0.0.1");
  if (port <= 0) return std::fprintf(stderr, "no free port\n"), 1;
  std::atomic<bool> stop{false};
  std::thread engine([&] {
    while (!stop) auto held = pool->allocate();
  });
  std::thread serving([&] { server.listen_after_bind(); });
  while (!server.is_running()) std::this_thread::yield();
  const bool right = scrape(port);
  server.stop();
  serving.join();
  stop = true;
  engine.join();
  std::printf("scraped http://127.0.0.1:%d/metrics %s\n", port, right ? "twice" : "in vain");
  return right ? 0 : 1;
}

#endif
