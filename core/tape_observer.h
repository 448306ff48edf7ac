#pragma once
#include "core/op.h"
#include "core/tensor.h"

namespace fovea {

struct Node;

// Observes the ops of this thread while it lives: derive from it to draw the graph, to look for numbers that
// are not finite, or to measure times. Observers nest: every living one is called, the innermost first. They
// also receive ops under NoGrad, including those of a backward pass.
class TapeObserver {
 public:
  TapeObserver();
  virtual ~TapeObserver();
  TapeObserver(const TapeObserver&) = delete;
  TapeObserver& operator=(const TapeObserver&) = delete;

  // An op made `output` from `inputs`, which lists all of them; omitted inputs are undefined tensors.
  virtual void on_op(const Op&, const Tensors& /*inputs*/, const Tensor& /*output*/) {}
  // An op's backward function returned these gradients, one for each input, undefined where an input needs
  // none. A gradient may include what the input had accumulated before (AddingBackward).
  virtual void on_gradients(const Node&, const Tensors& /*gradients*/) {}
  // These gradients have been added to those of the inputs: the op's part of the backward pass is done.
  virtual void on_backward_done(const Node&) {}
  // True if the observer needs every op in the order of the forward pass, so that recompute() must not hide
  // any.
  virtual bool needs_whole_graph() const { return false; }

  static bool any() { return innermost() != nullptr; }  // whether one lives on this thread
  static bool any_needs_whole_graph();
  // Calls f(observer) for the living observers of this thread.
  template <class F>
  static void for_each(F&& f) {
    for (TapeObserver* observer = innermost(); observer; observer = observer->outer_) f(*observer);
  }

 private:
  static TapeObserver*& innermost();  // on this thread

  TapeObserver* outer_;
};

}  // namespace fovea
