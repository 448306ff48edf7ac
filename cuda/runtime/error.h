#pragma once
#include <stdexcept>
#include <string>

namespace fovea {

// What every function of the project throws. Its text is a whole sentence for the user: which op, file or
// field, which value, and what to do about it.
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// Thrown in cuda/ for what the device, its runtime or the simulator refuses.
class CudaError : public Error {
 public:
  using Error::Error;
};

}  // namespace fovea
