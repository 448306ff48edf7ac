#pragma once
// For the milestones: a detector is trained and measured with the student's functions in the place of the
// library's.
#include <cstdint>
#include <functional>
#include <utility>
#include <vector>

#include "box.h"

namespace fovea::learn {

// What a student brings. An empty function stands for the library's own.
struct OwnParts {
  // Losses: of one logit of one anchor, and the derivative with respect to the logit; of one number of a box
  // code, with the derivative with respect to the prediction.
  std::function<double(double logit, bool positive)> class_loss, class_loss_derivative;
  std::function<std::pair<double, double>(double prediction, double target)> box_loss;

  // Training: the rate of a step, counted from 0; one update of a parameter; its moving average.
  std::function<double(int64_t step)> learning_rate;
  std::function<void(std::vector<double>& weights, std::vector<double>& momentum,
                     std::vector<double>& variance, const std::vector<double>& gradient, int64_t step,
                     double rate)>
      update;
  std::function<void(std::vector<double>& average, const std::vector<double>& weights, int64_t step)> average;

  // Detection: the anchors of a level of cells x cells cells; the object of each anchor, or -1, by the table
  // of IoUs [anchor][object]; box codes (ty, tx, th, tw); which detections of a class are kept, by their
  // indices.
  std::function<std::vector<Box>(int cells, double stride)> anchors_of_level;
  std::function<std::vector<int>(const std::vector<std::vector<double>>& iou)> match;
  std::function<std::vector<double>(const Box& anchor, const Box& box)> encode;
  std::function<Box(const Box& anchor, const std::vector<double>& code)> decode;
  std::function<std::vector<int>(const std::vector<Box>& boxes, const std::vector<double>& scores)> suppress;
};

// The training that all milestones do: efficientdet_d-3, fresh, on drawn shapes, 128 x 128 pixels, anchors of
// 2 strides.
inline constexpr int64_t milestone_steps = 1200;
inline constexpr double milestone_anchor_scale = 2, milestone_rate = 0.018, milestone_ap50 = 0.3;

// Trains and returns the AP50 on shapes that were not trained on, from 0 to 1. Notes the progress (check.h).
// Takes about a minute on one idle core. The parts for detection are used all or none.
double train_on_shapes(const OwnParts& parts);

}  // namespace fovea::learn
