#pragma once
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/autograd.h"
#include "core/tape_observer.h"

namespace fovea {

// The first number that was not finite: infinite or NaN.
struct NonFinite {
  std::string op;         // that produced it
  bool backward = false;  // in a gradient from the op's backward pass, otherwise in its output
  Shape shape;            // of the tensor that contains it
  std::string tensor;     // the named tensor the op read, or if it read none, the last one read before
  bool direct = false;    // the op itself read that tensor
  bool given = false;     // no op produced it: one of the op's inputs already contained it
};

// While an AnomalyCheck exists, it checks the outputs and gradients of all ops recorded on this thread, to
// find where a diverged training began to diverge. It takes a pass over each tensor, and on CUDA a copy to
// the host, so it is not for everyday use, and never for use under capture.
class AnomalyCheck : public TapeObserver {
 public:
  struct Name {
    std::string name;
    Tensor tensor;
  };
  // `names` holds the parameters and buffers, whose names tell one use of an op from another.
  explicit AnomalyCheck(const std::vector<Name>& names);

  const std::optional<NonFinite>& first() const { return first_; }

  void on_op(const Op& op, const Tensors& inputs, const Tensor& output) override;
  void on_gradients(const Node& node, const Tensors& gradients) override;

 private:
  const std::string* name_of(const Tensor& tensor) const;

  std::map<std::weak_ptr<const Storage>, std::string, std::owner_less<>> names_;
  std::map<const Node*, std::string> leaves_;
  std::string latest_;  // the named tensor that an op read last
  std::optional<NonFinite> first_;
};

// Whether all numbers are finite; those of int32 and uint8 always are. For a tensor on CUDA the host waits.
bool all_finite(const Tensor& tensor);

}  // namespace fovea
