// expect: column_policy
// with<> takes a lock, a count, a limit, a guard or a trace, and names the question that a type does not answer.
#include <tokenheap/alloc/with.hpp>

struct nothing {};

tokenheap::with<nothing>* layer;
