#pragma once
#include <string>

#include "train/report/run_report.h"

namespace fovea {

// An image and its caption as a <figure> element, the JPEG inside; large ones are made smaller for the page.
// If it has no `detections`, only `truth` is shown, without that label.
std::string image_figure(const ReportImage& image);

}  // namespace fovea
