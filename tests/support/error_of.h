#pragma once
#include <functional>
#include <string>

#include "core/error.h"

namespace fovea {

// The text of the Error that f throws; "no error" if it throws none.
inline std::string error_of(const std::function<void()>& f) {
  try {
    f();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

}  // namespace fovea
