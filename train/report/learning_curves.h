#pragma once
#include <string>
#include <vector>

#include "train/report/run_report.h"

namespace fovea {

// The charts of a metrics.csv over the minutes of training: losses, validation figures, learning rate. A
// chart without numbers is left out.
std::vector<Chart> learning_curves(const std::string& metrics_file);

}  // namespace fovea
