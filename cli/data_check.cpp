#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <memory>

#include "cli/commands.h"
#include "cli/data.h"
#include "cli/flag_names.h"
#include "cli/progress.h"
#include "core/error.h"
#include "core/file.h"
#include "models/efficientdet.h"
#include "train/data/check.h"
#include "train/data/image/image_io.h"
#include "train/loop/config.h"
#include "train/report/mosaic.h"

namespace fovea {
namespace {

struct CheckFlags {
  std::string folder, model = TrainConfig().model, image_size = "0", mosaic;
  std::vector<std::string> splits;
  double anchor_scale = 0;
  bool full = false;
};

double percent(int64_t part, int64_t whole) { return whole > 0 ? 100 * double(part) / double(whole) : 0; }

// A row for each class, a column for each split.
void print_counts(const DatasetCheck& check) {
  std::vector<std::vector<int64_t>> columns;
  const std::vector<std::string>& names = check.data.class_names;
  for (const DatasetSplit& split : check.data.splits) {
    std::vector<int64_t> column(names.size() + 3);
    for (const LabelledImage& image : split.dataset.images) {
      ++column[names.size()];
      column[names.size() + 1] += image.annotations.empty();
      for (const Annotation& a : image.annotations) {
        ++column[size_t(a.label)];
        ++column[names.size() + 2];
      }
    }
    columns.push_back(std::move(column));
  }
  std::vector<std::string> rows = names;
  rows.insert(rows.end(), {"images", "without a box", "boxes"});
  size_t widest = 0;
  for (const std::string& row : rows) widest = std::max(widest, row.size());
  const auto print_row = [&](size_t row) {
    fmt::print("  {:<{}}", rows[row], widest);
    for (const auto& column : columns) fmt::print(" {:>9}", column[row]);
    fmt::print("\n");
  };
  fmt::print("\n  {:<{}}", "", widest);
  for (const DatasetSplit& split : check.data.splits) fmt::print(" {:>9}", split.name);
  fmt::print("\n");
  for (size_t row = names.size(); row < rows.size(); ++row) print_row(row);
  for (size_t row = 0; row < names.size(); ++row) print_row(row);
  for (const std::string& name : check.joined)
    fmt::print("  ({} joins other splits: the figures below count its images once)\n", name);
}

std::vector<const LabelledImage*> single_images(const DatasetCheck& check) {
  std::vector<const LabelledImage*> images;
  for (const DatasetSplit& split : check.data.splits)
    if (!check.is_joined(split.name))
      for (const LabelledImage& image : split.dataset.images) images.push_back(&image);
  return images;
}

void print_image_sizes(const DatasetCheck& check) {
  constexpr size_t shown = 5;
  std::map<std::pair<int, int>, int64_t> counts;
  for (const LabelledImage* image : single_images(check)) ++counts[{image->width, image->height}];
  std::vector<std::pair<int64_t, std::pair<int, int>>> sorted;
  for (const auto& [size, count] : counts) sorted.push_back({-count, size});
  std::sort(sorted.begin(), sorted.end());
  fmt::print("\nimage sizes, width x height:");
  for (size_t i = 0; i < sorted.size() && i < shown; ++i)
    fmt::print("{} {}x{} ({})", i > 0 ? "," : "", sorted[i].second.first, sorted[i].second.second,
               -sorted[i].first);
  if (sorted.size() > shown) fmt::print(" and {} other sizes", sorted.size() - shown);
  fmt::print("\n");
}

void print_fit(const DatasetCheck& check, const std::string& model) {
  const BoxFit& fit = check.fit;
  if (fit.boxes == 0) return;
  fmt::print(
      "\nboxes in the {}x{} input of {}, anchor scale {:g} (anchor sides of {:.0f} to {:.0f} pixels):\n",
      fit.height, fit.width, model, fit.anchor_scale, fit.smallest_anchor, fit.largest_anchor);
  constexpr int longest_bar = 40;
  std::map<int, int64_t> counts;  // by the power of two below the side
  for (const double side : fit.sides) ++counts[std::max(0, int(std::floor(std::log2(std::max(side, 1e-9)))))];
  for (int power = counts.begin()->first; power <= counts.rbegin()->first; ++power) {
    const int64_t count = counts[power], low = power == 0 ? 0 : int64_t(1) << power;
    const int bar = int(std::ceil(percent(count, fit.boxes) * longest_bar / 100));
    fmt::print("  {:>4} to {:>4} px {:>8} {:5.1f} % {}\n", low, int64_t(2) << power, count,
               percent(count, fit.boxes), std::string(size_t(bar), '='));
  }
  fmt::print("  best anchor's IoU below 0.5: {} boxes ({:.1f} %), below 0.3: {} ({:.1f} %)\n", fit.below_half,
             percent(fit.below_half, fit.boxes), fit.below_third, percent(fit.below_third, fit.boxes));
  const InputChoice& choice = check.suggestion;
  const double covered = 100 - percent(fit.below_half, fit.boxes);
  fmt::print(
      "  {}: --image-size {}x{} --anchor-scale {:g}, whose anchors cover {:.1f} % with an IoU of 0.5 or "
      "more\n",
      covered >= 95 ? "that is enough; the smallest input that covers 95 %" : "suggested", choice.height,
      choice.width, choice.anchor_scale, 100 * choice.covered);
}

void print_faults(const DatasetCheck& check, bool full) {
  constexpr int64_t shown = 10;
  constexpr const char* severities[] = {"ERROR", "warning", "note"};
  int64_t left_out = 0;
  for (size_t i = 0; i < check.faults.size();) {
    const ProblemKind kind = check.faults[i].kind;
    const int64_t count = check.count(kind);
    const ProblemText& text = text_of(kind);
    fmt::print("\n{}: {}: {}\n", severities[int(text.severity)], text.heading, count);
    for (int64_t k = 0; k < count; ++k, ++i)
      if (full || k < shown) fmt::print("  {}\n", with_flags(check.faults[i].text));
    if (!full && count > shown) fmt::print("  and {} more\n", count - shown), left_out += count - shown;
  }
  if (left_out > 0) fmt::print("\n--full also prints the {} faults left out here\n", left_out);
}

void print_verdict(const DatasetCheck& check) {
  std::array<int64_t, 3> counts{};
  for (const Problem& fault : check.faults) ++counts[size_t(text_of(fault.kind).severity)];
  fmt::print("\n{} errors, {} warnings, {} notes: ", counts[0], counts[1], counts[2]);
  fmt::print("{}\n", check.can_be_trained() ? "training can start"
                                            : "training would stop at the errors or learn nothing");
}

void run_check(const CheckFlags& flags) {
  const EfficientDetSpec spec = efficientdet_spec(flags.model);
  ProgressLine line;
  DatasetCheckOptions options{.splits = flags.splits,
                              .image_size = parse_image_size(flags.image_size),
                              .longer_side = spec.image_size,
                              .anchor_scale = flags.anchor_scale,
                              .anchors = spec.anchors};
  options.on_scanned = [&](int64_t done, int64_t total) {
    line.show(double(done) / double(total), fmt::format("{} of {} images decoded", done, total));
  };
  const DatasetCheck check = check_dataset(flags.folder, options);
  line.finish();
  const auto images = single_images(check);
  fmt::print("{}: {}, {} images, {} boxes, {} classes\n", flags.folder, name_of(check.data.format),
             images.size(), check.fit.boxes, check.data.class_names.size());
  if (!images.empty()) {
    print_counts(check);
    print_image_sizes(check);
    print_fit(check, flags.model);
  }
  print_faults(check, flags.full);
  if (!flags.mosaic.empty() && !images.empty()) {
    for (const LabelledImage* image : images) protect_files(std::span(&image->file, 1));
    write_image(flags.mosaic, draw_mosaic(images, check.data.class_names));
    fmt::print("\nimages with their boxes: {}\n", flags.mosaic);
  }
  print_verdict(check);
  if (!check.can_be_trained()) throw CLI::RuntimeError(1);
}

}  // namespace

void add_data_check(CLI::App& data) {
  auto flags = std::make_shared<CheckFlags>();
  CLI::App* command =
      data.add_subcommand("check", "Read a whole data set, count its contents and report its faults");
  command->footer(
      "\nThe exit status is 0 if training can start, and 1 if faults prevent it.\n"
      "If the loss falls but AP stays 0, check here first: the classes, the order of the box coordinates, "
      "boxes that no\n"
      "anchor fits, and the images of --mosaic.");
  command->add_option("folder", flags->folder, "folder of the data set: Pascal VOC, COCO or YOLO layout")
      ->required();
  command->add_option("--split", flags->splits, "splits to check, separated by commas (default: all)")
      ->delimiter(',');
  command->add_option("--model", flags->model, "the detector to train on it")->capture_default_str();
  command->add_option("--image-size", flags->image_size, "size of the model's input, as for `fovea train`")
      ->capture_default_str();
  command
      ->add_option("--anchor-scale", flags->anchor_scale,
                   "scale of the model's anchors, as for `fovea train`")
      ->capture_default_str();
  command->add_option("--mosaic", flags->mosaic,
                      "draw up to 16 images with their boxes into this .jpg or .png file");
  command->add_flag("--full", flags->full, "print all faults, not only the first 10 of each kind");
  command->callback([flags] { run_check(*flags); });
}

}  // namespace fovea
