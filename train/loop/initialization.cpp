#include "train/loop/initialization.h"

#include "core/error.h"
#include "models/weights.h"
#include "nn/layers.h"

namespace fovea {

std::string initialize(const Module& model, const TrainConfig& config,
                       const std::vector<std::string>& class_names) {
  if (config.init_from.empty()) return "";
  const LoadedWeights taken = load_pretrained(config.init_from, model, class_names);
  std::string text = fmt::format("starts from {} of {} tensors in {}", taken.tensors,
                                 taken.tensors + taken.fresh.size(), config.init_from);
  if (const auto names = taken.metadata.find("names"); names != taken.metadata.end())
    text += fmt::format(", with the names of {}", names->second);
  if (!taken.fresh.empty())
    text += fmt::format("; new: {}{}", taken.fresh.front(),
                        taken.fresh.size() > 1 ? fmt::format(" and {} more", taken.fresh.size() - 1) : "");
  if (!taken.unused.empty())
    text += fmt::format("; not used: {}{}", taken.unused.front(),
                        taken.unused.size() > 1 ? fmt::format(" and {} more", taken.unused.size() - 1) : "");
  return text;
}

void freeze(Module& model, const TrainConfig& config) {
  const FrozenParts parts = parse_frozen_parts(config.freeze);
  model.for_each([&](Module& module) {
    if ((parts.backbone && is_backbone(module.path())) ||
        (parts.batch_norm && dynamic_cast<BatchNorm*>(&module)))
      module.freeze();
  });
}

}  // namespace fovea
