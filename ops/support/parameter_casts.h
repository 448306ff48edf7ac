#pragma once
#include <map>

#include "core/tensor.h"

namespace fovea {

// Copies of a network's float32 parameters in bfloat16, which its matrix products take. One launch rounds all
// of them, where otherwise each op rounds its own parameters each time it runs.
//   const ParameterCasts casts(parameters, DType::bfloat16);
//   for (...) {
//     {
//       const ParameterCasts::Scope scope(casts);
//       loss_of(batch).backward();
//     }
//     optimizer.step();
//   }
// Copying one makes another handle to the same copies.
class ParameterCasts {
 public:
  ParameterCasts() = default;  // of no parameters
  // Copies of the float32 parameters on CUDA, where dtype is bfloat16; nothing else is ever cast for a
  // product. They take 2 bytes a number. Not under capture: a table of them goes to the device.
  ParameterCasts(const Tensors& parameters, DType dtype);

  // While one lives, the ops of this thread take the copies, which its constructor has brought up to date:
  // one launch on the current stream, which may be captured. The parameters must keep their numbers
  // meanwhile. Where scopes are nested, the copies of all of them are found. The tape
  // refers to the copies themselves: call backward() before the next scope begins and before the weights
  // change.
  class Scope {
   public:
    explicit Scope(const ParameterCasts& casts);
    explicit Scope(ParameterCasts&& casts) = delete;  // it would outlive them
    ~Scope();
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    friend class ParameterCasts;
    const ParameterCasts& casts_;
    const Scope* outer_;
  };

  // For ops: the copy in this dtype that a scope of this thread has, off the tape, or no tensor.
  static Tensor find(const Tensor& parameter, DType dtype);

 private:
  // A copy of the parameter's numbers, whichever handle names them. Holding them keeps their address from
  // becoming another tensor's.
  struct Copy {
    Tensor parameter, copy;
  };
  Tensor find_own(const Tensor& parameter) const;
  std::map<const Storage*, Copy> copies_;
  Tensor rows_, chunks_;  // the bytes of a cuda::MultiTensorTable
  int64_t chunk_count_ = 0, numbers_ = 0;
};

}  // namespace fovea
