// Lesson 8: where the focal loss of one image comes from.
#include <cmath>
#include <cstdio>

#include "models/anchors.h"
#include "ops/detection_loss.h"
#include "train/detection/matching.h"

using namespace fovea;

int main() {
  // One 256 x 256 image with two objects; every anchor gets its target.
  const AnchorOptions options{.anchor_scale = default_anchor_scale(256)};
  const std::vector<Box> anchors = generate_anchors(256, 256, options);
  const std::vector<Box> boxes = {{40, 30, 100, 110}, {150, 160, 230, 200}};  // ymin, xmin, ymax, xmax
  const std::vector<int32_t> labels = {0, 0};
  Tensor targets({int64_t(anchors.size())}, DType::int32), codes({int64_t(anchors.size()), 4});
  const MatchCounts counts =
      AnchorMatcher(anchors).match({boxes, labels}, targets.span<int32_t>(), codes.span<float>());
  std::printf("%zu anchors, %lld of them have an object\n", anchors.size(), (long long)counts.positives);

  // A network in the middle of its training predicts 0.4 at an object, 0.2 close to one (here: for the 200
  // anchors after each positive one), and 0.01 everywhere else.
  Tensor logits({int64_t(anchors.size()), 1});
  const auto logit = [](double p) { return float(std::log(p / (1 - p))); };
  int64_t close = 0;
  for (int64_t i = 0; i < targets.numel(); ++i) {
    if (targets.data<int32_t>()[i] >= 0) close = 200;
    const double p = targets.data<int32_t>()[i] >= 0 ? 0.4 : close-- > 0 ? 0.2 : 0.01;
    logits.data<float>()[i] = logit(p);
  }

  // Plain cross-entropy is gamma 0: the sum over the many easy anchors hides the loss of the objects.
  std::printf("%-8s %10s %22s %26s\n", "gamma", "loss", "share of the objects", "share of the easy anchors");
  for (const double gamma : {0.0, 1.5, 2.0}) {
    double objects = 0, hard = 0, easy = 0;
    for (int64_t i = 0; i < targets.numel(); ++i) {
      const double p = 1 / (1 + std::exp(-double(logits.data<float>()[i])));
      if (targets.data<int32_t>()[i] >= 0)
        objects += -0.25 * std::pow(1 - p, gamma) * std::log(p);
      else
        (p > 0.1 ? hard : easy) += -0.75 * std::pow(p, gamma) * std::log(1 - p);
    }
    const double all = objects + hard + easy;
    const double op = focal_loss(logits, targets, double(counts.positives) + 1, {0.25, gamma, 0}).item();
    std::printf("%-8.1f %10.3f %20.1f %% %24.1f %%   by hand %.3f\n", gamma, op, 100 * objects / all,
                100 * easy / all, all / (double(counts.positives) + 1));
  }

  // The gradient of an easy anchor's logit is proportional to p under cross-entropy, and far smaller under
  // focal loss.
  for (const double gamma : {0.0, 1.5}) {
    const Tensor one = from_values({1, 1}, {double(logit(0.01))}).set_requires_grad();
    focal_loss(one, from_values({1}, {-1}, DType::int32), 1.0, {0.25, gamma, 0}).backward();
    std::printf("gradient of an anchor that says 0.01, gamma %.1f: %.6f\n", gamma, one.grad().item());
  }
}
