// Lesson 11: load weights that others publish, and save weights that others can read.
#include <cstdio>
#include <filesystem>

#include "models/efficientnet.h"
#include "models/weights.h"
#include "train/classification/classifier.h"

using namespace fovea;

int main() {
  // The names are those of timm; the layouts are PyTorch's in the file and channels-last in memory.
  Random random(1);
  const EfficientNet model(efficientnet_spec("efficientnet_b-3"), 10, random);
  save_weights("efficientnet_b-3.safetensors", model);
  const SafetensorsFile file("efficientnet_b-3.safetensors");
  for (const NamedTensor& p : model.parameters())
    if (p.name == "conv_stem.weight" || p.name == "blocks.1.0.conv_dw.weight" ||
        p.name == "classifier.weight")
      std::printf("%-28s here %-12s in the file %s\n", p.name.c_str(), p.tensor.shape().to_string().c_str(),
                  file.find(p.name)->shape.to_string().c_str());

  // Load the same numbers into another network.
  Random other_random(2);
  const EfficientNet other(efficientnet_spec("efficientnet_b-3"), 10, other_random);
  load_weights("efficientnet_b-3.safetensors", other);
  const Tensor a = model.parameters().front().tensor, b = other.parameters().front().tensor;
  std::printf("loaded, bit for bit: %s\n", a.values() == b.values() ? "yes" : "no");

  // Other classes: a training that starts from these weights gets a new classifier, and keeps the rest.
  const EfficientNet three(efficientnet_spec("efficientnet_b-3"), 3, random);
  const LoadedWeights taken = load_pretrained("efficientnet_b-3.safetensors", three);
  std::printf("taken %zu tensors; new: %s, %s\n", taken.tensors, taken.fresh[0].c_str(),
              taken.fresh[1].c_str());

  // If tensors do not fit, the error lists them and the network does not change.
  try {
    load_weights("efficientnet_b-3.safetensors",
                 EfficientNet(efficientnet_spec("efficientnet_b-2"), 10, random));
  } catch (const Error& error) {
    std::printf("error: %.75s...\n", error.what());
  }

  // If the file's name contains the model's name, the file is enough to construct a classifier.
  Classifier classifier(ModelFile("efficientnet_b-3.safetensors"));
  std::printf("%zu classes at %d px: %s, %s, ...\n", classifier.class_names().size(), classifier.size(),
              classifier.class_names()[0].c_str(), classifier.class_names()[1].c_str());
}
