// A shared object with hidden symbols: its inline statics are not the program's.

#include "lent.hpp"

bool borrower_uses(lent::memory& other) {
  static lent::memory own;
  const tokenheap::allocation mine = own.allocate(64);
  if (!mine) return false;
  own.deallocate(mine);  // now this thread keeps a slot of `own`
  const tokenheap::allocation theirs = other.allocate(64);
  const tokenheap::allocation again = own.allocate(64);
  const bool apart = theirs && again && theirs.data != mine.data && again.data == mine.data;
  if (theirs) other.deallocate(theirs);
  if (again) own.deallocate(again);
  return apart && own.is_valid() && other.is_valid();
}
