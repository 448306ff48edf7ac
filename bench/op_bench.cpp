// Times every op at a size of EfficientNet-B0, EfficientDet-D0 or ResNet-18, forward and backward. Prints the
// time, and the bytes that must move (each input read once, each output written once) per second, as a share
// of what a plain copy reaches here. On a GPU with cuDNN each convolution has a second row, for cuDNN.
//   op_bench [cpu|cuda] [float32|bfloat16] [repeats] [batch] [part of an op's name] [--json]
// On CUDA the caches are emptied before each run, and the time is that between two events. On a simulated
// device the times mean nothing: the program then only shows that each row runs. --json prints a line of JSON
// for each time.
#include <algorithm>
#include <array>
#include <cstdlib>
#include <iterator>
#include <string>

#include "core/error.h"
#include "core/parallel.h"
#include "cuda/cudnn.h"
#include "cuda/runtime/device.h"
#include "cuda/runtime/memory.h"
#include "ops/activation.h"
#include "ops/arithmetic.h"
#include "ops/batch_norm.h"
#include "ops/batch_norm_squeeze_excite.h"
#include "ops/bifpn_node.h"
#include "ops/conv1x1_batch_norm.h"
#include "ops/conv2d.h"
#include "ops/cross_entropy.h"
#include "ops/depthwise_conv2d.h"
#include "ops/detection_loss.h"
#include "ops/dropout.h"
#include "ops/indexing.h"
#include "ops/matmul.h"
#include "ops/pool2d.h"
#include "ops/reduction.h"
#include "ops/resample.h"
#include "ops/shape_ops.h"
#include "ops/squeeze_excite.h"
#include "ops/support/dispatch.h"
#include "ops/unary.h"
#include "train/diagnose/timing.h"

using namespace fovea;
namespace cudnn = fovea::cuda::cudnn;

namespace {

struct Bench {
  Device device = Device::cpu;
  DType dtype = DType::float32;
  int repeats = 20;
  int64_t batch = 8;
  std::string wanted;
  bool json = false;
  double rate = 0;  // bytes per second that a plain copy reads and writes
  Random random{1};

  Tensor activations(Shape shape) { return leaf(shape, dtype); }
  Tensor parameters(Shape shape) { return leaf(shape, accumulator_dtype(dtype)); }
  Tensor labels(Shape shape, int64_t below) {
    Tensor result(shape, DType::int32);
    for (int32_t& label : result.span<int32_t>()) label = int32_t(random.below(below));
    return result.to(device);
  }

  bool wants(const std::string& name) const { return name.find(wanted) != std::string::npos; }
  bool on_gpu() const { return device == Device::cuda && !cuda::is_simulated(); }

  // The backward pass computes the gradients of all of f's inputs that require one at once.
  void row(const std::string& name, const std::vector<Tensor>& inputs, const std::function<Tensor()>& f) {
    if (!wants(name)) return;
    const double read = forward(name, inputs, f);
    backward(name, "backward", inputs, f, read);
  }

  // Times f(x, w) with our kernels, then with cuDNN if it supports `c`, a convolution of the same sizes.
  using Convolve = std::function<Tensor(const Tensor& x, const Tensor& w)>;
  void both_convolutions(const std::string& name, const Tensor& x, const Tensor& w, const Convolve& ours,
                         const cudnn::Convolution& c, const Convolve& by_cudnn) {
    cudnn::set_use(cudnn::Use::never);
    convolution(name, x, w, ours);
    cudnn::set_use(cudnn::Use::always);
    if (on_gpu() && cudnn_takes(c)) convolution(name + ", cuDNN", x, w, by_cudnn);
    cudnn::set_use(cudnn::Use::where_faster);
  }

  // Times the gradient of x and that of w separately.
  void convolution(const std::string& name, const Tensor& x, const Tensor& w, const Convolve& f) {
    if (!wants(name)) return;
    forward(name, {x, w}, [=] { return f(x, w); });
    if (x.requires_grad())
      backward(
          name, "input gradient", {x}, [=] { return f(x, w.detach()); }, double(w.bytes()));
    backward(
        name, "weight gradient", {w}, [=] { return f(x.detach(), w); }, double(x.bytes()));
  }

