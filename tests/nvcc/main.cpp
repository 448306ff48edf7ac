// Links every launcher, and prints how many devices there are.
#include <cstdio>

#include "cuda/runtime/device.h"

int main() { std::printf("%d CUDA devices\n", fovea::cuda::device_count()); }
