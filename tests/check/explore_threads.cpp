#include <tokenheap/check/explore_threads.hpp>

#include <support/catch.hpp>

#include <string>

using namespace tokenheap;

namespace {

struct two_lives {
  std::string order;
  const void* held = nullptr;
};

void ask(const char* what) noexcept {
  const sim_hooks* const hooks = installed_sim_hooks();
  hooks->step(hooks->user, what);
}

void live_and_step(void* subject, unsigned thread) noexcept {
  auto& s = *static_cast<two_lives*>(subject);
  ask("one");
  s.order += static_cast<char>('a' + thread);
  ask("two");
  s.order += static_cast<char>('A' + thread);
}

void live_and_wait(void* subject, unsigned thread) noexcept {
  auto& s = *static_cast<two_lives*>(subject);
  const sim_hooks* const hooks = installed_sim_hooks();
  if (thread == 0) hooks->wait_for(hooks->user, &s);
  s.order += static_cast<char>('a' + thread);
}

}  // namespace

TEST_CASE("without a decision threads run one after the other", "[check]") {
  choice_book book;
  const explore_options with;
  explored_threads threads(book, with);
  REQUIRE(threads.open(3));
  for (int again = 0; again != 3; ++again) {
    two_lives s;
    book.follow({});
    book.begin();
    CHECK(threads.run(&live_and_step, &s) == run_end::finished);
    CHECK(s.order == "aAbBcC");
  }
}

TEST_CASE("a decision takes one thread out of its turn", "[check]") {
  choice_book book;
  const explore_options with;
  explored_threads threads(book, with);
  REQUIRE(threads.open(3));
  two_lives s;
  book.follow({{1, choice_kind::thread, 2}});
  book.begin();
  CHECK(threads.run(&live_and_step, &s) == run_end::finished);
  CHECK(s.order == "acCAbB");
  CHECK(book.fits());
}

TEST_CASE("threads that are left in the middle do not disturb the next run", "[check]") {
  choice_book book;
  const explore_options with;
  explored_threads threads(book, with);
  REQUIRE(threads.open(1));
  for (int again = 0; again != 3; ++again) {
    two_lives s;
    book.follow({});
    book.begin();
    CHECK(threads.run(&live_and_wait, &s) == run_end::deadlock);
    CHECK(s.order.empty());
    char text[32];
    text_buffer out(text, sizeof text);
    threads.waiting(out);
    CHECK(std::string(text) == "0");
    book.begin();
    CHECK(threads.run(&live_and_step, &s) == run_end::finished);
    CHECK(s.order == "aA");
  }
}

TEST_CASE("a thread that waits is looked at again after another has moved", "[check]") {
  choice_book book;
  const explore_options with;
  explored_threads threads(book, with);
  REQUIRE(threads.open(2));
  two_lives s;
  book.follow({});
  book.begin();
  CHECK(threads.run(&live_and_wait, &s) == run_end::finished);
  CHECK(s.order == "ba");
}

TEST_CASE("the number of threads has bounds, and can grow", "[check]") {
  choice_book book;
  const explore_options with;
  explored_threads threads(book, with);
  CHECK_FALSE(threads.open(0));
  CHECK_FALSE(threads.open(17));
  CHECK(threads.open(1));
  CHECK(threads.open(16));
}
