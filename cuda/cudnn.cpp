#include "cuda/cudnn.h"

#include <atomic>
#include <cstdlib>
#include <string_view>

#include "cuda/device/bfloat16.h"

#ifdef FOVEA_CUDNN
#include <cudnn.h>
#include <dlfcn.h>

#include <map>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <tuple>
#include <type_traits>

#include "cuda/runtime/error.h"
#include "cuda/runtime/memory.h"
#include "cuda/runtime/profile.h"
#include "cuda/runtime/stream.h"
#endif

namespace fovea::cuda::cudnn {
namespace {

Use initial_use() {
  const char* word = std::getenv("FOVEA_CUDNN");
  return word && std::string_view(word) == "never" ? Use::never : Use::where_faster;
}
std::atomic<Use> current_use{initial_use()};

}  // namespace

void set_use(Use use) { current_use = use; }
Use use() { return current_use; }

#ifndef FOVEA_CUDNN

bool available() { return false; }
template <class T>
bool takes(Pass, const Convolution&) {
  return false;
}
template <class T>
void forward(const T*, const T*, T*, const Convolution&) {}
template <class T>
void input_gradient(const T*, const T*, T*, const Convolution&) {}
template <class T>
void weight_gradient(const T*, const T*, T*, const Convolution&) {}

#else

namespace {

// The functions of cuDNN that we call. They are looked up when the program runs, so that a program built with
// cuDNN starts on a machine without it. We use the interface of descriptors and algorithms rather than that
// of graphs, because we need only single convolutions, and it reports for each algorithm whether it is
// deterministic.
#define FOVEA_CUDNN_FUNCTIONS(X)                   \
  X(cudnnCreate)                                   \
  X(cudnnSetStream)                                \
  X(cudnnGetErrorString)                           \
  X(cudnnCreateTensorDescriptor)                   \
  X(cudnnSetTensor4dDescriptor)                    \
  X(cudnnCreateFilterDescriptor)                   \
  X(cudnnSetFilter4dDescriptor)                    \
  X(cudnnCreateConvolutionDescriptor)              \
  X(cudnnSetConvolution2dDescriptor)               \
  X(cudnnSetConvolutionGroupCount)                 \
  X(cudnnSetConvolutionMathType)                   \
  X(cudnnGetConvolutionForwardAlgorithm_v7)        \
  X(cudnnGetConvolutionBackwardDataAlgorithm_v7)   \
  X(cudnnGetConvolutionBackwardFilterAlgorithm_v7) \
  X(cudnnConvolutionForward)                       \
  X(cudnnConvolutionBackwardData)                  \
  X(cudnnConvolutionBackwardFilter)

// These are names, which take no parentheses: NOLINTBEGIN(bugprone-macro-parentheses)
struct Functions {
#define MEMBER(name) decltype(&::name) name = nullptr;
  FOVEA_CUDNN_FUNCTIONS(MEMBER)
#undef MEMBER

