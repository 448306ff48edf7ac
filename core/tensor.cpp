#include "core/tensor.h"

#include <cstring>
#include <functional>

#include "core/autograd.h"
#include "core/error.h"
#include "core/parallel.h"
#include "cuda/device/normal.h"
#include "cuda/kernels/elementwise.h"
#include "cuda/kernels/random.h"
#include "cuda/kernels/shape_ops.h"
#include "cuda/runtime/memory.h"

namespace fovea {

struct Tensor::Impl {
  std::shared_ptr<Storage> storage;
  Shape shape;
  DType dtype;
  std::shared_ptr<Node> node;
};

namespace {

// x[4 i + k] = f(the four words of i, k)
template <class T, class F>
void fill_from_words(T* x, int64_t n, RandomKey key, F f) {
  parallel_for((n + 3) / 4, 4096, [=](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const PhiloxBlock words = key.words(i);
      for (int k = 0; k < 4 && 4 * i + k < n; ++k) x[4 * i + k] = T(f(words, k));
    }
  });
}

template <class T>
void fill_normal_cpu(T* x, int64_t n, RandomKey key) {
  fill_from_words(x, n, key, [](const PhiloxBlock& words, int k) { return normal_from_words(words, k); });
}

template <class T>
void fill_uniform_cpu(T* x, int64_t n, RandomKey key, float low, float high) {
  fill_from_words(x, n, key,
                  [=](const PhiloxBlock& words, int k) { return uniform_between(words.word[k], low, high); });
}

// Makes a tensor that f.operator()<T>(its numbers, their count) fills; T is a floating-point type.
template <class F>
Tensor random_tensor(const char* op, const char* kind, Shape shape, DType dtype, Device device, F&& f) {
  require(is_floating(dtype), "[{}] cannot draw {} numbers in {}: choose a floating dtype", op, kind, dtype);
  Tensor result(shape, dtype, device);
  if (is_dry_run()) return result;
  with_dtype(dtype, [&]<class T>() {
    if constexpr (!std::is_integral_v<T>) f.template operator()<T>(result.data<T>(), result.numel());
  });
  return result;
}

}  // namespace

Device parse_device(std::string_view text) {
  if (text == "cpu") return Device::cpu;
  if (text == "cuda") return Device::cuda;
  fail("there is no device '{}': choose cpu or cuda", text);
}

Tensor::Tensor(Shape shape, DType dtype, Device device)
    : impl_(std::make_shared<Impl>(
          Impl{std::make_shared<Storage>(shape.numel() * size_of(dtype), device), shape, dtype, nullptr})) {}

const Tensor::Impl& Tensor::impl() const {
  require(impl_ != nullptr, "an undefined tensor was used: it was default-constructed and never assigned");
  return *impl_;
}

const Shape& Tensor::shape() const { return impl().shape; }
DType Tensor::dtype() const { return impl().dtype; }
Device Tensor::device() const { return impl().storage->device(); }
std::byte* Tensor::raw() const { return impl().storage->data(); }

void Tensor::check_dtype(DType asked) const {
  require(asked == dtype(), "a {} tensor ({}) was read as {}", dtype(), shape(), asked);
}

double Tensor::item() const {
  require(numel() == 1, "[item] the tensor is {}: it must have exactly one element", shape());
  return values()[0];
}

std::vector<double> Tensor::values() const {
  require(std::less<>()(raw(), dry_block()), "[values] a tensor ({}) that a dry run made has no numbers",
          shape());
  if (device() == Device::cuda) return clone(Device::cpu).values();
  std::vector<double> result(static_cast<size_t>(numel()));
  with_dtype(dtype(), [&]<class T>() {
    const T* source = data<T>();
    for (size_t i = 0; i < result.size(); ++i) result[i] = converted<double>(source[i]);
  });
  return result;
}

bool Tensor::requires_grad() const { return impl_ && impl_->node; }

const Tensor& Tensor::set_requires_grad(bool on) const {
  require(!on || is_floating(dtype()), "[set_requires_grad] a {} tensor has no gradient", dtype());
  require(!impl_->node || impl_->node->is_leaf(),
          "[set_requires_grad] the tensor is the output of {}: set it on leaves only; detach() it first",
          impl_->node ? impl_->node->op : "");
  if (!on)
    impl_->node = nullptr;
  else if (!impl_->node)
    impl_->node = make_leaf_node(shape(), dtype(), device());
  return *this;
}

Tensor Tensor::grad() const { return impl().node ? impl().node->grad : Tensor(); }

void Tensor::clear_grad() const {
  if (impl().node) impl().node->grad = Tensor();
}

void Tensor::set_grad(Tensor gradient) const {
  require(requires_grad() && node()->is_leaf(),
          "[set_grad] the tensor is not a leaf that requires a gradient");
  require(!gradient.defined() ||
              (gradient.shape() == shape() && gradient.dtype() == dtype() && gradient.device() == device()),
          "[set_grad] the gradient must be a {} of {} on {}", dtype(), shape(), name(device()));
  impl_->node->grad = std::move(gradient);
}

void Tensor::backward() const {
  require(numel() == 1,
          "[backward] the tensor is {}: backward() without a gradient starts from one number, e.g. a loss",
          shape());
  backward(full(shape(), 1, dtype(), device()));
}

void Tensor::backward(const Tensor& gradient) const { run_backward(*this, gradient); }