  void measure_ceilings() {
    rate = copy_rate(device, repeats);
    if (json)
      fmt::print("{{\"op\": \"copy\", \"bytes_per_second\": {:.4g}}}\n", rate);
    else
      fmt::print("copy of 256 MB: {:.1f} GB/s\n", rate / 1e9);
    if (!on_gpu()) return;
    const int64_t n = 8192;
    const Tensor a = activations({n, n}).detach(),
                 w = cast(parameters({n, n}), accumulator_dtype(dtype)).detach();
    const double flops = 2.0 * n * n * n, seconds = median_of(times_of(device, 10, [&] { matmul(a, w); }));
    if (json)
      fmt::print("{{\"op\": \"gemm\", \"flops_per_second\": {:.4g}}}\n", flops / seconds);
    else
      fmt::print("matrix product of {} x {} x {} in {}: {:.1f} TFLOP/s\n", n, n, n, dtype,
                 flops / seconds / 1e12);
  }

 private:
  Tensor leaf(Shape shape, DType type) {
    return randn(shape, random.next_key(), type, device).set_requires_grad();
  }

  bool cudnn_takes(const cudnn::Convolution& c) const {
    const cudnn::Pass passes[] = {cudnn::Pass::forward, cudnn::Pass::input_gradient,
                                  cudnn::Pass::weight_gradient};
    return std::all_of(std::begin(passes), std::end(passes), [&](cudnn::Pass pass) {
      return dtype == DType::bfloat16 ? cudnn::takes<bfloat16>(pass, c) : cudnn::takes<float>(pass, c);
    });
  }

  // Writes more than any second-level cache holds. Meanwhile the host queues the work to be timed, so that no
  // launch waits.
  void empty_caches() {
    if (!on_gpu()) return;
    constexpr size_t bytes = size_t(256) << 20;
    static const cuda::Workspace<std::byte> other{int64_t(bytes)};
    cuda::fill_bytes(other.data(), 0, bytes);
  }

  // Returns the bytes read.
  double forward(const std::string& name, const std::vector<Tensor>& inputs,
                 const std::function<Tensor()>& f) {
    double read = 0;
    for (const Tensor& input : inputs) read += double(input.bytes());
    const NoGrad no_grad;
    const double written = double(f().bytes());
    print(name, "forward", read + written,
          times_of(
              device, repeats, [&] { f(); }, [&] { empty_caches(); }));
    return read;
  }

  // The inputs, other tensors of `read` more bytes and the output's gradient are read; the inputs' gradients
  // are written.
  void backward(const std::string& name, const char* what, const std::vector<Tensor>& inputs,
                const std::function<Tensor()>& f, double read) {
    Tensor output = f();
    if (!output.requires_grad()) return;
    const Tensor cotangent = randn(output.shape(), random.next_key(), output.dtype(), device);
    double bytes = read + double(output.bytes());
    for (const Tensor& input : inputs) bytes += double(input.requires_grad() ? input.bytes() : 0);
    const auto before = [&] {
      for (const Tensor& input : inputs) input.clear_grad();
      output = f();
      empty_caches();
    };
    print(name, what, bytes,
          times_of(
              device, repeats, [&] { output.backward(cotangent); }, before));
  }

