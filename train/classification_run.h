#pragma once
#include <memory>

#include "train/run.h"

namespace fovea {

// Opens the pictures that state.config names, resolves the configuration and fills in the classes. Data in
// folders train/<class>/ and val/<class>/ (the names of the splits); where there is only <class>/, every
// fifth picture of a class is held out to measure on.
std::unique_ptr<TrainingRun::Work> make_classification_work(TrainingState& state);

}  // namespace fovea
