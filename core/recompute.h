#pragma once
#include <functional>

#include "core/autograd.h"

namespace fovea {

// Returns function(inputs) but keeps only the inputs for the backward pass, which runs the function again to
// restore what its ops saved: less memory, more time (arXiv 1604.06174). If n layers are cut into pieces
// whose inputs are kept, only one piece's saved tensors exist at a time; the forward pass is computed twice.
//
// `parameters` are the leaves that the function uses besides its inputs. The gradients have the same bits as
// without recompute(), because they are added up in the same order.
//
// The function must do the same both times: it uses random keys drawn beforehand (Random::next_random_key)
// and does not update state such as running averages while is_recomputing(). It must return a tensor that it
// made. Under NoGrad, while a TapeObserver needs the whole graph, or where nothing requires a gradient,
// recompute() only calls the function.
Tensor recompute(const std::function<Tensor(const Tensors&)>& function, const Tensors& inputs,
                 const Tensors& parameters = {});

// Whether this thread is running a function for the first time, under NoGrad, or for the second time. An op
// that rounds differently under NoGrad must not do so the first time.
bool will_be_recomputed();
bool is_recomputing();

}  // namespace fovea