  void print(const std::string& name, const char* what, double bytes,
             const std::vector<double>& times) const {
    const double seconds = median_of(times);
    if (json)
      fmt::print("{{\"op\": \"{}\", \"what\": \"{}\", \"seconds\": {:.6g}, \"bytes\": {}}}\n", name, what,
                 seconds, int64_t(bytes));
    else
      fmt::print("{:<58} {:<15} {:>10.4f} ms {:>8.1f} GB/s {:>5.0f}%\n", name, what, seconds * 1e3,
                 bytes / seconds / 1e9, 100 * bytes / seconds / rate);
  }
};

struct Depthwise {
  int64_t size, channels;
  int kernel, stride;
};

// Every distinct depthwise convolution of EfficientNet-B0's backbone at this image size (arXiv 1905.11946,
// table 1).
std::vector<Depthwise> backbone(int64_t image) {
  return {{image / 2, 32, 3, 1},   {image / 2, 96, 3, 2},    {image / 4, 144, 3, 1},
          {image / 4, 144, 5, 2},  {image / 8, 240, 5, 1},   {image / 8, 240, 3, 2},
          {image / 16, 480, 3, 1}, {image / 16, 480, 5, 1},  {image / 16, 672, 5, 1},
          {image / 16, 672, 5, 2}, {image / 32, 1152, 5, 1}, {image / 32, 1152, 3, 1}};
}

// cuDNN's depthwise convolution, with as many groups as channels. Numbers do not matter here, so the filter
// (k, k, C) is passed unchanged as cuDNN's (C, k, k, 1), in x's dtype.
Tensor depthwise_by_cudnn(const Tensor& x, const Tensor& w, const cudnn::Convolution& c) {
  const Tensor filter = cast(w.detach(), x.dtype());
  Tensor y({c.batch, c.window.output_size(c.in_height), c.window.output_size(c.in_width), c.out_channels},
           x.dtype(), x.device());
  with_compute_dtype(x, "cuDNN",
                     [&]<class T>() { cudnn::forward(x.data<T>(), filter.data<T>(), y.data<T>(), c); });
  const bool x_needs = x.requires_grad(), w_needs = w.requires_grad();
  return record(y, "cuDNN", {x, w}, [=, x = x.detach(), w_dtype = w.dtype()](const Tensor& dy) {
    Tensor dx, dw;
    with_compute_dtype(x, "cuDNN", [&]<class T>() {
      if (x_needs) {
        dx = empty_like(x);
        cudnn::input_gradient(filter.data<T>(), dy.data<T>(), dx.data<T>(), c);
      }
      if (w_needs) {
        const Tensor rounded = empty_like(filter);
        cudnn::weight_gradient(x.data<T>(), dy.data<T>(), rounded.data<T>(), c);
        dw = cast(rounded, w_dtype);
      }
    });
    return Tensors{dx, dw};
  });
}

// cuDNN has no padding on one side only.
cudnn::Convolution of_cudnn(int64_t batch, int64_t size, int64_t in, int64_t out, int kernel, int stride,
                            int64_t groups = 1) {
  return {batch, size, size, in, out, {kernel, stride, Padding::symmetric}, groups};
}

void depthwise_convolutions(Bench& b) {
  std::vector<Depthwise> shapes = backbone(224);
  if (b.on_gpu())
    for (const Depthwise& shape : backbone(512)) shapes.push_back(shape);
  for (const int64_t size : {64, 32, 16, 8, 4}) shapes.push_back({size, 64, 3, 1});  // D0's BiFPN and heads
  for (const Depthwise& d : shapes) {
    const std::string name = fmt::format("depthwise_conv2d {}x{}x{}x{} k{} s{}", b.batch, d.size, d.size,
                                         d.channels, d.kernel, d.stride);
    if (!b.wants(name)) continue;
    const Window window{d.kernel, d.stride};
    const auto c = of_cudnn(b.batch, d.size, d.channels, d.channels, d.kernel, d.stride, d.channels);
    b.both_convolutions(
        name, b.activations({b.batch, d.size, d.size, d.channels}),
        b.parameters({d.kernel, d.kernel, d.channels}),
        [=](const Tensor& x, const Tensor& w) { return depthwise_conv2d(x, w, window); }, c,
        [=](const Tensor& x, const Tensor& w) { return depthwise_by_cudnn(x, w, c); });
  }
  // A layer of D0's class and box nets: all five levels at once.
  const PyramidShape levels{{{64, 64}, {32, 32}, {16, 16}, {8, 8}, {4, 4}}};
  b.convolution(fmt::format("depthwise_conv2d {}x{}x64 k3, a pyramid", b.batch, levels.pixels()),
                b.activations({b.batch, levels.pixels(), 64}), b.parameters({3, 3, 64}),
                [=](const Tensor& x, const Tensor& w) { return depthwise_conv2d(x, w, levels); });
}

struct Dense {
  int64_t size, in, out;
  int kernel, stride;
  Padding padding = Padding::symmetric;
};

// EfficientNet's stem, then every distinct convolution of ResNet-18 (arXiv 1512.03385, table 1).
const std::vector<Dense> dense = {{224, 3, 32, 3, 2, Padding::same},
                                  {224, 3, 64, 7, 2},
                                  {56, 64, 64, 3, 1},
                                  {56, 64, 128, 3, 2},
                                  {56, 64, 128, 1, 2},
                                  {28, 128, 128, 3, 1},
                                  {28, 128, 256, 3, 2},
                                  {28, 128, 256, 1, 2},
                                  {14, 256, 256, 3, 1},
                                  {14, 256, 512, 3, 2},
                                  {14, 256, 512, 1, 2},
                                  {7, 512, 512, 3, 1}};

void convolutions(Bench& b) {
  depthwise_convolutions(b);
  for (const Dense& d : dense) {
    const std::string name =
        fmt::format("conv2d {}x{}x{}x{} {}x{}{} -> {}", b.batch, d.size, d.size, d.in, d.kernel, d.kernel,
                    d.stride == 1 ? "" : fmt::format(" /{}", d.stride), d.out);
    if (!b.wants(name)) continue;
    const Tensor image = b.activations({b.batch, d.size, d.size, d.in});
    // No network needs the gradient of its input images.
    const Tensor in = d.in == 3 ? image.detach() : image;
    const Window window{d.kernel, d.stride, d.padding};
    const auto c = of_cudnn(b.batch, d.size, d.in, d.out, d.kernel, d.stride);
    b.both_convolutions(
        name, in, b.parameters({d.kernel, d.kernel, d.in, d.out}),
        [=](const Tensor& x, const Tensor& w) { return conv2d(x, w, window); }, c,
        [=](const Tensor& x, const Tensor& w) { return conv2d(x, w, c.window); });
  }
  // The matrix products of B0 from its widest map to its narrowest.
  for (const auto& [size, in, out] : {std::array<int64_t, 3>{112, 16, 96},
                                      {56, 144, 24},
                                      {56, 24, 144},
                                      {28, 40, 240},
                                      {14, 80, 480},
                                      {7, 192, 1152}})
    b.convolution(fmt::format("conv1x1 {}x{}x{}x{} -> {}", b.batch, size, size, in, out),
                  b.activations({b.batch, size, size, in}), b.parameters({in, out}),
                  [](const Tensor& x, const Tensor& w) { return conv1x1(x, w); });
}

void normalization(Bench& b) {
  const Tensor x = b.activations({b.batch, 112, 112, 96}), weight = b.parameters({96}),
               bias = b.parameters({96});
  Tensor mean = b.parameters({96}).detach(), variance = full({96}, 1, mean.dtype(), b.device);
  for (const bool training : {true, false})
    b.row(fmt::format("batch_norm {} swish, {}", x.shape(), training ? "training" : "evaluation"),
          {x, weight, bias}, [=] {
            BatchNormOptions options;
            options.training = training;
            options.activation = Activation::swish;
            return batch_norm(x, weight, bias, mean, variance, options);
          });
  const Tensor pyramid = b.activations({b.batch, 5456, 64});  // the levels of 512 x 512 px
  std::vector<BatchNormTensors> norms;
  for (int level = 0; level < 5; ++level)
    norms.push_back({b.parameters({64}), b.parameters({64}), b.parameters({64}).detach(),
                     full({64}, 1, mean.dtype(), b.device)});
  b.row(fmt::format("batch_norm {} swish, 5 segments", pyramid.shape()), {pyramid}, [=] {
    return batch_norm(pyramid, {4096, 1024, 256, 64, 16}, norms, {.activation = Activation::swish});
  });
  b.row(fmt::format("global_average_pool {}", x.shape()), {x}, [=] { return global_average_pool(x); });
  // B0's first block, which has the largest activation, and its last, which has the largest layers.
  for (const auto& [size, channels, reduced] : {std::array<int64_t, 3>{112, 32, 8}, {7, 1152, 48}}) {
    const std::vector<Tensor> in{b.activations({b.batch, size, size, channels}),
                                 b.parameters({channels, reduced}), b.parameters({reduced}),
                                 b.parameters({reduced, channels}), b.parameters({channels})};
    b.row(fmt::format("squeeze_excite {} -> {}", in[0].shape(), reduced), in,
          [=] { return squeeze_excite(in[0], in[1], in[2], in[3], in[4]); });
    const BatchNormTensors norm{b.parameters({channels}), b.parameters({channels}),
                                b.parameters({channels}).detach(),
                                full({channels}, 1, mean.dtype(), b.device)};
    b.row(fmt::format("batch_norm_squeeze_excite {} -> {}", in[0].shape(), reduced), in, [=] {
      return batch_norm_squeeze_excite(in[0], norm, {.activation = Activation::swish}, nullptr, in[1], in[2],
                                       in[3], in[4]);
    });
  }
}

// The first convolutions of inverted bottlenecks: B0's of the widest maps, and one of a BiFPN node at 512 px.
void widening_convolutions(Bench& b) {
  for (const auto& [size, in, out] :
       {std::array<int64_t, 3>{112, 16, 96}, {56, 24, 144}, {28, 40, 240}, {64, 64, 64}}) {
    const std::vector<Tensor> tensors{b.activations({b.batch, size, size, in}), b.parameters({in, out}),
                                      b.parameters({out}), b.parameters({out})};
    const BatchNormTensors norm{tensors[2], tensors[3], b.parameters({out}).detach(),
                                full({out}, 1, tensors[1].dtype(), b.device)};
    b.row(fmt::format("conv1x1_batch_norm {} -> {}", tensors[0].shape(), out), tensors, [=] {
      return conv1x1_batch_norm(tensors[0], tensors[1], norm, {.activation = Activation::swish});
    });
  }
}

void elementwise(Bench& b) {
  const Tensor x = b.activations({b.batch, 112, 112, 96}), y = b.activations(x.shape());
  b.row(fmt::format("swish {}", x.shape()), {x}, [=] { return swish(x); });
  b.row(fmt::format("tanh {}", x.shape()), {x}, [=] { return tanh(x); });
  b.row(fmt::format("add {}", x.shape()), {x, y}, [=] { return add(x, y); });
  b.row(fmt::format("multiply {}", x.shape()), {x, y}, [=] { return multiply(x, y); });
  b.row(fmt::format("divide 2 by {}", x.shape()), {x}, [=] { return 2 / x; });
  b.row(fmt::format("dropout {}", x.shape()), {x}, [=] { return dropout(x, 0.2, 7); });
  b.row(fmt::format("stochastic_depth_add {}", x.shape()), {x, y},
        [=] { return stochastic_depth_add(x, y, 0.2, 7); });
  b.row(fmt::format("concat {} + same, axis 1", x.shape()), {x, y}, [=] { return concat({x, y}, 1); });
  b.row(fmt::format("slice half of {}, axis 3", x.shape()), {x}, [=] { return slice(x, 3, 0, 48); });
  b.row(fmt::format("transpose {}, axes 1 and 3", x.shape()), {x}, [=] { return transpose(x, 1, 3); });
  b.row(fmt::format("sum of {}", x.shape()), {x}, [=] { return sum(x); });
  b.row(fmt::format("max of {}, axis 3", x.shape()), {x}, [=] { return max(x, 3); });
  const Tensor condition = cast(relu(x.detach()), DType::uint8);
  b.row(fmt::format("where {}", x.shape()), {condition, x, y}, [=] { return where(condition, x, y); });
  const DType other = b.dtype == DType::bfloat16 ? DType::float32 : DType::float64;
  b.row(fmt::format("cast {} to {}", x.shape(), other), {x}, [=] { return cast(x, other); });
}

void pyramid(Bench& b) {
  const Tensor same = b.activations({b.batch, 64, 64, 64}), coarse = b.activations({b.batch, 32, 32, 64}),
               fine = b.activations({b.batch, 128, 128, 64}), other = b.activations(same.shape());
  const Tensor two = b.parameters({2}), three = b.parameters({3});
  for (const auto& [fusion, name] :
       {std::pair{Fusion::fast_normalized, "fast"}, {Fusion::softmax, "softmax"}})
    b.row(fmt::format("bifpn_node {}, {}: same, upsample", same.shape(), name), {same, coarse, two},
          [=, fusion = fusion] {
            return bifpn_node({same, coarse}, two, fusion, 64, 64);
          });
  b.row(fmt::format("bifpn_node {}, fast: same, same, pool", same.shape()), {same, other, fine, three}, [=] {
    return bifpn_node({same, other, fine}, three, Fusion::fast_normalized, 64, 64);
  });
  b.row(fmt::format("max_pool2d {}", fine.shape()), {fine}, [=] { return max_pool2d(fine); });
  const Window halves{2, 2};
  b.row(fmt::format("max_pool2d {} 2x2 /2", fine.shape()), {fine}, [=] { return max_pool2d(fine, halves); });
  b.row(fmt::format("average_pool2d {} 2x2 /2", fine.shape()), {fine},
        [=] { return average_pool2d(fine, halves); });
  b.row(fmt::format("upsample_nearest {}", coarse.shape()), {coarse},
        [=] { return upsample_nearest(coarse, 64, 64); });
}

void losses(Bench& b) {
  const int64_t anchors = 49104, classes = 90;
  const Tensor logits = b.activations({b.batch, anchors, classes}),
               codes = b.activations({b.batch, anchors, 4});
  const Tensor targets = full({b.batch, anchors}, background_target, DType::int32, b.device);
  const Tensor boxes = full(codes.shape(), 0.1, accumulator_dtype(b.dtype), b.device);
  b.row(fmt::format("focal_loss {}", logits.shape()), {logits},
        [=] { return focal_loss(logits, targets, 100.0); });
  b.row(fmt::format("huber_loss {}", codes.shape()), {codes},
        [=] { return huber_loss(codes, boxes, 100.0); });
  // One anchor in 64 has an object, about the most in a batch of COCO.
  std::vector<double> sparse(size_t(b.batch * anchors), background_target);
  for (size_t i = 0; i < sparse.size(); i += 64) sparse[i] = 0;
  const Tensor matched = from_values({b.batch, anchors}, sparse, DType::int32).to(b.device);
  const Tensor edges = concat(
      {zeros({anchors, 2}, boxes.dtype(), b.device), full({anchors, 2}, 64, boxes.dtype(), b.device)}, 1);
  for (const auto& [name, kind] :
       {std::pair{"giou", IouLossKind::giou}, std::pair{"ciou", IouLossKind::ciou}})
    b.row(fmt::format("iou_loss {}, {}", codes.shape(), name), {codes},
          [=] { return iou_loss(codes, boxes, matched, edges, 100.0, kind); });
  const Tensor rows = b.activations({b.batch * 64, 1000}), labels = b.labels({b.batch * 64}, 1000);
  b.row(fmt::format("softmax {}", rows.shape()), {rows}, [=] { return softmax(rows); });
  b.row(fmt::format("log_softmax {}", rows.shape()), {rows}, [=] { return log_softmax(rows); });
  const Tensor picked = reshape(labels, {labels.numel(), 1});
  b.row(fmt::format("gather 1 of each row of {}", rows.shape()), {rows, picked},
        [=] { return gather(rows, 1, picked); });
  b.row(fmt::format("softmax_cross_entropy {}", rows.shape()), {rows},
        [=] { return softmax_cross_entropy(rows, labels); });
}

}  // namespace

