// Stacks that code can change between within one thread of the system, at the cost of a function call.
#pragma once

#include <cstddef>
#include <cstdint>

#include <sys/mman.h>
#include <unistd.h>

#include <tokenheap/alloc/annotate.hpp>
#include <tokenheap/core/allocation.hpp>

#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define TOKENHEAP_HAS_TSAN 1
#endif
#endif
#if defined(__SANITIZE_THREAD__) && !defined(TOKENHEAP_HAS_TSAN)
#define TOKENHEAP_HAS_TSAN 1
#endif

#ifdef TOKENHEAP_HAS_ASAN
extern "C" void __sanitizer_start_switch_fiber(void** save, const void* bottom, std::size_t size);
extern "C" void __sanitizer_finish_switch_fiber(void* save, const void** bottom_before, std::size_t* size_before);
extern "C" void __lsan_ignore_object(const void* p);
#endif
#ifdef TOKENHEAP_HAS_TSAN
extern "C" void* __tsan_get_current_fiber(void);
extern "C" void* __tsan_create_fiber(unsigned flags);
extern "C" void __tsan_destroy_fiber(void* fiber);
extern "C" void __tsan_switch_to_fiber(void* fiber, unsigned flags);
#endif

namespace tokenheap {
inline namespace v0 {
namespace fibers {

#if !defined(__x86_64__)
#error "tokenheap/check/fiber.hpp knows x86-64 alone"
#endif

/// Keeps what the System V ABI lets a callee keep, and its stack pointer in `*save`; goes on where `resume` was kept.
__attribute__((naked, noinline, unused)) inline void switch_stack(void** /*save*/, void* /*resume*/) noexcept {
  asm volatile(
      "pushq %rbp\n\t"
      "pushq %rbx\n\t"
      "pushq %r12\n\t"
      "pushq %r13\n\t"
      "pushq %r14\n\t"
      "pushq %r15\n\t"
      "subq $8, %rsp\n\t"
      "stmxcsr (%rsp)\n\t"
      "fnstcw 4(%rsp)\n\t"
      "movq %rsp, (%rdi)\n\t"
      "movq %rsi, %rsp\n\t"
      "ldmxcsr (%rsp)\n\t"
      "fldcw 4(%rsp)\n\t"
      "addq $8, %rsp\n\t"
      "popq %r15\n\t"
      "popq %r14\n\t"
      "popq %r13\n\t"
      "popq %r12\n\t"
      "popq %rbx\n\t"
      "popq %rbp\n\t"
      "ret\n\t");
}

/// Where a fresh stack goes on: calls r13 with r12, and never comes back.
__attribute__((naked, noinline, unused)) inline void first_call() noexcept {
  asm volatile(
      ".cfi_undefined rip\n\t"  // the end of every backtrace
      "movq %r12, %rdi\n\t"
      "callq *%r13\n\t"
      "ud2\n\t");
}

/// What this piece of the heap holds is given up on purpose: no leak to report.
inline void leave_behind([[maybe_unused]] const void* piece) noexcept {
#ifdef TOKENHEAP_HAS_ASAN
  __lsan_ignore_object(piece);
#endif
}

}  // namespace fibers

/// A stack of its own on which a function runs until it hands over to another fiber; the base of `explore`.
///
/// A fiber that was never opened stands for the thread that switches away from it. Below the stack lies a page without
/// access: an overflow stops the program there. AddressSanitizer and ThreadSanitizer are told of every switch.
///
/// Requires  a body that never returns; all switches among the fibers of one thread; x86-64
/// Fails     open returns false, and the fiber is as it was
/// Threads   not safe
/// Cost      a switch is about 5 ns: eight registers, and no system call
class fiber {
 public:
  using body = void (*)(void* argument) noexcept;

  fiber() noexcept = default;
  fiber(const fiber&) = delete;
  fiber& operator=(const fiber&) = delete;
  ~fiber() {
    leave_sanitizers();
    if (whole_ != nullptr) ::munmap(whole_, guard_bytes() + bytes_);
  }

  /// Takes a stack of at least `bytes` from the system.
  [[nodiscard]] bool open(std::size_t bytes) noexcept {
    if (whole_ != nullptr || bytes > GiB) return false;
    const std::size_t size = align_up(bytes < smallest ? smallest : bytes, guard_bytes());
    constexpr int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK;
    void* const at = ::mmap(nullptr, guard_bytes() + size, PROT_READ | PROT_WRITE, flags, -1, 0);
    if (at == MAP_FAILED) return false;
    if (::mprotect(at, guard_bytes(), PROT_NONE) != 0) {
      ::munmap(at, guard_bytes() + size);
      return false;
    }
    whole_ = at;
    bottom_ = offset(at, guard_bytes());
    bytes_ = size;
    return true;
  }

  /// The next switch to this fiber calls `run(argument)` on an empty stack; what was on the stack before is dropped.
  void start(body run, void* argument) noexcept {
    run_ = run;
    argument_ = argument;
    leave_sanitizers();
    annotate::allow(const_cast<void*>(bottom_), bytes_);
#ifdef TOKENHEAP_HAS_TSAN
    tsan_ = __tsan_create_fiber(0);
#endif
    // the image that switch_stack pops: control words, r15 r14 r13 r12 rbx rbp, return address; then the aligned end
    auto* const end = static_cast<std::uint64_t*>(offset(const_cast<void*>(bottom_), bytes_ - 16));
    std::uint64_t* const image = end - 8;
    asm volatile("stmxcsr (%0)\n\tfnstcw 4(%0)" : : "r"(image) : "memory");
    image[1] = 0;
    image[2] = 0;
    image[3] = reinterpret_cast<std::uintptr_t>(&enter);
    image[4] = reinterpret_cast<std::uintptr_t>(this);
    image[5] = 0;
    image[6] = 0;
    image[7] = reinterpret_cast<std::uintptr_t>(&fibers::first_call);
    top_ = image;
  }

  /// Goes on in `next`; returns when somebody switches back to this fiber, which is the one that runs now.
  void switch_to(fiber& next) noexcept {
    next.from_ = this;
#ifdef TOKENHEAP_HAS_ASAN
    __sanitizer_start_switch_fiber(&fake_stack_, next.bottom_, next.bytes_);
#endif
#ifdef TOKENHEAP_HAS_TSAN
    if (tsan_ == nullptr) tsan_ = __tsan_get_current_fiber();
    __tsan_switch_to_fiber(next.tsan_, 0);
#endif
    fibers::switch_stack(&top_, next.top_);
    arrive();
  }

  [[nodiscard]] std::size_t stack_bytes() const noexcept { return bytes_; }
  /// True if the address lies on this fiber's own stack.
  [[nodiscard]] bool holds(const void* p) const noexcept {
    return whole_ != nullptr && address_of(p) - address_of(bottom_) < bytes_;
  }

 private:
  static constexpr std::size_t smallest = 16 * KiB;
  [[nodiscard]] static std::size_t guard_bytes() noexcept { return static_cast<std::size_t>(::sysconf(_SC_PAGESIZE)); }

  static void enter(fiber* self) noexcept {
    self->arrive();
    self->run_(self->argument_);
    __builtin_trap();
  }

  void arrive() noexcept {
#ifdef TOKENHEAP_HAS_ASAN
    const void* bottom = nullptr;
    std::size_t size = 0;
    __sanitizer_finish_switch_fiber(fake_stack_, &bottom, &size);
    fake_stack_ = nullptr;
    // the stack of the thread itself is known only from here on
    if (from_->whole_ == nullptr) {
      from_->bottom_ = bottom;
      from_->bytes_ = size;
    }
#endif
  }

  void leave_sanitizers() noexcept {
#ifdef TOKENHEAP_HAS_TSAN
    if (whole_ != nullptr && tsan_ != nullptr) __tsan_destroy_fiber(tsan_);
#endif
    tsan_ = nullptr;
    fake_stack_ = nullptr;
  }

  void* top_ = nullptr;
  void* whole_ = nullptr;
  const void* bottom_ = nullptr;
  std::size_t bytes_ = 0;
  body run_ = nullptr;
  void* argument_ = nullptr;
  fiber* from_ = nullptr;
  void* fake_stack_ = nullptr;  // of AddressSanitizer
  void* tsan_ = nullptr;
};

}  // namespace v0
}  // namespace tokenheap
