#pragma once
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/autograd.h"
#include "core/tape_observer.h"

namespace fovea {

// The first number that was not finite: infinite, or no number at all (NaN).
struct NonFinite {
  std::string op;         // which made it
  bool backward = false;  // a gradient that the op sent back, otherwise its output
  Shape shape;            // of the tensor it is in
  std::string tensor;     // the named tensor the op read; where it read none, the one last read before it
  bool direct = false;    // the op itself read that tensor
  bool given = false;     // no op made it: one of the op's inputs already had one
};

// While one lives, ops that are recorded on this thread have their outputs and gradients looked through: to
// find out where a training that diverged began to. It takes a pass over each tensor, and on CUDA a copy of
// it to the host: not for every day, and never under capture.
class AnomalyCheck : public TapeObserver {
 public:
  struct Name {
    std::string name;
    Tensor tensor;
  };
  // The names of parameters and buffers, which tell one use of an op from another.
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

// Whether all numbers are finite; those of int32 and uint8 always are. Of a tensor on CUDA the host waits.
bool all_finite(const Tensor& tensor);

}  // namespace fovea
