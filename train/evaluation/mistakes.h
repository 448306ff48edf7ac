#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "train/evaluation/coco_evaluation.h"
#include "train/evaluation/confusion.h"

namespace fovea {

// The outcome of one detection. All overlaps are IoU, and "its class" is the class that the detector gave it.
// The kinds of false alarms are those of TIDE (arXiv 2008.08115, section 2.2).
enum class Outcome : uint8_t {
  right,          // it found an object of its class: overlap of at least 0.5
  wrong_class,    // it lies on an object of another class that nothing else found: overlap of at least 0.5
  again,          // a false alarm: its object was found before, by a better score
  inexact,        // a false alarm: the best overlap with an object of its class is 0.1 to 0.5
  nothing_there,  // a false alarm far from every object of its class
  ignored         // at least half of it lies in a crowd region of its class; it does not count
};

struct JudgedDetection {  // one detection and its outcome
  size_t detection;       // place in the image's list
  Outcome outcome;
  int truth = -1;  // the annotation that it found, confused with another class, found again or nearly matched
};

// One image's detections, compared with its ground truth.
struct ImageMistakes {
  std::vector<JudgedDetection> detections;  // those of at least the score threshold, best score first
  std::vector<size_t> missed;               // annotations that no detection lies on; crowds never count

  int64_t count(Outcome outcome) const;  // detections of that outcome
  int64_t false_alarms() const;          // again + inexact + nothing_there
  int64_t errors() const { return int64_t(missed.size()) + false_alarms() + count(Outcome::wrong_class); }
};

struct Mistakes {  // of a whole data set
  double score_threshold = 0;
  int64_t objects = 0;                // truths that are not crowds
  std::vector<ImageMistakes> images;  // in the order of the data set
  // Rows: the classes, then "nothing there" (false alarms); columns: the classes, then "missed".
  ConfusionMatrix confusion;

  int64_t count(Outcome outcome) const;  // detections of that outcome
  int64_t missed() const;                // objects that no detection lies on
  int64_t false_alarms() const;          // again + inexact + nothing_there
  double precision() const;              // right / (right + wrong class + false alarms); 0 without any
  double recall() const;                 // right / objects; 0 without any
  double f1() const;                     // 2 right / (detections that count + objects); 0 without any
};

// Matches detections of at least `score_threshold` with the truths, greedily by score, equal scores in the
// order of the list: first each takes the free object of its own class that it overlaps most (as COCO's and
// VOC's AP50 do), then each remaining one takes the free object of any other class. Of equal overlaps the
// first object counts. Throws as evaluate_coco does.
Mistakes find_mistakes(const DetectionDataset& truth, const DatasetDetections& detections,
                       double score_threshold);

// The detection score that gives the highest f1() as a threshold, the highest such score if there are
// several; 0.5 if no detection is right at any threshold.
double best_score_threshold(const DetectionDataset& truth, const DatasetDetections& detections);

// The positions of the images with errors, those with most errors first, equals in the order of the data set;
// at most `most` of them.
std::vector<size_t> worst_images(const Mistakes& mistakes, size_t most);

// The mistakes in an image, in words: "3 missed (2 cat, dog); 1 of the wrong class (dog taken for cat); 3
// false alarms (cat found again, dog inexact, cat where nothing is)"; no more than four different ones of a
// kind are named, the most frequent first.
std::string explain(const ImageMistakes& mistakes, const LabelledImage& image,
                    const std::vector<ScoredBox>& detections, const std::vector<std::string>& class_names);

}  // namespace fovea
