// A program lends its column to a shared object: each has its own statics, and neither takes the other's column for its own.

#include <cstdio>
#include <thread>

#include "lent.hpp"

int main() {
  lent::memory own;
  const tokenheap::allocation one = own.allocate(64);
  own.deallocate(one);
  bool good = borrower_uses(own);
  // a thread that ends has lent slots in its hands
  std::thread([&] { good = borrower_uses(own) && good; }).join();
  const tokenheap::allocation two = own.allocate(64);
  good = good && two && own.is_valid();
  own.deallocate(two);
  if (!good) return std::fprintf(stderr, "registry_lender: a column was taken for another one\n"), 1;
  std::printf("a column with magazines is used by a program and a shared object\n");
  return 0;
}
