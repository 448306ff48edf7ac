// Lesson 9: train a detector from C++, as `fovea train` does.
#include <cstdio>

#include "train/data/synth/synth.h"
#include "train/run/run.h"

using namespace fovea;

int main() try {
  // A data set of drawn shapes, in COCO's format.
  SynthOptions shapes;
  shapes.train_images = 48;
  shapes.val_images = 8;
  shapes.width = shapes.height = 96;
  synthesize_dataset("shapes", shapes);

  // The configuration determines everything that a training does; fields that are not set have defaults.
  TrainConfig config;
  config.data = "shapes";
  config.model = "efficientdet_d-3";
  config.image_size = "96";
  config.steps = 60;
  config.validate_every = 0;        // evaluate only at the end
  config.freeze_statistics_at = 1;  // in so short a training the running averages lag behind
  TrainingRun run = start_run(config, "run");

  // Hooks are called at each step; a program could draw, stop, or log here.
  double first = 0, last = 0;
  TrainHooks hooks;
  hooks.on_step = [&](const TrainProgress& progress) {
    if (progress.step == 5) first = progress.loss;
    last = progress.loss;
  };
  const bool complete = run.train(hooks);
  std::printf("complete: %s, after %lld steps\n", complete ? "yes" : "no", (long long)run.step());
  std::printf("the loss fell by more than a third: %s\n", last < first * 2 / 3 ? "yes" : "no");

  // finish() evaluates the averaged weights and writes the report.
  const std::string figures = run.finish().text;
  std::printf("twelve COCO figures: %s\n",
              figures.find("Average Recall") != std::string::npos ? "yes" : "no");
} catch (const Error& error) {  // one sentence: which file or setting, which value, what to do
  std::fprintf(stderr, "error: %s\n", error.what());
  return 1;
}
