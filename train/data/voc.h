#pragma once
#include <string>
#include <vector>

#include "train/data/dataset.h"
#include "train/data/problem.h"

namespace fovea {

// Reads the images that the list files name (a file stem on each line) from a folder in the layout of Pascal
// VOC (http://host.robots.ox.ac.uk/pascal/VOC/voc2012/htmldoc/devkit_doc.html): Annotations/<stem>.xml, and
// the image JPEGImages/<stem>.{jpg,jpeg,png,bmp} or, where there is none, JPEGImages/<filename as the XML
// says>. `class_names`: empty to take those of all files in Annotations, sorted; otherwise the classes a
// model knows, and the labels follow their order. x and y are xmin and ymin, width and height xmax - xmin and
// ymax - ymin. Throws Error naming file, object, field and value where an XML file is malformed, lacks a
// field, holds text in place of a number, or an object of a class that the model does not know, and where no
// image is left. Left out with a sentence in `warnings`: a stem that has no XML file or no image, or is
// listed twice; a box without a positive finite size or all outside its image. A box partly outside is cut
// off at the border, with a warning too. With a log faults and raw boxes are noted in it, and what would be
// an error is left out.
DetectionDataset read_voc(const std::string& folder, const std::vector<std::string>& list_files,
                          const std::vector<std::string>& class_names = {}, ReadLog* log = nullptr);

}  // namespace fovea
