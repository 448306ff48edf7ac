#include "ops/support/parameter_casts.h"

#include <utility>

#include "core/dry_run.h"
#include "cuda/kernels/optimizer.h"
#include "cuda/runtime/memory.h"

namespace fovea {
namespace {

thread_local const ParameterCasts::Scope* innermost = nullptr;

template <class T>
Tensor on_device(const std::vector<T>& values) {
  const Tensor bytes({int64_t(values.size() * sizeof(T))}, DType::uint8, Device::cuda);
  if (!is_dry_run()) cuda::copy_to_device(bytes.raw(), values.data(), size_t(bytes.bytes()));
  return bytes;
}

}  // namespace

ParameterCasts::ParameterCasts(const Tensors& parameters, DType dtype) {
  std::vector<cuda::RoundedTensor> rows;
  std::vector<int64_t> sizes;
  for (const Tensor& parameter : parameters) {
    if (parameter.device() != Device::cuda || parameter.dtype() != DType::float32) continue;
    if (dtype != DType::bfloat16 || find_own(parameter).defined()) continue;
    const Tensor copy(parameter.shape(), dtype, Device::cuda);
    copies_.emplace(parameter.storage().lock().get(), Copy{parameter.detach(), copy});
    rows.push_back({parameter.data<float>(), copy.data<bfloat16>(), parameter.numel()});
    sizes.push_back(parameter.numel());
    numbers_ += parameter.numel();
  }
  if (numbers_ == 0) return;
  const std::vector<cuda::Chunk> chunks = cuda::chunks_of(sizes);
  chunk_count_ = int64_t(chunks.size());
  rows_ = on_device(rows);
  chunks_ = on_device(chunks);
}

ParameterCasts::Scope::Scope(const ParameterCasts& casts) : casts_(casts), outer_(innermost) {
  if (casts.numbers_ > 0 && !is_dry_run())
    cuda::round_all({reinterpret_cast<const cuda::RoundedTensor*>(casts.rows_.raw()),
                     reinterpret_cast<const cuda::Chunk*>(casts.chunks_.raw()), casts.chunk_count_,
                     casts.numbers_});
  innermost = this;  // last: if the launch throws, no scope begins
}

ParameterCasts::Scope::~Scope() { innermost = outer_; }

Tensor ParameterCasts::find_own(const Tensor& parameter) const {
  const auto found = copies_.find(parameter.storage().lock().get());
  return found == copies_.end() ? Tensor() : found->second.copy;
}

Tensor ParameterCasts::find(const Tensor& parameter, DType dtype) {
  for (const Scope* scope = innermost; scope && dtype == DType::bfloat16; scope = scope->outer_)
    if (const Tensor copy = scope->casts_.find_own(parameter); copy.defined())
      return copy.viewed_as(parameter.shape());
  return {};
}

}  // namespace fovea
