#pragma once

// UNROLL precedes a loop of constant length over arrays that must stay in registers: a non-constant index
// would put them into memory. NO_UNROLL precedes one whose steps must not be mixed: the compiler would load
// for many of them at once and run out of registers. UNROLL_BY_4 precedes one of unknown length whose loads
// need not wait for each other. The simulator's compiler needs none of these.
//
// EXPECT_TRIPS(n), first in the body of a loop of unknown length, states how often it usually runs: a
// constant integer. The reader of PTX (cli/predict/kernel_code.cpp) uses it to predict launches; it generates
// no code. EXPECT_SKIPPED(n), in a branch that is usually not taken, states that, with a number that tells it
// from such branches next to it.
#ifdef __CUDACC__
#define UNROLL _Pragma("unroll")
#define NO_UNROLL _Pragma("unroll 1")
#define UNROLL_BY_4 _Pragma("unroll 4")
#else
#define UNROLL
#define NO_UNROLL
#define UNROLL_BY_4
#endif
#ifdef __CUDA_ARCH__
#define FOVEA_TEXT(x) FOVEA_TEXT_OF(x)
#define FOVEA_TEXT_OF(x) #x
#define EXPECT_TRIPS(n) asm volatile("// expected trips %0 at line " FOVEA_TEXT(__LINE__)::"n"(n))
#define EXPECT_SKIPPED(n) asm volatile("// expected skipped %0 at line " FOVEA_TEXT(__LINE__)::"n"(n))
#else
#define EXPECT_TRIPS(n) static_cast<void>(0)
#define EXPECT_SKIPPED(n) static_cast<void>(0)
#endif
