// The loops of models/quantization as a processor without AVX runs them: the sources again, under another
// name and compiled for any x86-64 (tests/CMakeLists.txt).
#define fovea fovea_portable
#include "models/quantization/byte_kernels.cpp"
#include "tests/models/byte_loops.h"
#undef fovea

std::vector<uint8_t> portable_bytes_of_all_loops() { return bytes_of_all_loops(); }