int main(int argc, char** argv) try {
  Bench bench;
  std::vector<std::string> arguments(argv + 1, argv + argc);
  bench.json = std::erase(arguments, "--json") > 0;
  arguments.resize(5);
  if (!arguments[0].empty()) bench.device = parse_device(arguments[0]);
  if (arguments[1] == "bfloat16") bench.dtype = DType::bfloat16;
  if (!arguments[2].empty()) bench.repeats = std::max(1, std::stoi(arguments[2]));
  if (!arguments[3].empty()) bench.batch = std::max(1, std::stoi(arguments[3]));
  bench.wanted = arguments[4];
  if (!bench.json)
    fmt::print("{}, {}, batch {}, median of {}\n",
               bench.device == Device::cpu ? fmt::format("{} threads", num_threads())
                                           : cuda::device_properties().name,
               bench.dtype, bench.batch, bench.repeats);
  bench.measure_ceilings();
  if (!bench.json) fmt::print("{:<58} {:<15} {:>13} {:>13} {:>6}\n", "op", "", "time", "", "copy");
  convolutions(bench);
  normalization(bench);
  widening_convolutions(bench);
  elementwise(bench);
  pyramid(bench);
  losses(bench);
  return 0;
} catch (const std::exception& error) {
  fmt::print(stderr, "op_bench: {}\n", error.what());
  return 1;
}
