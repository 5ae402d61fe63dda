// ONNX Runtime on our memory: one session on its own arena, one on a column, and what each of them took.
//
//   tokenheap_onnxruntime LIBRARY MODEL ROWS COLUMNS [RUNS]
//
// LIBRARY is libonnxruntime.so, MODEL has one input and one output of floats, the input of ROWS times COLUMNS. Prints one
// line of JSON; fails if the two outputs differ in a bit.

#include <dlfcn.h>
#include <onnxruntime_c_api.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <functional>
#include <thread>
#include <vector>

#include <tokenheap/adapt/onnxruntime.hpp>
#include <tokenheap/alloc/layered.hpp>
#include <tokenheap/alloc/ranges.hpp>
#include <tokenheap/alloc/with.hpp>
#include <tokenheap/source/pages.hpp>
using namespace tokenheap;

namespace {

// [column]
// bottom first: pages, what is held, how it is cut, one lock
struct tensors : layered<page_source, with<shared_counters>, ranges<ranges_shape{.chunk = 4 * MiB, .granularity = 64}>,
                         with<mutex_lock>> {
  using layered::layered;
};
using door = adapt::onnxruntime_host<OrtAllocator, OrtApi, tensors>;
// [column]

const OrtApi* api = nullptr;

void check(OrtStatus* status) {
  if (status == nullptr) return;
  std::fprintf(stderr, "onnxruntime: %s\n", api->GetErrorMessage(status));
  std::exit(1);
}

/// One session with the names of its input and its output.
struct model {
  OrtSession* session = nullptr;
  char* input = nullptr;
  char* output = nullptr;

  model(OrtEnv* env, const char* path, const OrtSessionOptions* options) {
    check(api->CreateSession(env, path, options, &session));
    OrtAllocator* names = nullptr;
    check(api->GetAllocatorWithDefaultOptions(&names));
    check(api->SessionGetInputName(session, 0, names, &input));
    check(api->SessionGetOutputName(session, 0, names, &output));
  }
  model(const model&) = delete;
  model& operator=(const model&) = delete;
  ~model() {
    OrtAllocator* names = nullptr;
    check(api->GetAllocatorWithDefaultOptions(&names));
    check(api->AllocatorFree(names, input));
    check(api->AllocatorFree(names, output));
    api->ReleaseSession(session);
  }

