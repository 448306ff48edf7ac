#pragma once
#include <string>
#include <vector>

#include "train/data/dataset.h"
#include "train/data/layout/voc_layout.h"
#include "train/data/problem.h"

namespace fovea {

// Reads splits of a data set in Pascal VOC's format
// (http://host.robots.ox.ac.uk/pascal/VOC/voc2012/htmldoc/devkit_doc.html): the images that a list names, by
// a file stem on each line or by the path of the image, of its XML file or of both; each with the XML file
// <stem>.xml and the image <stem>.{jpg,jpeg,png,bmp} or, where there is none, <filename as the XML says>,
// which may be a path of another machine. If `class_names` is empty, the classes are those of all XML files
// of the layout, sorted; otherwise they are the classes of a model, and the labels follow their order. x and
// y are xmin and ymin, width and height xmax - xmin and ymax - ymin: edges between pixels, counted from 0, as
// most tools write them. The development kit of the challenge counts pixels from 1 and includes the last, so
// its boxes lie up to a pixel to the right and below; convert_dataset() writes edges by the same rule, so
// that a box survives unchanged. Throws Error naming file, object, field and value if an XML file is
// malformed, lacks a field, holds text instead of a number, or an object of a class that the model does not
// have, and if no image is left. It leaves out, with a sentence in `warnings`, a stem that has no XML file or
// no image or is listed twice, and a box without a positive finite size or completely outside its image. A
// box partly outside is cut off at the border, also with a warning. A missing size is that of the image; a
// class name that is not UTF-8 is escaped. With a log, faults and raw boxes are recorded in it, and what
// would be an error is left out.
DetectionDataset read_voc(const VocLayout& layout, const std::vector<VocSplit>& splits,
                          const std::vector<std::string>& class_names = {}, ReadLog* log = nullptr);

// The same for the development kit's layout: Annotations/ and JPEGImages/ in the folder.
DetectionDataset read_voc(const std::string& folder, const std::vector<std::string>& list_files,
                          const std::vector<std::string>& class_names = {}, ReadLog* log = nullptr);

}  // namespace fovea