Tensor Tensor::viewed_as(Shape shape) const {
  require(shape.numel() == numel(), "[reshape] {} has {} elements, {} would have {}", this->shape(), numel(),
          shape, shape.numel());
  Tensor result;
  result.impl_ = std::make_shared<Impl>(Impl{impl().storage, shape, dtype(), nullptr});
  return result;
}

void Tensor::move_to(Device target) const {
  if (target == device()) return;
  require(!impl_->node || impl_->node->is_leaf(),
          "[move_to] the tensor is the output of {}, which needs it where it is: use to()",
          impl_->node ? impl_->node->op : "");
  clear_grad();
  impl_->storage = clone(target).impl_->storage;
  if (impl_->node) impl_->node->device = target;
}

Tensor Tensor::detach() const { return viewed_as(shape()); }

Tensor Tensor::clone() const { return clone(device()); }

Tensor Tensor::clone(Device target) const {
  Tensor result(shape(), dtype(), target);
  result.copy_from(*this);
  return result;
}

void Tensor::copy_from(const Tensor& source) const {
  require(source.shape() == shape() && source.dtype() == dtype(),
          "[copy_from] cannot copy {} of {} into {} of {}", source.dtype(), source.shape(), dtype(), shape());
  const size_t n = size_t(bytes());
  if (n == 0 || is_dry_run()) return;
  if (device() == Device::cpu && source.device() == Device::cpu)
    std::memcpy(raw(), source.raw(), n);
  else if (device() == Device::cpu)
    cuda::copy_to_host(raw(), source.raw(), n);
  else if (source.device() == Device::cpu)
    cuda::copy_to_device(raw(), source.raw(), n);
  else
    cuda::copy_on_device(raw(), source.raw(), n);
}

Tensor Tensor::to(Device target) const {
  if (target == device()) return *this;
  return record(clone(target), "to", {*this},
                [from = device()](const Tensor& dy) -> Tensors { return {dy.to(from)}; });
}

void Tensor::fill(double value) const {
  if (is_dry_run()) return;
  with_dtype(dtype(), [&]<class T>() {
    const T element = converted<T>(value);
    if (device() == Device::cuda) return cuda::fill(data<T>(), element, numel());
    for (T& x : span<T>()) x = element;
  });
}

bool Tensor::unique() const { return impl_ && impl_.use_count() == 1 && impl_->storage.use_count() == 1; }

std::weak_ptr<const Storage> Tensor::storage() const { return impl().storage; }
const std::shared_ptr<Node>& Tensor::node() const { return impl().node; }
void Tensor::set_node(std::shared_ptr<Node> node) const {
  impl();
  impl_->node = std::move(node);
}

Tensor empty(Shape shape, DType dtype, Device device) { return Tensor(shape, dtype, device); }

Tensor full(Shape shape, double value, DType dtype, Device device) {
  Tensor result(shape, dtype, device);
  result.fill(value);
  return result;
}

Tensor zeros(Shape shape, DType dtype, Device device) { return full(shape, 0, dtype, device); }
Tensor ones(Shape shape, DType dtype, Device device) { return full(shape, 1, dtype, device); }
Tensor empty_like(const Tensor& x) { return Tensor(x.shape(), x.dtype(), x.device()); }
Tensor zeros_like(const Tensor& x) { return zeros(x.shape(), x.dtype(), x.device()); }

Tensor randn(Shape shape, Random& random, DType dtype) {
  if (is_dry_run()) return Tensor(shape, dtype);
  std::vector<double> values(static_cast<size_t>(shape.numel()));
  for (double& value : values) value = random.normal();
  return from_values(shape, values, dtype);
}

Tensor randn(Shape shape, RandomKey key, DType dtype, Device device) {
  return random_tensor("randn", "normal", shape, dtype, device, [&]<class T>(T* x, int64_t n) {
    (device == Device::cuda ? cuda::fill_normal<T> : fill_normal_cpu<T>)(x, n, key);
  });
}

Tensor randn(Shape shape, Random& random, DType dtype, Device device) {
  return randn(shape, random.next_random_key(), dtype, device);
}

Tensor rand(Shape shape, Random& random, double low, double high, DType dtype) {
  if (is_dry_run()) return Tensor(shape, dtype);
  std::vector<double> values(static_cast<size_t>(shape.numel()));
  for (double& value : values) value = low + (high - low) * random.uniform();
  return from_values(shape, values, dtype);
}

Tensor rand(Shape shape, RandomKey key, double low, double high, DType dtype, Device device) {
  return random_tensor("rand", "uniform", shape, dtype, device, [&]<class T>(T* x, int64_t n) {
    (device == Device::cuda ? cuda::fill_uniform<T> : fill_uniform_cpu<T>)(x, n, key, float(low),
                                                                           float(high));
  });
}

Tensor rand(Shape shape, Random& random, double low, double high, DType dtype, Device device) {
  return rand(shape, random.next_random_key(), low, high, dtype, device);
}

Tensor from_values(Shape shape, const std::vector<double>& values, DType dtype) {
  require(int64_t(values.size()) == shape.numel(), "[from_values] {} values for a tensor of {}",
          values.size(), shape);
  Tensor result(shape, dtype);
  if (is_dry_run()) return result;
  with_dtype(dtype, [&]<class T>() {
    T* out = result.data<T>();
    for (size_t i = 0; i < values.size(); ++i) out[i] = converted<T>(values[i]);
  });
  return result;
}

}  // namespace fovea
