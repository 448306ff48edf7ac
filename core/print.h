#pragma once
#include <fmt/format.h>

#include <iosfwd>
#include <string>

#include "core/tensor.h"

namespace fovea {

// Returns a tensor as text: dtype, shape and device, and below them the numbers in nested brackets, as NumPy
// prints an array.
//
//   float32 2x3 on cpu
//   [[ 0.25  1.    2.  ]
//    [-1.5    nan  0.  ]]
//
// Numbers have up to 4 decimals. If one is 1e8 or more, one (other than 0) is below 1e-4, or the largest is
// over 1000 times the smallest, all are written with exponents. If there are more than 1000 numbers, each
// axis longer than 6 shows its first and last 3. The numbers of a CUDA tensor are copied to the CPU, which
// waits for them. No tensor prints as "undefined tensor"; a tensor made by a dry run prints no numbers.
std::string to_string(const Tensor& x);

// The same, for streams and, below, for fmt: fmt::print("{}\n", x).
std::ostream& operator<<(std::ostream& stream, const Tensor& x);

}  // namespace fovea

template <>
struct fmt::formatter<fovea::Tensor> : fmt::formatter<std::string> {
  template <class Context>
  auto format(const fovea::Tensor& x, Context& context) const {
    return fmt::formatter<std::string>::format(fovea::to_string(x), context);
  }
};
