#pragma once
#include <functional>

#include "core/autograd.h"

namespace fovea {

// function(inputs), keeping only the inputs until the backward pass, which runs the function again for what
// its ops keep: memory for time (arXiv 1604.06174). Of n layers, cut into pieces whose inputs are kept, only
// one piece's saved tensors exist at a time; the forward pass is computed twice.
//
// `parameters` are the leaves that the function uses beside its inputs. Gradients have the bits they would
// have without it: they are added up in the same order.
//
// The function must do the same both times: draw its random numbers by keys drawn before
// (Random::next_random_key), and leave what it changes in passing (running averages) as it is while
// is_recomputing(). It returns a tensor that it made. Under NoGrad, while a TapeObserver needs the whole
// graph, or where nothing requires a gradient, it is just called.
Tensor recompute(const std::function<Tensor(const Tensors&)>& function, const Tensors& inputs,
                 const Tensors& parameters = {});

bool is_recomputing();  // whether this thread runs a function for the second time

}  // namespace fovea
