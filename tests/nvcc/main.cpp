// Links every launcher: says which devices there are, if any.
#include <cstdio>

#include "cuda/runtime/device.h"

int main() { std::printf("%d CUDA devices\n", fovea::cuda::device_count()); }
