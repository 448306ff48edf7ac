#pragma once
// NVIDIA's library of matrix products or, if the device is simulated, the simulator's under the same names.
#ifdef FOVEA_SIM
#include "cuda/sim/cublaslt.h"
#else
#include <cublasLt.h>
#endif
