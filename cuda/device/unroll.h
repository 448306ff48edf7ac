#pragma once

// UNROLL precedes a loop of constant length over arrays that must stay in registers: a non-constant index
// would put them into memory. NO_UNROLL precedes one whose steps must not be mixed: the compiler would load
// for many of them at once and run out of registers. UNROLL_BY_4 precedes one of unknown length whose loads
// need not wait for each other. The simulator's compiler needs none of these.
#ifdef __CUDACC__
#define UNROLL _Pragma("unroll")
#define NO_UNROLL _Pragma("unroll 1")
#define UNROLL_BY_4 _Pragma("unroll 4")
#else
#define UNROLL
#define NO_UNROLL
#define UNROLL_BY_4
#endif
