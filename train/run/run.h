#pragma once
#include <string>
#include <vector>

#include "cuda/runtime/process_group.h"
#include "train/loop/learning_rate_finder.h"
#include "train/loop/training_run.h"

namespace fovea {

// Reads the data and makes the network. Throws Error where the configuration is wrong (check_config), the
// data cannot be used, or the folder already holds a run. All processes of a group start it, each for its
// share of every batch.
TrainingRun start_run(const TrainConfig& config, const std::string& folder,
                      ProcessGroup& group = single_process());
// Goes on with the run in a folder, from its last.safetensors, with the settings it was started with. `data`:
// the data set's folder where it was moved; "": where it was. TrainingRun::train() throws Error where the
// data set is not the one that the run was started on: by its classes, boxes and number of images, and from
// another folder by the images' files, too.
TrainingRun resume_run(const std::string& folder, ProcessGroup& group = single_process(),
                       const std::string& data = "");

bool holds_run(const std::string& folder);  // begun, stopped or complete
// resume_run, for those who name settings once more: throws Error naming the first of the fields `given` of
// which `asked` has another value than the run was started with, and both values. What is left open in
// `asked` is chosen as for a new run, and then compared.
TrainingRun continue_run(const std::string& folder, const TrainConfig& asked,
                         const std::vector<std::string>& given, ProcessGroup& group = single_process());

// Trains with ever greater learning rates, keeps nothing of it, and says which one suits: see
// train/loop/learning_rate_finder.h. Throws as start_run does.
LearningRateSearch search_learning_rate(const TrainConfig& config, const TrainHooks& hooks);

}  // namespace fovea
