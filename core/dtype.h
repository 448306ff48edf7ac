#pragma once
#include <cstdint>
#include <string_view>
#include <utility>

#include "core/error.h"
#include "cuda/device/bfloat16.h"

namespace fovea {

// The type of a tensor's numbers. Activations are float32 or, on CUDA, bfloat16; gradients are checked in
// float64; int32, int64 and uint8 are for data: labels, indices, masks.
enum class DType : uint8_t { float32, float64, bfloat16, int32, int64, uint8 };

// The DType of a C++ type, as `value`; types other than these six do not compile.
template <class T>
struct DTypeOf;
template <>
struct DTypeOf<float> {
  static constexpr DType value = DType::float32;
};
template <>
struct DTypeOf<double> {
  static constexpr DType value = DType::float64;
};
template <>
struct DTypeOf<bfloat16> {
  static constexpr DType value = DType::bfloat16;
};
template <>
struct DTypeOf<int32_t> {
  static constexpr DType value = DType::int32;
};
template <>
struct DTypeOf<int64_t> {
  static constexpr DType value = DType::int64;
};
template <>
struct DTypeOf<uint8_t> {
  static constexpr DType value = DType::uint8;
};
template <class T>
inline constexpr DType dtype_of = DTypeOf<T>::value;  // dtype_of<float> is DType::float32

std::string_view name(DType dtype);  // "float32", ...
int64_t size_of(DType dtype);        // bytes of one element
bool is_floating(DType dtype);       // float32, float64 or bfloat16, which can have gradients

// Calls f.operator()<T>() with the C++ type of any dtype.
template <class F>
decltype(auto) with_dtype(DType dtype, F&& f) {
  switch (dtype) {
    case DType::float32:
      return f.template operator()<float>();
    case DType::float64:
      return f.template operator()<double>();
    case DType::bfloat16:
      return f.template operator()<bfloat16>();
    case DType::int32:
      return f.template operator()<int32_t>();
    case DType::int64:
      return f.template operator()<int64_t>();
    case DType::uint8:
      return f.template operator()<uint8_t>();
  }
  fail("[with_dtype] dtype {} does not exist", int(dtype));
}

// The same for ops that compute: float32 for normal use, float64 for checking gradients.
template <class F>
decltype(auto) with_float_dtype(DType dtype, const char* op, F&& f) {
  if (dtype == DType::float32) return f.template operator()<float>();
  if (dtype == DType::float64) return f.template operator()<double>();
  fail("[{}] computes in float32 or float64 on the CPU, got {}: cast the tensor first", op, name(dtype));
}

}  // namespace fovea

template <>
struct fmt::formatter<fovea::DType> : fmt::formatter<std::string_view> {
  template <class Context>
  auto format(fovea::DType dtype, Context& context) const {
    return fmt::formatter<std::string_view>::format(fovea::name(dtype), context);
  }
};