  std::vector<float> run(const OrtValue* in) {
    OrtValue* out = nullptr;
    check(api->Run(session, nullptr, &input, &in, 1, &output, 1, &out));
    OrtTensorTypeAndShapeInfo* shape = nullptr;
    check(api->GetTensorTypeAndShape(out, &shape));
    std::size_t count = 0;
    check(api->GetTensorShapeElementCount(shape, &count));
    void* data = nullptr;
    check(api->GetTensorMutableData(out, &data));
    std::vector<float> copy(count);
    std::memcpy(copy.data(), data, count * sizeof(float));
    api->ReleaseTensorTypeAndShapeInfo(shape);
    api->ReleaseValue(out);
    return copy;
  }
};

/// What ONNX Runtime tells about the memory of a session, by its own name; -1 where the header is too old to ask.
long long ask(model& m, const OrtMemoryInfo* cpu, const char* what) {
  long long answer = -1;
#if ORT_API_VERSION >= 23
  OrtAllocator* memory = nullptr;
  check(api->CreateAllocator(m.session, cpu, &memory));
  OrtKeyValuePairs* all = nullptr;
  check(api->AllocatorGetStats(memory, &all));
  if (const char* const text = all == nullptr ? nullptr : api->GetKeyValue(all, what)) answer = std::atoll(text);
  api->ReleaseKeyValuePairs(all);
  api->ReleaseAllocator(memory);
#else
  static_cast<void>(m), static_cast<void>(cpu), static_cast<void>(what);
#endif
  return answer;
}

/// Milliseconds of this thread on the processor: what else the machine runs does not count.
double now() {
  std::timespec at{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &at);
  return 1e3 * static_cast<double>(at.tv_sec) + 1e-6 * static_cast<double>(at.tv_nsec);
}
double milliseconds(model& m, const OrtValue* in) {
  const double start = now();
  static_cast<void>(m.run(in));
  return now() - start;
}

double median(std::vector<double> all) {
  std::sort(all.begin(), all.end());
  return all.empty() ? 0 : all[all.size() / 2];
}

/// Two threads run one session at once; true if each gets what one alone gets.
bool run_together(model& m, const OrtValue* in, const std::vector<float>& expected, int runs) {
  bool equal[2] = {true, true};
  const auto work = [&](bool& mine) {
    for (int k = 0; k != runs; ++k) mine = m.run(in) == expected && mine;
  };
  std::thread other(work, std::ref(equal[1]));
  work(equal[0]);
  other.join();
  return equal[0] && equal[1];
}

OrtSessionOptions* one_thread() {
  OrtSessionOptions* made = nullptr;
  check(api->CreateSessionOptions(&made));
  check(api->SetIntraOpNumThreads(made, 1));
  return made;
}

int compare(OrtEnv* env, const char* path, std::int64_t rows, std::int64_t columns, int runs) {
  OrtMemoryInfo* cpu = nullptr;
  check(api->CreateCpuMemoryInfo(OrtDeviceAllocator, OrtMemTypeDefault, &cpu));
  std::vector<float> numbers(static_cast<std::size_t>(rows * columns));
  for (std::size_t k = 0; k != numbers.size(); ++k) numbers[k] = static_cast<float>(k * 2654435761u % 2000) / 1000 - 1;
  const std::int64_t shape[] = {rows, columns};
  OrtValue* in = nullptr;
  check(api->CreateTensorWithDataAsOrtValue(cpu, numbers.data(), numbers.size() * sizeof(float), shape, 2,
                                            ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT, &in));
  OrtSessionOptions* const plain = one_thread();
  OrtSessionOptions* const options = one_thread();
  tensors memory(page_options{.name = "onnxruntime"});
  bool equal = false;
  {
    model own(env, path, plain);
    // [register]
    door mine(memory, {.about = cpu, .version = ORT_API_VERSION, .api = api});
    check(api->RegisterAllocator(env, &mine));
    check(api->AddSessionConfigEntry(options, "session.use_env_allocators", "1"));
    // [register]
    {
      model ours(env, path, options);
      const std::vector<float> expected = own.run(in);
      equal = ours.run(in) == expected && run_together(own, in, expected, 10) && run_together(ours, in, expected, 10);
      std::vector<double> theirs, with_ours;
      for (int k = 0; k != runs; ++k) {
        theirs.push_back(milliseconds(own, in));
        with_ours.push_back(milliseconds(ours, in));
      }
      const gauge held = memory.policy<shared_counters>().values().granted;
      std::printf("{\"equal\": %s, \"allocations\": %zu, \"reserves\": %zu, \"in_use\": %zu, \"most_in_use\": %zu, "
                  "\"held\": %zu, \"most_held\": %zu, \"told\": %lld, \"own_most_in_use\": %lld, \"own_held\": %lld, "
                  "\"own_ms\": %.4f, \"ours_ms\": %.4f, ",
                  equal ? "true" : "false", mine.allocations(), mine.reserves(), mine.in_use(), mine.most_in_use(),
                  held.current, held.peak, ask(ours, cpu, "NumAllocs"), ask(own, cpu, "MaxInUse"),
                  ask(own, cpu, "TotalAllocated"), median(theirs), median(with_ours));
    }
    check(api->UnregisterAllocator(env, cpu));
    std::printf("\"left\": %zu}\n", mine.in_use());
    if (mine.in_use() != 0) equal = false;
  }
  api->ReleaseSessionOptions(plain);
  api->ReleaseSessionOptions(options);
  api->ReleaseValue(in);
  api->ReleaseMemoryInfo(cpu);
  return equal ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 5) return std::fprintf(stderr, "usage: tokenheap_onnxruntime LIBRARY MODEL ROWS COLUMNS [RUNS]\n"), 2;
  void* const library = ::dlopen(argv[1], RTLD_NOW);
  void* const entry = library == nullptr ? nullptr : ::dlsym(library, "OrtGetApiBase");
  if (entry == nullptr) return std::fprintf(stderr, "no ONNX Runtime in %s: %s\n", argv[1], ::dlerror()), 2;
  api = reinterpret_cast<decltype(&OrtGetApiBase)>(entry)()->GetApi(ORT_API_VERSION);
  if (api == nullptr) return std::fprintf(stderr, "the library is older than the header\n"), 2;
  OrtEnv* env = nullptr;
  check(api->CreateEnv(ORT_LOGGING_LEVEL_WARNING, "tokenheap", &env));
  const int answer = compare(env, argv[2], std::atoll(argv[3]), std::atoll(argv[4]), argc > 5 ? std::atoi(argv[5]) : 21);
  api->ReleaseEnv(env);
  return answer;
}
