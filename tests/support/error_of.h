#pragma once
#include <functional>
#include <string>

#include "core/error.h"

namespace fovea {

// What the Error says that f throws; "no error" where it throws none.
inline std::string error_of(const std::function<void()>& f) {
  try {
    f();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

}  // namespace fovea
