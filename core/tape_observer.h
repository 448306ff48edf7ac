#pragma once
#include "core/op.h"
#include "core/tensor.h"

namespace fovea {

struct Node;

// Watches the ops of this thread while it lives: derive from it to draw the graph, to look for numbers that
// are not finite, to take times. Observers nest, and every living one is called, the innermost first. They
// see ops under NoGrad as well, among them those that a backward pass consists of.
class TapeObserver {
 public:
  TapeObserver();
  virtual ~TapeObserver();
  TapeObserver(const TapeObserver&) = delete;
  TapeObserver& operator=(const TapeObserver&) = delete;

  // An op made `output` from `inputs`. All inputs are listed; those that were left out are undefined tensors.
  virtual void on_op(const Op&, const Tensors& /*inputs*/, const Tensor& /*output*/) {}
  // An op's backward function returned these, one for each input; undefined where an input needs none.
  // A gradient may be the sum with what the input had collected before (AddingBackward).
  virtual void on_gradients(const Node&, const Tensors& /*gradients*/) {}
  // They have been added to those of the inputs: the op's part of the backward pass is done.
  virtual void on_backward_done(const Node&) {}
  // True where the observer needs every op in the order of the forward pass, so that recompute() must not
  // hide any.
  virtual bool needs_whole_graph() const { return false; }

  static bool any() { return innermost() != nullptr; }  // whether one lives on this thread
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
