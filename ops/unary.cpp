#include "ops/unary.h"

#include "cuda/kernels/unary.h"
#include "ops/support/elementwise.h"

namespace fovea {

#define DEFINE(name, F) \
  Tensor name(const Tensor& x) { return elementwise<F>(#name, x); }
FOVEA_UNARY(DEFINE)
#undef DEFINE

}  // namespace fovea
