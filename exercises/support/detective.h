#pragma once
// For the exercises of chapter 17: what may be wrong with a kernel, and where.

enum class Fault {
  unknown,
  race,                // two threads access one word, one of them writes it, and no barrier is between
  out_of_bounds,       // an access outside of what is allocated
  bank_conflict,       // lanes of a warp access different words in one bank of shared memory
  uninitialized_read,  // a read of memory that nothing has written
  divergent_barrier,   // a barrier that some threads of the block do not reach
  index_overflow,      // an index that does not fit in the 32 bits it is computed in
  unordered_sum,       // floats are added in an order that differs from run to run
  unpacked_store,      // a thread stores numbers one by one that could be one store of 16 bytes
};

// A line of a kernel, by the letter in the comment at its end: Line line{'a'}.
struct Line {
  char letter;
  const char* file;
  constexpr Line(char letter_, const char* file_ = __builtin_FILE()) : letter(letter_), file(file_) {}
};
