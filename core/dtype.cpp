#include "core/dtype.h"

namespace fovea {

std::string_view name(DType dtype) {
  constexpr std::string_view names[] = {"float32", "float64", "bfloat16", "int32", "int64", "uint8"};
  return names[size_t(dtype)];
}

int64_t size_of(DType dtype) {
  return with_dtype(dtype, []<class T>() { return int64_t(sizeof(T)); });
}

bool is_floating(DType dtype) {
  return dtype == DType::float32 || dtype == DType::float64 || dtype == DType::bfloat16;
}

}  // namespace fovea
