#pragma once
#include <algorithm>
#include <memory>
#include <span>
#include <vector>

#include "core/device.h"
#include "core/dry_run.h"
#include "core/dtype.h"
#include "core/random.h"
#include "core/shape.h"
#include "core/storage.h"

// The namespace of all of Fovea; CUDA's own part is in fovea::cuda.
namespace fovea {

struct Node;  // core/autograd.h: a tensor's place on the tape

// A dense, row-major, contiguous array with a dtype and a device, and perhaps a place on the tape. Images are
// {N, H, W, C}.
//
// A Tensor is a handle. Copying it makes another handle to the same array, so const protects only the handle:
// functions that change the array, its numbers, its gradient, its place on the tape or its device, are const.
// Only assignment, which makes a handle refer to another array, is not.
class Tensor {
 public:
  Tensor() = default;  // no tensor at all; defined() is false
  explicit Tensor(Shape shape, DType dtype = DType::float32,
                  Device device = Device::cpu);  // undefined content

  bool defined() const { return impl_ != nullptr; }
  const Shape& shape() const;                             // throws on an undefined tensor, as do all below
  int64_t size(int axis) const { return shape()[axis]; }  // negative axes count from the end
  int rank() const { return shape().rank(); }
  int64_t numel() const { return shape().numel(); }
  int64_t bytes() const { return numel() * size_of(dtype()); }
  DType dtype() const;    // of each number
  Device device() const;  // where the numbers lie

  // The numbers, in the device's memory: the CPU can read only those of a CPU tensor. T must be the C++ type
  // of dtype().
  template <class T>
  T* data() const {
    check_dtype(dtype_of<T>);
    return reinterpret_cast<T*>(raw());
  }
  // The same as a span of all numel() numbers, row by row.
  template <class T>
  std::span<T> span() const {
    return {data<T>(), size_t(numel())};
  }
  std::byte* raw() const;              // their address, whatever the dtype
  double item() const;                 // the one number of a one-element tensor; throws for others
  std::vector<double> values() const;  // a copy of all numbers; an int64 beyond 2^53 is rounded

  // ---- autograd (core/autograd.h)

  bool requires_grad() const;  // a leaf that collects its gradient, or computed from one
  const Tensor& set_requires_grad(bool on = true) const;  // for leaves; floating dtypes only; returns itself
  Tensor grad() const;                                    // of a leaf, undefined before the first backward()
  void clear_grad() const;                                // the next backward() starts it afresh
  void set_grad(Tensor gradient) const;                   // of a leaf; shape, dtype and device must match
  void backward() const;                                  // from a scalar, to all leaves it was computed from
  void backward(const Tensor& gradient) const;            // from any tensor, with d(something)/d(this)

  Tensor detach() const;           // the same numbers, off the tape
  Tensor to(Device device) const;  // itself, or a copy on the other device; the gradient is copied back
  // Moves this tensor itself, for all its handles, and drops its gradient. Throws on an op's output, whose
  // gradient could not follow.
  void move_to(Device device) const;
  Tensor clone() const;               // a copy of the numbers, off the tape
  Tensor clone(Device device) const;  // the same on a device
  // Overwrites the numbers, from any device, off the tape. Throws on another shape or dtype.
  void copy_from(const Tensor& source) const;
  void fill(double value) const;  // every number becomes `value`, converted to the dtype
  bool unique() const;            // no other tensor shares these numbers: they may be overwritten

  const std::shared_ptr<Node>& node() const;        // for core/autograd.cpp
  void set_node(std::shared_ptr<Node> node) const;  // for core/autograd.cpp
  std::weak_ptr<const Storage> storage() const;     // for observers of the tape: identifies the numbers
  Tensor viewed_as(Shape shape) const;  // same storage, other shape, off the tape; reshape() is for users

 private:
  struct Impl;
  void check_dtype(DType asked) const;
  const Impl& impl() const;
  std::shared_ptr<Impl> impl_;
};

using Tensors = std::vector<Tensor>;  // the inputs or outputs of an op

// Create tensors off the tape whose content is undefined, one value everywhere, 0, or 1. They throw Error if
// memory runs out.
Tensor empty(Shape shape, DType dtype = DType::float32, Device device = Device::cpu);
Tensor full(Shape shape, double value, DType dtype = DType::float32, Device device = Device::cpu);
Tensor zeros(Shape shape, DType dtype = DType::float32, Device device = Device::cpu);
Tensor ones(Shape shape, DType dtype = DType::float32, Device device = Device::cpu);
// The same with shape, dtype and device of x.
Tensor empty_like(const Tensor& x);
Tensor zeros_like(const Tensor& x);
// Random numbers on the CPU, drawn one after another from `random` and rounded to the dtype: normal(0, 1), or
// uniform in [low, high).
Tensor randn(Shape shape, Random& random, DType dtype = DType::float32);
Tensor rand(Shape shape, Random& random, double low = 0, double high = 1, DType dtype = DType::float32);
// The same, but made on the tensor's own device by all its threads, many times faster: element i is a
// function of a key and i, with the same bits on either device. The key is given, or drawn from `random`,
// which advances by one key whatever the shape; the numbers differ from those above. Rounding to the dtype
// may reach `high`. They throw for integer dtypes.
Tensor randn(Shape shape, RandomKey key, DType dtype, Device device);
Tensor randn(Shape shape, Random& random, DType dtype, Device device);
Tensor rand(Shape shape, RandomKey key, double low, double high, DType dtype, Device device);
Tensor rand(Shape shape, Random& random, double low, double high, DType dtype, Device device);
// Creates a CPU tensor of these numbers, row by row, converted to the dtype. Throws if their count is not
// shape.numel().
Tensor from_values(Shape shape, const std::vector<double>& values, DType dtype = DType::float32);
// The same from numbers of the dtype itself: from_span<int64_t>({3}, indices) of a std::vector<int64_t>.
template <class T>
Tensor from_span(Shape shape, std::span<const T> values) {
  require(int64_t(values.size()) == shape.numel(), "[from_span] {} values for a tensor of {}", values.size(),
          shape);
  Tensor result(shape, dtype_of<T>);
  if (!is_dry_run()) std::copy(values.begin(), values.end(), result.data<T>());
  return result;
}

}  // namespace fovea
