#include "train/report/mistake_images.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "core/utf8.h"
#include "train/report/draw.h"

namespace fovea {
namespace {

DrawnBox frame_of(const Annotation& a) {
  return {a.x, a.y, a.x + a.width, a.y + a.height, a.label, "", a.crowd};
}

std::string words(const JudgedDetection& judged, const LabelledImage& labelled, double score,
                  const std::string& name, const std::vector<std::string>& class_names) {
  switch (judged.outcome) {
    case Outcome::right:
      return "";
    case Outcome::wrong_class:
      return fmt::format("{} {:.2f}, is {}", name, score,
                         class_names[size_t(labelled.annotations[size_t(judged.truth)].label)]);
    case Outcome::again:
      return fmt::format("{} {:.2f} again", name, score);
    case Outcome::inexact:
      return fmt::format("{} {:.2f} inexact", name, score);
    case Outcome::nothing_there:
      return fmt::format("{} {:.2f} not there", name, score);
    case Outcome::ignored:
      break;
  }
  return fmt::format("{} {:.2f} in a crowd", name, score);
}

std::string csv_field(const std::string& raw) {
  const std::string text = escape_bytes(raw);
  if (text.find_first_of(",\"\r\n") == text.npos) return text;
  std::string quoted = "\"";
  for (const char c : text) quoted += c == '"' ? "\"\"" : std::string(1, c);
  return quoted + "\"";
}

}  // namespace

ReportImage draw_mistakes(const Image& image, const LabelledImage& labelled,
                          const std::vector<ScoredBox>& detections, const ImageMistakes& mistakes,
                          const std::vector<std::string>& class_names) {
  std::vector<DrawnBox> truth, found;
  for (const Annotation& a : labelled.annotations) truth.push_back(frame_of(a));
  for (const size_t t : mistakes.missed)
    truth[t].text = class_names[size_t(labelled.annotations[t].label)] + " missed";
  // Best scores last, to lie on top.
  for (auto judged = mistakes.detections.rbegin(); judged != mistakes.detections.rend(); ++judged) {
    const ScoredBox& box = detections[judged->detection];
    found.push_back({box.x, box.y, box.x + box.width, box.y + box.height, box.label,
                     words(*judged, labelled, box.score, class_names[size_t(box.label)], class_names),
                     judged->outcome == Outcome::ignored});
  }
  return {std::filesystem::path(labelled.file).filename().string(), draw_boxes(image, truth),
          draw_boxes(image, found), explain(mistakes, labelled, detections, class_names)};
}

std::string mistakes_csv(const Mistakes& mistakes, const DetectionDataset& dataset) {
  std::string csv = "image,missed,false_alarms,wrong_class\n";
  for (size_t i = 0; i < mistakes.images.size(); ++i) {
    const ImageMistakes& image = mistakes.images[i];
    csv += fmt::format("{},{},{},{}\n", csv_field(dataset.images[i].file), image.missed.size(),
                       image.false_alarms(), image.count(Outcome::wrong_class));
  }
  return csv;
}

}  // namespace fovea
