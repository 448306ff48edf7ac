#pragma once
#include <array>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "cuda/runtime/kernel_score.h"
#include "cuda/runtime/profile.h"
#include "models/box.h"
#include "train/detection/captured_detection.h"
#include "train/detection/detector.h"
#include "train/diagnose/op_times.h"
#include "train/loop/recipe.h"

namespace fovea {

// The work to be timed: a network of a published size, or that of a file, on random images, with made-up
// labels.
struct StepOptions {
  std::string model = "efficientnet_b0";  // or the path of a file that ModelFile reads
  int64_t batch = 8;
  std::array<int, 2> image_size{};  // height and width; 0: the model's own
  int64_t classes = 0;              // 0: 1000, for a detector 90, as published
  Device device = Device::cpu;
  DType precision = DType::float32;
  std::string fusion = "default";  // for a detector: TrainConfig::fusion
  bool recompute = false;          // TrainConfig::recompute
};

// Times the step that a training takes and the pass that a prediction takes, without the files around them.
// Dropout and stochastic depth are off; one anchor in 200 of a detector is an object. On CUDA each is a
// graph's replay, as in a training. Throws Error on names and sizes that no network has, and if `image_size`,
// `classes` or `fusion` is given with a file, which has its own.
class StepTiming {
 public:
  explicit StepTiming(const StepOptions& options);

  // The parameters of the timed network.
  int64_t parameter_count() const;
  // With the values chosen for those that were 0; for a file, with the name of its model.
  const StepOptions& options() const { return options_; }
  // Whether the file was written by `fovea quantize`: it has no training step, and timing one throws.
  bool is_quantized() const { return quantized_ != nullptr; }

  // These return the seconds of each repeat, after some repeats that do not count. Clears the gradients,
  // forward, loss, backward, plain SGD update.
  std::vector<double> training(int repeats);
  // Evaluation mode, without gradients: a detector's class logits and box codes.
  std::vector<double> forward(int repeats);
  // A detector's forward pass and the steps that turn it into boxes: best candidates, decoding, non-maximum
  // suppression. Also timed by the host's clock on CUDA, from the call to the boxes on the host; the images
  // are already there.
  std::vector<double> detection(int repeats);

  // One training step in pieces: on CUDA its launches, in order; on the CPU its ops. On a simulated device,
  // whose times mean nothing, the launches are recorded and not run.
  std::vector<cuda::LaunchTime> training_launches();
  // The same for one detection, from a batch on the device to its boxes on the host.
  std::vector<cuda::LaunchTime> detection_launches();
  std::vector<OpTime> training_ops();
  // What the kernels of one training step, or of one forward pass in evaluation mode, ask of the memory
  // system. The step runs in the simulator, thread by thread: seconds for a few small images. Throws Error
  // where kernels cannot be scored.
  std::vector<cuda::KernelScore> training_scores();
  std::vector<cuda::KernelScore> forward_scores();

 private:
  void step();  // clears the gradients, forward, loss, backward
  TrainConfig read_file_options();
  Tensors outputs();
  void set_training(bool training);
  CapturedDetection captured_detection();
  std::vector<cuda::LaunchTime> launches_of(const std::function<void()>& work,
                                            const std::function<void()>& prepare) const;

  StepOptions options_;
  Recipe recipe_;
  std::shared_ptr<const Detector> quantized_;  // computes in place of the recipe's model
  Batch batch_;
  std::vector<Box> anchors_;        // for a detector
  std::vector<ImageFrame> frames_;  // likewise
};

}  // namespace fovea
