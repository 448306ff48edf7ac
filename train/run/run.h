#pragma once
#include <string>
#include <vector>

#include "cuda/runtime/process_group.h"
#include "train/loop/learning_rate_finder.h"
#include "train/loop/training_run.h"

namespace fovea {

// Reads the data and makes the network. Throws Error if the configuration is wrong (check_config), the data
// cannot be used, or the folder already holds a run. All processes of a group call it, each for its share of
// every batch.
TrainingRun start_run(const TrainConfig& config, const std::string& folder,
                      ProcessGroup& group = single_process());
// Continues the run in a folder, from its last.safetensors, with the settings it was started with. `data` is
// the new folder of a data set that was moved, otherwise "". TrainingRun::train() throws Error if the data
// set is not the one the run was started on. It compares the classes, the boxes and the number of images, and
// for another folder also the image files.
TrainingRun resume_run(const std::string& folder, ProcessGroup& group = single_process(),
                       const std::string& data = "");

bool holds_run(const std::string& folder);  // begun, stopped or complete
// resume_run() for a caller that gives settings again. If `asked` differs from the run in one of the fields
// `given`, it throws Error naming the first such field and both values. Settings left open in `asked` are
// chosen as for a new run, and then compared.
TrainingRun continue_run(const std::string& folder, const TrainConfig& asked,
                         const std::vector<std::string>& given, ProcessGroup& group = single_process());

// Trains at increasing learning rates, keeps no weights, and suggests a rate: see
// train/loop/learning_rate_finder.h. Throws as start_run does.
LearningRateSearch search_learning_rate(const TrainConfig& config, const TrainHooks& hooks);

}  // namespace fovea
