#pragma once
#include <string>

#include "train/report/run_report.h"

namespace fovea {

// The parts of report.html about mistakes; each is empty if the report has no data for it. AP and number of
// objects by size, for all classes and for each.
std::string sizes_table(const RunReport& report);
// Which classes are confused: a shaded table, or, from 25 classes on, the most frequent confusions.
std::string confusion_card(const ConfusionMatrix& confusion);
// Confusion and worst images, with their heading.
std::string mistakes_section(const RunReport& report);

}  // namespace fovea
