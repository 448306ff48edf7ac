#pragma once
#include <map>

#include "core/tensor.h"

namespace fovea {

// bfloat16 copies of a network's float32 parameters, for its matrix products. One launch rounds all of them;
// without them each op rounds its own parameters each time it runs.
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
  // Copies the float32 parameters on CUDA if dtype is bfloat16; nothing else is ever cast for a product. The
  // copies take 2 bytes a number. Not allowed under capture, because it sends a table to the device.
  ParameterCasts(const Tensors& parameters, DType dtype);

  // While one lives, the ops of this thread use the copies, which its constructor brings up to date with one
  // launch on the current stream; the launch may be captured. The parameters must not change meanwhile. With
  // nested scopes, ops find the copies of all of them. The tape refers to the copies themselves: call
  // backward() before the next scope begins and before the weights change.
  class Scope {
   public:
    explicit Scope(const ParameterCasts& casts);
    explicit Scope(ParameterCasts&& casts) = delete;  // the scope would outlive them
    ~Scope();
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    friend class ParameterCasts;
    const ParameterCasts& casts_;
    const Scope* outer_;
  };

  // For ops: returns this dtype's copy from a scope of this thread, off the tape, or no tensor.
  static Tensor find(const Tensor& parameter, DType dtype);

 private:
  // The copy of a parameter's numbers, whichever handle refers to them. Holding them keeps their address from
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
