// Every op at a size of EfficientNet-B0 or EfficientDet-D0, forward and backward: the time, and the bytes
// that must move (each input read once, each output written once) over it, as a share of what a plain copy
// reaches here.
//   op_bench [cpu|cuda] [float32|bfloat16] [repeats] [batch] [part of an op's name]
// On a simulated device the times say nothing: there it only shows that each row runs.
#include <cstdlib>
#include <string>

#include "bench/timer.h"
#include "core/error.h"
#include "core/parallel.h"
#include "cuda/runtime/device.h"
#include "ops/activation.h"
#include "ops/arithmetic.h"
#include "ops/batch_norm.h"
#include "ops/bifpn_node.h"
#include "ops/conv2d.h"
#include "ops/cross_entropy.h"
#include "ops/depthwise_conv2d.h"
#include "ops/detection_loss.h"
#include "ops/dispatch.h"
#include "ops/dropout.h"
#include "ops/matmul.h"
#include "ops/reduction.h"
#include "ops/resample.h"
#include "ops/shape_ops.h"
#include "ops/squeeze_excite.h"

using namespace fovea;

namespace {

struct Bench {
  Device device = Device::cpu;
  DType dtype = DType::float32;
  int repeats = 20;
  int64_t batch = 8;
  std::string wanted;
  double copy_rate = 0;  // bytes a second, read and written
  Random random{1};

  Tensor activations(Shape shape) { return leaf(shape, dtype); }
  Tensor parameters(Shape shape) { return leaf(shape, real_dtype(dtype)); }
  Tensor labels(Shape shape, int64_t below) {
    Tensor result(shape, DType::int32);
    for (int32_t& label : result.span<int32_t>()) label = int32_t(random.below(below));
    return result.to(device);
  }

  // f's inputs that require a gradient get one in the backward pass.
  void row(const std::string& name, const std::vector<Tensor>& inputs, const std::function<Tensor()>& f) {
    if (name.find(wanted) == std::string::npos) return;
    double read = 0;
    for (const Tensor& input : inputs) read += double(input.bytes());
    const Tensor output = f();
    const double forward_bytes = read + double(output.bytes());
    double forward = 0;
    {
      const NoGrad no_grad;
      forward = median_of(times_of(device, repeats, [&] { f(); }));
    }
    const Tensor cotangent = full(output.shape(), 1e-3, output.dtype(), device);
    const auto step = [&] {
      for (const Tensor& input : inputs) input.clear_grad();
      f().backward(cotangent);
    };
    const bool differentiable = output.requires_grad();
    const double both = differentiable ? median_of(times_of(device, repeats, step)) : 0;
    // Backward: the inputs and the gradient of the output are read, gradients of the inputs written.
    const double backward = both - forward, backward_bytes = 2 * read + double(output.bytes());
    fmt::print("{:<44} {:>10.3f} ms {:>8.1f} GB/s {:>5.0f}%", name, forward * 1e3,
               forward_bytes / forward / 1e9, 100 * forward_bytes / forward / copy_rate);
    if (differentiable &&
        backward > 0.05 * forward)  // less is no work of its own, but the noise of two times
      fmt::print(" {:>10.3f} ms {:>8.1f} GB/s {:>5.0f}%", backward * 1e3, backward_bytes / backward / 1e9,
                 100 * backward_bytes / backward / copy_rate);
    fmt::print("\n");
  }

  void measure_copy() {
    const int64_t n = cuda::is_simulated() && device == Device::cuda ? 1 << 16 : int64_t(1) << 26;
    const Tensor from = full({n}, 1, DType::float32, device), to = empty_like(from);
    copy_rate = 2 * double(from.bytes()) / median_of(times_of(device, repeats, [&] {
                  if (device == Device::cuda) return to.copy_from(from);
                  const float* source = from.data<float>();
                  float* target = to.data<float>();
                  parallel_for(n, 1 << 16, [=](int64_t begin, int64_t end) {
                    std::copy(source + begin, source + end, target + begin);
                  });
                }));
    fmt::print("copy {:.1f} MB: {:.1f} GB/s\n", double(from.bytes()) / 1e6, copy_rate / 1e9);
  }

