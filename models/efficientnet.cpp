#include "models/efficientnet.h"

#include <array>
#include <cmath>

#include "nn/trace.h"
#include "ops/batch_norm_squeeze_excite.h"
#include "ops/dropout.h"
#include "ops/inverted_bottleneck.h"
#include "ops/reduction.h"
#include "ops/squeeze_excite.h"

namespace fovea {
namespace {

// arXiv 1905.11946, table 1.
constexpr std::array<EfficientNetStage, 7> b0_stages = {{{3, 1, 16, 1, 1},
                                                         {3, 2, 24, 2, 6},
                                                         {5, 2, 40, 2, 6},
                                                         {3, 2, 80, 3, 6},
                                                         {5, 1, 112, 3, 6},
                                                         {5, 2, 192, 4, 6},
                                                         {3, 1, 320, 1, 6}}};
constexpr int64_t stem_channels = 32, head_channels = 1280;

struct Published {
  double width, depth;
  int image_size;
  double dropout;
};
constexpr std::array<Published, 8> published = {{{1.0, 1.0, 224, 0.2},
                                                 {1.0, 1.1, 240, 0.2},
                                                 {1.1, 1.2, 260, 0.3},
                                                 {1.2, 1.4, 300, 0.3},
                                                 {1.4, 1.8, 380, 0.4},
                                                 {1.6, 2.2, 456, 0.4},
                                                 {1.8, 2.6, 528, 0.5},
                                                 {2.0, 3.1, 600, 0.5}}};
// The lite networks (google's, of the same widths and depths as B0 to B4).
constexpr std::array<Published, 5> lite = {{{1.0, 1.0, 224, 0.2},
                                            {1.0, 1.1, 240, 0.2},
                                            {1.1, 1.2, 260, 0.3},
                                            {1.2, 1.4, 280, 0.3},
                                            {1.4, 1.8, 300, 0.3}}};
constexpr int smallest = -3;
constexpr NormOptions pytorch_norm = {.epsilon = 1e-5, .momentum = 0.1};

}  // namespace

std::vector<std::string> efficientnet_names() {
  std::vector<std::string> names;
  for (int i = smallest; i < int(published.size()); ++i) names.push_back(fmt::format("efficientnet_b{}", i));
  for (int i = 0; i < int(published.size()); ++i) names.push_back(fmt::format("tf_efficientnet_b{}", i));
  for (int i = 0; i < int(lite.size()); ++i) names.push_back(fmt::format("tf_efficientnet_lite{}", i));
  return names;
}

EfficientNetSpec efficientnet_spec(const std::string& name) {
  for (int i = smallest; i < 0; ++i) {
    if (name != fmt::format("efficientnet_b{}", i)) continue;
    return {.name = name,
            .width = std::pow(1.1, 2 * i),
            .depth = std::pow(1.2, 2 * i),
            .image_size = 224 + 32 * i};
  }
  const bool tensorflow = name.starts_with("tf_");
  for (size_t i = 0; i < published.size(); ++i) {
    if (name.substr(tensorflow ? 3 : 0) != fmt::format("efficientnet_b{}", i)) continue;
    const Published& p = published[i];
    return {.name = name,
            .width = p.width,
            .depth = p.depth,
            .image_size = p.image_size,
            .dropout = p.dropout,
            .padding = tensorflow ? Padding::same : Padding::symmetric,
            .norm = tensorflow ? NormOptions() : pytorch_norm};
  }
  for (size_t i = 0; i < lite.size(); ++i) {
    if (name != fmt::format("tf_efficientnet_lite{}", i)) continue;
    return {.name = name,
            .width = lite[i].width,
            .depth = lite[i].depth,
            .image_size = lite[i].image_size,
            .dropout = lite[i].dropout,
            .lite = true,
            .activation = Activation::relu6,
            .normalization = lite_normalization};
  }
  fail("there is no model {}: choose one of {}", name, fmt::join(efficientnet_names(), ", "));
}

int64_t round_channels(double channels, double width) {
  const double scaled = channels * width;
  const int64_t rounded = std::max<int64_t>(8, int64_t(scaled + 4) / 8 * 8);
  return double(rounded) < 0.9 * scaled ? rounded + 8 : rounded;
}

EfficientNetPlan efficientnet_plan(const EfficientNetSpec& spec) {
  const double ends = spec.lite ? 1 : spec.width;
  EfficientNetPlan plan{round_channels(stem_channels, ends),
                        round_channels(head_channels, ends),
                        {b0_stages.begin(), b0_stages.end()}};
  for (EfficientNetStage& stage : plan.stages) {
    const bool outer = &stage == &plan.stages.front() || &stage == &plan.stages.back();
    stage.channels = round_channels(double(stage.channels), spec.width);
    if (!spec.lite || !outer) stage.repeats = int(std::ceil(spec.depth * stage.repeats));
  }
  return plan;
}

bool is_feature_stage(size_t stage) { return stage == 2 || stage == 4 || stage == 6; }

MBConv::SqueezeExcite::SqueezeExcite(int64_t channels, int64_t reduced, Random& random)
    : conv_reduce(channels, reduced, true, random), conv_expand(reduced, channels, true, random) {
  add_child("conv_reduce", conv_reduce);
  add_child("conv_expand", conv_expand);
}

Tensor MBConv::SqueezeExcite::forward(const Tensor& x) const {
  const Tensor y =
      squeeze_excite(x, conv_reduce.weight(), conv_reduce.bias(), conv_expand.weight(), conv_expand.bias());
  trace(*this, "squeeze and excite", y, x.size(0) * 2 * conv_reduce.weight().numel());
  return y;
}

MBConv::MBConv(const Options& options, Random& random)
    : options_(options),
      depthwise_(options.in * options.expansion, options.window, random),
      depthwise_norm_(options.in * options.expansion, options.activation, options.norm),
      // A quarter of the block's input channels, not of the expanded ones.
      squeeze_excite_(options.squeeze_excite
                          ? std::optional<SqueezeExcite>(std::in_place, options.in * options.expansion,
                                                         std::max<int64_t>(1, options.in / 4), random)
                          : std::optional<SqueezeExcite>()),
      project_(options.in * options.expansion, options.out, false, random),
      project_norm_(options.out, Activation::identity, options.norm) {
  const bool expands = options.expansion != 1;
  if (expands) {
    expand_.emplace(options.in, options.in * options.expansion, false, random);
    expand_norm_.emplace(options.in * options.expansion, options.activation, options.norm);
    add_child("conv_pw", *expand_);
    add_child("bn1", *expand_norm_);
  }
  add_child("conv_dw", depthwise_);
  add_child(expands ? "bn2" : "bn1", depthwise_norm_);
  if (squeeze_excite_) add_child("se", *squeeze_excite_);
  add_child(expands ? "conv_pwl" : "conv_pw", project_);
  add_child(expands ? "bn3" : "bn2", project_norm_);
}

Tensor MBConv::gated(const Tensor& x) const {
  const bool evaluates = !depthwise_norm_.uses_batch_statistics() && EvaluationNorm::takes();
  if (evaluates || is_traced()) return squeeze_excite_->forward(conv_norm(depthwise_, depthwise_norm_, x));
  const BatchNormOptions options = depthwise_norm_.options();
  ChannelStatistics statistics(options.process_group);
  ChannelStatistics* const gathered = options.training ? &statistics : nullptr;
  const Tensor y = depthwise_.forward(x, gathered);
  const PointwiseConv &reduce = squeeze_excite_->conv_reduce, &expand = squeeze_excite_->conv_expand;
  return batch_norm_squeeze_excite(y, depthwise_norm_.tensors(), options, gathered, reduce.weight(),
                                   reduce.bias(), expand.weight(), expand.bias());
}

Tensor MBConv::forward(const Tensor& x) const {
  const bool shortcut = options_.window.stride == 1 && options_.in == options_.out;
  if (squeeze_excite_ && !training() && x.device() == Device::cpu && EvaluationNorm::takes() &&
      !is_dry_run() && !is_traced()) {
    InvertedBottleneck block{.w_depthwise = depthwise_.weight(),
                             .window = options_.window,
                             .depthwise_norm = depthwise_norm_.evaluation_norm(),
                             .w_reduce = squeeze_excite_->conv_reduce.weight(),
                             .b_reduce = squeeze_excite_->conv_reduce.bias(),
                             .w_excite = squeeze_excite_->conv_expand.weight(),
                             .b_excite = squeeze_excite_->conv_expand.bias(),
                             .w_project = project_.weight(),
                             .project_norm = project_norm_.evaluation_norm(),
                             .shortcut = shortcut};
    if (expand_) block.w_expand = expand_->weight(), block.expand_norm = expand_norm_->evaluation_norm();
    return inverted_bottleneck(x, block);
  }
  const RandomKey key = shortcut && training() ? rng().next_random_key() : RandomKey{};
  const auto block = [this, shortcut, key](const Tensors& inputs) {
    const Tensor& in = inputs[0];
    Tensor y = expand_ ? conv_norm(*expand_, *expand_norm_, in) : in;
    y = squeeze_excite_ ? gated(y) : conv_norm(depthwise_, depthwise_norm_, y);
    y = conv_norm(project_, project_norm_, y);
    return shortcut ? stochastic_depth_add(y, in, training() ? options_.drop_path : 0, key) : y;
  };
  return run_part(block, {x}, {this});
}

EfficientNet::EfficientNet(const EfficientNetSpec& spec, int64_t classes, Random& random)
    : spec_(spec),
      stem_(3, efficientnet_plan(spec).stem_channels, {3, 2, spec.padding}, random),
      stem_norm_(efficientnet_plan(spec).stem_channels, spec.activation, spec.norm) {
  add_parts(classes, random);
}

EfficientNet::EfficientNet(Module& parent, const std::string& name, const EfficientNetSpec& spec,
                           int64_t classes)
    : Backbone(parent, name),
      spec_(spec),
      stem_(3, efficientnet_plan(spec).stem_channels, {3, 2, spec.padding}, rng()),
      stem_norm_(efficientnet_plan(spec).stem_channels, spec.activation, spec.norm) {
  add_parts(classes, rng());
}

void EfficientNet::add_parts(int64_t classes, Random& random) {
  add_child("conv_stem", stem_);
  add_child("bn1", stem_norm_);
  const EfficientNetPlan plan = efficientnet_plan(spec_);
  int64_t in = plan.stem_channels;
  int blocks = 0, index = 0;
  for (const EfficientNetStage& stage : plan.stages) blocks += stage.repeats;
  for (size_t s = 0; s < plan.stages.size(); ++s) {
    const EfficientNetStage& stage = plan.stages[s];
    stages_.emplace_back();
    for (int i = 0; i < stage.repeats; ++i, ++index) {
      const MBConv::Options options{in,
                                    stage.channels,
                                    stage.expansion,
                                    {stage.kernel, i == 0 ? stage.stride : 1, spec_.padding},
                                    spec_.drop_path * index / blocks,
                                    spec_.norm,
                                    spec_.activation,
                                    !spec_.lite};
      stages_[s].push_back(std::make_unique<MBConv>(options, random));
      add_child(fmt::format("blocks.{}.{}", s, i), *stages_[s].back());
      in = stage.channels;
    }
    if (is_feature_stage(s)) feature_channels_.push_back(in);
  }
  if (classes > 0) {
    head_.emplace(in, plan.head_channels, false, random);
    head_norm_.emplace(plan.head_channels, spec_.activation, spec_.norm);
    classifier_.emplace(plan.head_channels, classes, random, LinearOptions{.init = Init::fan_out_uniform});
    add_child("conv_head", *head_);
    add_child("bn2", *head_norm_);
    add_child("classifier", *classifier_);
  }
}

Tensors EfficientNet::features(const Tensor& images) const {
  require(images.rank() == 4 && images.size(3) == 3,
          "[EfficientNet] images are {}, they must be (N, H, W, 3)", images.shape());
  Tensors result;
  const auto stem = [this](const Tensors& inputs) { return conv_norm(stem_, stem_norm_, inputs[0]); };
  Tensor x = run_part(stem, {images}, {&stem_, &stem_norm_});
  for (size_t s = 0; s < stages_.size(); ++s) {
    for (const auto& block : stages_[s]) x = block->forward(x);
    if (is_feature_stage(s)) result.push_back(x);
  }
  return result;
}

Tensor EfficientNet::forward(const Tensor& images) const {
  require(classifier_.has_value(),
          "[EfficientNet] this network was made as a backbone, without a classifier");
  Tensor x = features(images).back();
  x = global_average_pool(conv_norm(*head_, *head_norm_, x));
  if (training()) x = dropout(x, spec_.dropout, rng().next_random_key());
  return classifier_->forward(x);
}

}  // namespace fovea
