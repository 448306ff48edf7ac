#pragma once
// The only file that asks which compiler is reading. HD marks a function that host and device share.
#ifdef __CUDACC__
#define HD __host__ __device__
#else
#define HD
#endif
