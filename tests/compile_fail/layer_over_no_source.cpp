// expect: names_its_space
// A layer over a type that is no source is refused by the first question that it does not answer.
#include <tokenheap/alloc/arena.hpp>
#include <tokenheap/alloc/layered.hpp>

struct heap {};

tokenheap::layered<heap, tokenheap::arena<>>* memory;