  // Whether all were found. The library is never closed.
  bool open() {
    void* library = dlopen(("libcudnn.so." + std::to_string(CUDNN_MAJOR)).c_str(), RTLD_NOW | RTLD_LOCAL);
    bool found = library != nullptr;
#define FIND(name) \
  found = found && (name = reinterpret_cast<decltype(name)>(dlsym(library, #name))) != nullptr;
    FOVEA_CUDNN_FUNCTIONS(FIND)
#undef FIND
    return found;
  }
};
// NOLINTEND(bugprone-macro-parentheses)

// The algorithm of one pass.
template <class Algorithm>
struct Choice {
  Algorithm algorithm;
  cudnnMathType_t math;
  size_t workspace_bytes;
};

// A convolution of these sizes, and the algorithm of each pass; the library is queried once.
struct Plan {
  cudnnTensorDescriptor_t x = nullptr, y = nullptr;
  cudnnFilterDescriptor_t w = nullptr;
  cudnnConvolutionDescriptor_t convolution = nullptr;
  std::optional<Choice<cudnnConvolutionFwdAlgo_t> > forward;
  std::optional<Choice<cudnnConvolutionBwdDataAlgo_t> > input_gradient;
  std::optional<Choice<cudnnConvolutionBwdFilterAlgo_t> > weight_gradient;
};

using Key =
    std::tuple<int64_t, int64_t, int64_t, int64_t, int64_t, int64_t, int, int, int64_t, cudnnDataType_t>;

struct Library : Functions {
  const bool is_open = open();
  std::mutex mutex;  // a plan's descriptor has the arithmetic of the pass that is being launched
  cudnnHandle_t handle = nullptr;
  std::map<Key, Plan> plans;
};
// Never destroyed: the library may be unloaded before our static objects.
Library& library() {
  static Library& only = *new Library;
  return only;
}

void check(cudnnStatus_t status, const char* asked) {
  if (status != CUDNN_STATUS_SUCCESS)
    throw CudaError(std::string("cuDNN: ") + library().cudnnGetErrorString(status) + " (" + asked +
                    "): with FOVEA_CUDNN=never in the environment convolutions do without it");
}
#define CHECKED(function, ...) check(lib.function(__VA_ARGS__), #function)

template <class T>
constexpr cudnnDataType_t data_type = std::is_same_v<T, bfloat16> ? CUDNN_DATA_BFLOAT16 : CUDNN_DATA_FLOAT;
// float32 uses multiply-adds of float32, not of TF32; bfloat16 uses tensor cores, with sums in float32.
constexpr cudnnMathType_t arithmetic(cudnnDataType_t type) {
  return type == CUDNN_DATA_FLOAT ? CUDNN_FMA_MATH : CUDNN_TENSOR_OP_MATH;
}

// The fastest deterministic algorithm, by the library's own estimate, that has room in the workspace.
template <class Algorithm, class Performance, class Get, class... Descriptors>
std::optional<Choice<Algorithm> > choose(Get get, const char* name, cudnnDataType_t type,
                                         Descriptors... descriptors) {
  Performance found[16];
  int count = 0;
  const cudnnStatus_t status = get(library().handle, descriptors..., 16, &count, found);
  const int category = CUDNN_STATUS_CATEGORY(status);
  if (category == CUDNN_STATUS_NOT_SUPPORTED || category == CUDNN_STATUS_BAD_PARAM) return std::nullopt;
  check(status, name);
  for (const Performance& one : std::span(found, size_t(count))) {
    const bool on_tensor_cores =
        one.mathType == CUDNN_TENSOR_OP_MATH || one.mathType == CUDNN_TENSOR_OP_MATH_ALLOW_CONVERSION;
    if (one.status != CUDNN_STATUS_SUCCESS || one.determinism != CUDNN_DETERMINISTIC ||
        int64_t(one.memory) > max_workspace_bytes || (type == CUDNN_DATA_FLOAT && on_tensor_cores))
      continue;
    return Choice<Algorithm>{one.algo, type == CUDNN_DATA_FLOAT ? CUDNN_FMA_MATH : one.mathType, one.memory};
  }
  return std::nullopt;
}

Plan make_plan(const Convolution& c, cudnnDataType_t type) {
  Library& lib = library();
  const int pad_y = int(c.window.pad_before(c.in_height)), pad_x = int(c.window.pad_before(c.in_width));
  Plan plan;
  CHECKED(cudnnCreateTensorDescriptor, &plan.x);
  CHECKED(cudnnSetTensor4dDescriptor, plan.x, CUDNN_TENSOR_NHWC, type, int(c.batch), int(c.in_channels),
          int(c.in_height), int(c.in_width));
  CHECKED(cudnnCreateTensorDescriptor, &plan.y);
  CHECKED(cudnnSetTensor4dDescriptor, plan.y, CUDNN_TENSOR_NHWC, type, int(c.batch), int(c.out_channels),
          int(c.window.output_size(c.in_height)), int(c.window.output_size(c.in_width)));
  CHECKED(cudnnCreateFilterDescriptor, &plan.w);
  CHECKED(cudnnSetFilter4dDescriptor, plan.w, type, CUDNN_TENSOR_NHWC, int(c.out_channels),
          int(c.in_channels / c.groups), c.window.kernel, c.window.kernel);
  CHECKED(cudnnCreateConvolutionDescriptor, &plan.convolution);
  CHECKED(cudnnSetConvolution2dDescriptor, plan.convolution, pad_y, pad_x, c.window.stride, c.window.stride,
          1, 1, CUDNN_CROSS_CORRELATION, CUDNN_DATA_FLOAT);
  CHECKED(cudnnSetConvolutionGroupCount, plan.convolution, int(c.groups));
  CHECKED(cudnnSetConvolutionMathType, plan.convolution, arithmetic(type));
  plan.forward = choose<cudnnConvolutionFwdAlgo_t, cudnnConvolutionFwdAlgoPerf_t>(
      lib.cudnnGetConvolutionForwardAlgorithm_v7, "cudnnGetConvolutionForwardAlgorithm_v7", type, plan.x,
      plan.w, plan.convolution, plan.y);
  plan.input_gradient = choose<cudnnConvolutionBwdDataAlgo_t, cudnnConvolutionBwdDataAlgoPerf_t>(
      lib.cudnnGetConvolutionBackwardDataAlgorithm_v7, "cudnnGetConvolutionBackwardDataAlgorithm_v7", type,
      plan.w, plan.y, plan.convolution, plan.x);
  plan.weight_gradient = choose<cudnnConvolutionBwdFilterAlgo_t, cudnnConvolutionBwdFilterAlgoPerf_t>(
      lib.cudnnGetConvolutionBackwardFilterAlgorithm_v7, "cudnnGetConvolutionBackwardFilterAlgorithm_v7",
      type, plan.x, plan.y, plan.convolution, plan.w);
  return plan;
}

// The library's mutex must be held.
Plan& plan_for(const Convolution& c, cudnnDataType_t type) {
  Library& lib = library();
  if (!lib.handle) CHECKED(cudnnCreate, &lib.handle);
  const Window& window = c.window;
  const Key key{
      c.batch,       c.in_height,    c.in_width,
      c.in_channels, c.out_channels, c.groups,
      window.kernel, window.stride,  window.pad_before(c.in_height) << 32 | window.pad_before(c.in_width),
      type};
  const auto found = lib.plans.find(key);
  return found != lib.plans.end() ? found->second : lib.plans.emplace(key, make_plan(c, type)).first->second;
}

bool pads_both_sides_alike(const Window& window, int64_t in) {
  return window.pad_after(in) <= window.pad_before(in);
}

// Calls run(plan, workspace, its bytes) with the stream, the arithmetic and the workspace of a pass. `choice`
// is the member of Plan that has its algorithm.
template <class T, class Choices, class Run>
void convolve(const char* what, const Convolution& c, Choices Plan::*choice, Run&& run) {
  Library& lib = library();
  const std::lock_guard lock(lib.mutex);
  const Plan& plan = plan_for(c, data_type<T>);
  const auto& chosen = plan.*choice;
  if (!chosen) throw CudaError(std::string("cuDNN: ") + what + " was not chosen before: call takes() first");
  CHECKED(cudnnSetConvolutionMathType, plan.convolution, chosen->math);
  CHECKED(cudnnSetStream, lib.handle, current_stream().get());
  const Workspace<std::byte> workspace(int64_t(chosen->workspace_bytes), User::library);
  const int64_t x = c.batch * c.in_height * c.in_width * c.in_channels;
  const int64_t y =
      c.batch * c.window.output_size(c.in_height) * c.window.output_size(c.in_width) * c.out_channels;
  const int64_t w = c.out_channels * c.window.kernel * c.window.kernel * c.in_channels / c.groups;
  LaunchTimer::note(what, (x + y + w) * int64_t(sizeof(T)));
  const float one = 1, zero = 0;
  check(run(lib, plan, chosen->algorithm, &one, &zero, workspace.data(), chosen->workspace_bytes), what);
}

}  // namespace

bool available() { return library().is_open; }

template <class T>
bool takes(Pass pass, const Convolution& c) {
  if (!available() || std::is_same_v<T, double>) return false;
  if (!pads_both_sides_alike(c.window, c.in_height) || !pads_both_sides_alike(c.window, c.in_width))
    return false;
  const std::lock_guard lock(library().mutex);
  const Plan& plan = plan_for(c, data_type<T>);
  return pass == Pass::forward          ? plan.forward.has_value()
         : pass == Pass::input_gradient ? plan.input_gradient.has_value()
                                        : plan.weight_gradient.has_value();
}

template <class T>
void forward(const T* x, const T* w, T* y, const Convolution& c) {
  convolve<T>("cuDNN forward", c, &Plan::forward,
              [&](Library& lib, const Plan& plan, auto algorithm, const float* one, const float* zero,
                  void* workspace, size_t bytes) {
                return lib.cudnnConvolutionForward(lib.handle, one, plan.x, x, plan.w, w, plan.convolution,
                                                   algorithm, workspace, bytes, zero, plan.y, y);
              });
}
template <class T>
void input_gradient(const T* w, const T* dy, T* dx, const Convolution& c) {
  convolve<T>("cuDNN input gradient", c, &Plan::input_gradient,
              [&](Library& lib, const Plan& plan, auto algorithm, const float* one, const float* zero,
                  void* workspace, size_t bytes) {
                return lib.cudnnConvolutionBackwardData(lib.handle, one, plan.w, w, plan.y, dy,
                                                        plan.convolution, algorithm, workspace, bytes, zero,
                                                        plan.x, dx);
              });
}
template <class T>
void weight_gradient(const T* x, const T* dy, T* dw, const Convolution& c) {
  convolve<T>("cuDNN weight gradient", c, &Plan::weight_gradient,
              [&](Library& lib, const Plan& plan, auto algorithm, const float* one, const float* zero,
                  void* workspace, size_t bytes) {
                return lib.cudnnConvolutionBackwardFilter(lib.handle, one, plan.x, x, plan.y, dy,
                                                          plan.convolution, algorithm, workspace, bytes, zero,
                                                          plan.w, dw);
              });
}

#endif

// T is a type, which takes no parentheses: NOLINTBEGIN(bugprone-macro-parentheses)
#define INSTANTIATE(T)                                                         \
  template bool takes<T>(Pass, const Convolution&);                            \
  template void forward<T>(const T*, const T*, T*, const Convolution&);        \
  template void input_gradient<T>(const T*, const T*, T*, const Convolution&); \
  template void weight_gradient<T>(const T*, const T*, T*, const Convolution&);
INSTANTIATE(float)
INSTANTIATE(double)
INSTANTIATE(bfloat16)
// NOLINTEND(bugprone-macro-parentheses)

}  // namespace fovea::cuda::cudnn
