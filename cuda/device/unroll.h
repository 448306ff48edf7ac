#pragma once

// UNROLL stands before a loop of constant length over arrays that are to stay in registers: an index that is
// not a constant would put them into memory. NO_UNROLL before one whose steps should not be mixed: the
// compiler would load for many of them at once, and run out of registers. The simulator's compiler needs
// neither word.
#ifdef __CUDACC__
#define UNROLL _Pragma("unroll")
#define NO_UNROLL _Pragma("unroll 1")
#else
#define UNROLL
#define NO_UNROLL
#endif
