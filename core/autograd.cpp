#include "core/autograd.h"

#include <atomic>
#include <map>
#include <set>
#include <utility>

#include "core/dry_run.h"
#include "core/error.h"
#include "core/parallel.h"
#include "core/tape_observer.h"
#include "cuda/kernels/elementwise.h"

namespace fovea {
namespace {

std::atomic<uint64_t> next_sequence = 0;
thread_local bool recording = true;

}  // namespace

TapeObserver*& TapeObserver::innermost() {
  thread_local TapeObserver* observer = nullptr;
  return observer;
}
bool TapeObserver::any_needs_whole_graph() {
  bool needed = false;
  for_each([&](const TapeObserver& observer) { needed = needed || observer.needs_whole_graph(); });
  return needed;
}
TapeObserver::TapeObserver() : outer_(std::exchange(innermost(), this)) {}
TapeObserver::~TapeObserver() { innermost() = outer_; }

NoGrad::NoGrad() : previous_(recording) { recording = false; }
NoGrad::~NoGrad() { recording = previous_; }
WithGrad::WithGrad() : previous_(recording) { recording = true; }
WithGrad::~WithGrad() { recording = previous_; }
bool grad_enabled() { return recording; }

// A deep network's tape is a long chain of shared pointers: their destructors would recurse once per layer.
Node::~Node() {
  std::vector<std::shared_ptr<Node>> dying = std::move(inputs);
  while (!dying.empty()) {
    std::shared_ptr<Node> node = std::move(dying.back());
    dying.pop_back();
    if (node && node.use_count() == 1) {
      for (auto& input : node->inputs) dying.push_back(std::move(input));
      node->inputs.clear();
    }
  }
}

std::shared_ptr<Node> make_leaf_node(Shape shape, DType dtype, Device device) {
  auto node = std::make_shared<Node>();
  node->sequence = next_sequence++;
  node->shape = shape;
  node->dtype = dtype;
  node->device = device;
  return node;
}

void require_no_gradient(const char* op, const char* input, const Tensor& tensor) {
  require(!recording || !tensor.requires_grad(),
          "[{}] {} requires a gradient, which this op does not compute: detach() it first", op, input);
}

Tensor record(Tensor output, const Op& op, const Tensors& inputs, Backward backward) {
  return record_adding(std::move(output), op, inputs,
                       [backward = std::move(backward)](const Tensor& dy, Node&) { return backward(dy); });
}

Tensor record_adding(Tensor output, const Op& op, const Tensors& inputs, AddingBackward backward) {
  TapeObserver::for_each([&](TapeObserver& observer) { observer.on_op(op, inputs, output); });
  bool needed = false;
  for (const Tensor& input : inputs) needed = needed || input.requires_grad();
  if (!recording || !needed) return output;
  auto node = make_leaf_node(output.shape(), output.dtype(), output.device());
  node->op = op.name;
  node->backward = std::move(backward);
  for (const Tensor& input : inputs) node->inputs.push_back(input.requires_grad() ? input.node() : nullptr);
  output.set_node(std::move(node));
  return output;
}

Tensor take_gradient(const Node& node, size_t i) {
  if (!node.inputs[i]) return {};
  Tensor sum = std::exchange(node.inputs[i]->grad, Tensor());
  return !sum.defined() || sum.unique() ? sum : sum.clone();
}

void accumulate(Tensor& sum, const Tensor& term) {
  if (!sum.defined()) {
    sum = term;
    return;
  }
  // Copy first where another tensor shares these numbers: an op may pass one gradient to two inputs.
  if (!sum.unique()) sum = sum.clone();
  if (is_dry_run()) return;
  if (sum.device() == Device::cuda) {
    with_dtype(sum.dtype(), [&]<class T>() { cuda::accumulate(sum.data<T>(), term.data<T>(), sum.numel()); });
    return;
  }
  with_float_dtype(sum.dtype(), "accumulate", [&]<class T>() {
    T* into = sum.data<T>();
    const T* from = term.data<T>();
    parallel_for(sum.numel(), 1 << 14, [=](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) into[i] += from[i];
    });
  });
}

