#pragma once
#include <stdexcept>
#include <string>

namespace fovea {

// What goes wrong below core: the text is a whole sentence, as that of fovea::Error.
class CudaError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

}  // namespace fovea
