// A program whose names are those of CUDA and of our kernels: no header that it includes may have taken them.
#include "every_header.h"

#ifdef HD
#error "a header of Fovea defines HD"
#endif

struct dim3 {
  int depth;
};
struct float4 {
  double unlike_cuda;
};
enum class HD { low, high };
inline int warpSize(int threadIdx) { return threadIdx + 1; }
inline int __shared__ = 1, __global__ = 2, __device__ = 3, __host__ = 4;

int sum_of_names() { return dim3{1}.depth + warpSize(1) + __shared__ + __global__ + __device__ + __host__; }