void run_backward(const Tensor& root, const Tensor& gradient) {
  require(root.requires_grad(),
          "[backward] the tensor does not require a gradient: no tensor it was computed from called "
          "set_requires_grad(), or it "
          "was computed under NoGrad");
  require(gradient.shape() == root.shape() && gradient.dtype() == root.dtype() &&
              gradient.device() == root.device(),
          "[backward] the gradient is {} of {} on {}, the tensor is {} of {} on {}", gradient.dtype(),
          gradient.shape(), name(gradient.device()), root.dtype(), root.shape(), name(root.device()));
  NoGrad no_grad;
  // Nodes still to visit, newest first. Every consumer of a tensor is newer than the tensor, so a node's
  // gradient is complete when its turn comes.
  std::map<uint64_t, std::shared_ptr<Node>, std::greater<>> waiting;
  accumulate(root.node()->grad, gradient);
  waiting.emplace(root.node()->sequence, root.node());
  while (!waiting.empty()) {
    const std::shared_ptr<Node> node = waiting.begin()->second;
    waiting.erase(waiting.begin());
    if (node->is_leaf()) continue;
    require(
        !node->consumed,
        "[backward] {} (output {}) has already been through a backward pass, which freed its saved tensors: "
        "run the forward "
        "pass again before a second backward(), or add the losses and call it once",
        node->op, node->shape);
    Tensor grad_output = std::move(node->grad);
    node->grad = Tensor();
    AddingBackward backward = std::move(node->backward);
    node->backward = nullptr;
    node->consumed = true;
    const Tensors gradients = backward(grad_output, *node);
    TapeObserver::for_each([&](TapeObserver& observer) { observer.on_gradients(*node, gradients); });
    backward = nullptr;  // free the saved tensors before the gradients are passed on
    grad_output = Tensor();
    require(gradients.size() == node->inputs.size(), "[backward] {} returned {} gradients for {} inputs",
            node->op, gradients.size(), node->inputs.size());
    for (size_t i = 0; i < gradients.size(); ++i) {
      const std::shared_ptr<Node>& input = node->inputs[i];
      if (!input || !gradients[i].defined()) continue;
      require(gradients[i].shape() == input->shape && gradients[i].dtype() == input->dtype &&
                  gradients[i].device() == input->device,
              "[backward] {} returned a gradient {} of {} on {} for input {}, which is {} of {} on {}",
              node->op, gradients[i].dtype(), gradients[i].shape(), name(gradients[i].device()), i,
              input->dtype, input->shape, name(input->device));
      accumulate(input->grad, gradients[i]);
      waiting.emplace(input->sequence, input);
    }
    TapeObserver::for_each([&](TapeObserver& observer) { observer.on_backward_done(*node); });
  }
}

std::string graph_dot(const Tensor& root) {
  std::string dot = "digraph tape {\n  rankdir=BT; node [shape=box, fontname=\"monospace\"];\n";
  std::map<uint64_t, std::shared_ptr<Node>, std::greater<>> waiting;
  std::set<uint64_t> drawn;
  if (root.requires_grad()) waiting.emplace(root.node()->sequence, root.node());
  while (!waiting.empty()) {
    const std::shared_ptr<Node> node = waiting.begin()->second;
    waiting.erase(waiting.begin());
    if (!drawn.insert(node->sequence).second) continue;
    dot += fmt::format("  n{} [label=\"{}\\n{}\"{}];\n", node->sequence, node->op, node->shape,
                       node->is_leaf() ? ", style=filled, fillcolor=lightyellow" : "");
    for (const auto& input : node->inputs) {
      if (!input) continue;
      dot += fmt::format("  n{} -> n{};\n", input->sequence, node->sequence);
      waiting.emplace(input->sequence, input);
    }
  }
  return dot + "}\n";
}

}  // namespace fovea
