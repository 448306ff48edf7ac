#pragma once
#include <string>

#include "train/report/run_report.h"

namespace fovea {

// The parts of report.html that say what is wrong; each is empty where the report has nothing for it.
// AP and number of objects by size, of all classes and of each.
std::string sizes_table(const RunReport& report);
// What is taken for what: a shaded table, or, from 25 classes on, the most frequent confusions.
std::string confusion_card(const ConfusionMatrix& confusion);
// Confusion and worst images, with their heading.
std::string mistakes_section(const RunReport& report);

}  // namespace fovea