 private:
  Tensor leaf(Shape shape, DType type) {
    Tensor x = cast(randn(shape, random), type).to(device);
    x.set_requires_grad();
    return x;
  }
};

void convolutions(Bench& b) {
  const auto depthwise = [&](int64_t size, int64_t channels, int kernel, int stride) {
    const Tensor x = b.activations({b.batch, size, size, channels}),
                 w = b.parameters({kernel, kernel, channels});
    const Window window{kernel, stride};
    b.row(fmt::format("depthwise_conv2d {} k{} s{}", x.shape(), kernel, stride), {x, w},
          [=] { return depthwise_conv2d(x, w, window); });
  };
  depthwise(112, 32, 3, 1);
  depthwise(112, 96, 3, 2);
  depthwise(56, 144, 5, 2);
  depthwise(14, 672, 5, 1);
  depthwise(64, 64, 3, 1);
  const Tensor image =
      b.activations({b.batch, 224, 224, 3}).detach();  // of which no network asks the gradient
  const Tensor stem = b.parameters({3, 3, 3, 32});
  b.row(fmt::format("conv2d {} 3x3 /2 -> 32", image.shape()), {image, stem}, [=] {
    return conv2d(image, stem, {3, 2});
  });
  const Tensor x = b.activations({b.batch, 56, 56, 24}), w = b.parameters({24, 144});
  b.row(fmt::format("conv1x1 {} -> 144", x.shape()), {x, w}, [=] { return conv1x1(x, w); });
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
  const Tensor s = b.activations({b.batch, 96});
  b.row(fmt::format("global_average_pool {}", x.shape()), {x}, [=] { return global_average_pool(x); });
  b.row(fmt::format("scale_channels {}", x.shape()), {x, s}, [=] { return scale_channels(x, s); });
}

void elementwise(Bench& b) {
  const Tensor x = b.activations({b.batch, 112, 112, 96}), y = b.activations(x.shape());
  b.row(fmt::format("swish {}", x.shape()), {x}, [=] { return swish(x); });
  b.row(fmt::format("add {}", x.shape()), {x, y}, [=] { return add(x, y); });
  b.row(fmt::format("multiply {}", x.shape()), {x, y}, [=] { return multiply(x, y); });
  b.row(fmt::format("dropout {}", x.shape()), {x}, [=] { return dropout(x, 0.2, 7); });
  b.row(fmt::format("stochastic_depth_add {}", x.shape()), {x, y},
        [=] { return stochastic_depth_add(x, y, 0.2, 7); });
  b.row(fmt::format("concat {} + same, axis 1", x.shape()), {x, y}, [=] { return concat({x, y}, 1); });
  b.row(fmt::format("slice half of {}, axis 3", x.shape()), {x}, [=] { return slice(x, 3, 0, 48); });
  b.row(fmt::format("sum of {}", x.shape()), {x}, [=] { return sum(x); });
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
  b.row(fmt::format("upsample_nearest {}", coarse.shape()), {coarse},
        [=] { return upsample_nearest(coarse, 64, 64); });
}

void losses(Bench& b) {
  const int64_t anchors = 49104, classes = 90;
  const Tensor logits = b.activations({b.batch, anchors, classes}),
               codes = b.activations({b.batch, anchors, 4});
  const Tensor targets = full({b.batch, anchors}, background_target, DType::int32, b.device);
  const Tensor boxes = full(codes.shape(), 0.1, real_dtype(b.dtype), b.device);
  b.row(fmt::format("focal_loss {}", logits.shape()), {logits},
        [=] { return focal_loss(logits, targets, 100.0); });
  b.row(fmt::format("huber_loss {}", codes.shape()), {codes},
        [=] { return huber_loss(codes, boxes, 100.0); });
  const Tensor rows = b.activations({b.batch * 64, 1000}), labels = b.labels({b.batch * 64}, 1000);
  b.row(fmt::format("softmax_cross_entropy {}", rows.shape()), {rows},
        [=] { return softmax_cross_entropy(rows, labels); });
}

}  // namespace

int main(int argc, char** argv) try {
  Bench bench;
  if (argc > 1) bench.device = parse_device(argv[1]);
  if (argc > 2) bench.dtype = std::string(argv[2]) == "bfloat16" ? DType::bfloat16 : DType::float32;
  if (argc > 3) bench.repeats = std::max(1, std::atoi(argv[3]));
  if (argc > 4) bench.batch = std::max<int64_t>(1, std::atoll(argv[4]));
  if (argc > 5) bench.wanted = argv[5];
  fmt::print(
      "{}, {}, batch {}, median of {}\n",
      bench.device == Device::cpu ? fmt::format("{} threads", num_threads()) : cuda::device_properties().name,
      bench.dtype, bench.batch, bench.repeats);
  bench.measure_copy();
  fmt::print("{:<44} {:>13} {:>13} {:>6} {:>13} {:>13} {:>6}\n", "op", "forward", "", "copy", "backward", "",
             "copy");
  convolutions(bench);
  normalization(bench);
  elementwise(bench);
  pyramid(bench);
  losses(bench);
  return 0;
} catch (const std::exception& error) {
  fmt::print(stderr, "op_bench: {}\n", error.what());
  return 1;
}
