#include "train/data/problem.h"

namespace fovea {

const ProblemText& text_of(ProblemKind kind) {
  using enum ProblemKind;
  static constexpr ProblemText texts[] = {
      {Severity::error, "annotations that cannot be read"},
      {Severity::error, "classes that are not in the list of classes"},
      {Severity::error, "images that cannot be decoded"},
      {Severity::error, "images of another size than their annotation's, to which the boxes may refer"},
      {Severity::error, "boxes whose numbers are in another order or unit"},
      {Severity::error, "nothing to learn from"},
      {Severity::warning, "splits that are missing or cannot be read"},
      {Severity::warning, "annotations without an image, left out"},
      {Severity::warning, "images without an annotation, left out"},
      {Severity::warning, "images that are listed twice"},
      {Severity::warning, "annotations without the image's size"},
      {Severity::warning, "pictures that no split has, left out"},
      {Severity::warning, "images without a file of boxes, taken as images without an object"},
      {Severity::warning, "fields with numbers in quotes, or whole numbers with a decimal point"},
      {Severity::warning, "names and texts that are not UTF-8"},
      {Severity::warning, "images whose size is not their annotation's"},
      {Severity::warning, "images whose name has the extension of another format"},
      {Severity::warning, "boxes whose right or bottom edge comes before the other, ignored in training"},
      {Severity::warning, "boxes without an area, ignored in training"},
      {Severity::warning, "boxes that reach outside their image"},
      {Severity::warning, "boxes that occur twice"},
      {Severity::warning, "images that occur twice"},
      {Severity::warning, "images that are in two splits"},
      {Severity::warning, "images that look alike, in two splits"},
      {Severity::warning, "classes that a split lacks"},
      {Severity::warning, "classes whose names differ only in capitals or blanks"},
      {Severity::warning, "images that lack objects of a class that nearly all have: are labels missing?"},
      {Severity::warning, "boxes that no anchor fits"},
      {Severity::note, "images without an object"},
      {Severity::note, "images that are turned upright by their EXIF orientation"},
      {Severity::note, "splits that are drawn"},
      {Severity::note, "fields that are not used"},
  };
  static_assert(std::size(texts) == size_t(ignored_field) + 1);
  return texts[size_t(kind)];
}

std::string some_of(const std::vector<std::string>& names) {
  constexpr size_t shown = 10;
  if (names.size() <= shown) return fmt::format("{}", fmt::join(names, ", "));
  return fmt::format("{} and {} more", fmt::join(names.begin(), names.begin() + shown, ", "),
                     names.size() - shown);
}

std::string summary_of(ProblemKind kind, const std::vector<std::string>& texts) {
  return texts.size() == 1
             ? texts.front()
             : fmt::format("{} {}; the first: {}", texts.size(), text_of(kind).heading, texts.front());
}

void warn_of(ProblemKind kind, const std::vector<std::string>& texts, std::vector<std::string>& warnings,
             ReadLog* log) {
  if (texts.empty()) return;
  warnings.insert(warnings.begin(), summary_of(kind, texts));
  for (const std::string& text : texts)
    if (log) log->faults.push_back({kind, text});
}

}  // namespace fovea
