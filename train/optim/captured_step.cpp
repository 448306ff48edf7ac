#include "train/optim/captured_step.h"

namespace fovea {

CapturedStep::CapturedStep(Module& module, Optimizer& optimizer, std::function<Tensor()> loss)
    : module_(module),
      optimizer_(optimizer),
      loss_of_(std::move(loss)),
      rng_(module.rng()),
      step_(optimizer.steps()) {
  if (module.device() == Device::cpu) return;
  device_step_.emplace(1);
  graph_ = std::make_unique<cuda::Graph>();
}

void CapturedStep::compute() {
  module_.rng() = rng_;
  module_.rng().set_step(device_step_ ? device_step_->data() : &step_);
  optimizer_.clear_gradients();
  const Tensor loss = loss_of_();
  loss.backward();
  optimizer_.apply();
  loss_ = loss.detach();
  module_.rng() = rng_;  // the state after a replay, which save_training() saves
}

Tensor CapturedStep::operator()() {
  step_ = optimizer_.steps();  // the optimizer's step, since others may have called it in between
  if (device_step_) staging_.copy(device_step_->data(), &step_, sizeof step_);
  const double rate = optimizer_.learning_rate();
  optimizer_.prepare_step();
  if (graph_)
    graph_->run([this] { compute(); }, [&] { optimizer_.prepare(optimizer_.steps() - 1, rate); });
  else
    compute();
  return loss_;
}

}  // namespace fovea
