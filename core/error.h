#pragma once
#include <fmt/format.h>

#include <utility>

#include "cuda/runtime/error.h"

namespace fovea {

// Throws Error with the formatted text, e.g. fail("[matmul] a is {}, b is {}: the inner sizes differ", ...).
template <class... Args>
[[noreturn]] void fail(fmt::format_string<Args...> format, Args&&... args) {
  throw Error(fmt::format(format, std::forward<Args>(args)...));
}

// fail(...) unless the condition holds.
template <class... Args>
void require(bool condition, fmt::format_string<Args...> format, Args&&... args) {
  if (!condition) fail(format, std::forward<Args>(args)...);
}

}  // namespace fovea
