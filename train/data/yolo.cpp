#include "train/data/yolo.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <filesystem>
#include <map>
#include <optional>
#include <set>

#include "core/file.h"
#include "train/data/files/find_file.h"
#include "train/data/files/listing.h"
#include "train/data/files/text_file.h"
#include "train/data/image/image_io.h"
#include "train/data/image_sizes.h"
#include "train/data/layout/yolo_layout.h"

namespace fovea {
namespace {

namespace fs = std::filesystem;

void add_image_files(const std::string& folder, std::vector<std::string>& files) {
  for (const std::string& name : file_names(folder))
    if (has_image_ending(name)) files.push_back(folder + "/" + name);
  for (const std::string& name : folder_names(folder)) add_image_files(folder + "/" + name, files);
}

struct Line {
  std::string place;  // "labels/train/1.txt:3"
  std::vector<double> numbers;
};

Line parse_line(const std::string& file, size_t number, std::string_view text) {
  Line line{fmt::format("{}:{}", file, number), {}};
  while (!text.empty()) {
    const size_t end = std::min(text.find_first_of(" \t"), text.size());
    const std::string_view word = text.substr(0, end);
    double value = 0;
    const auto [stop, error] = std::from_chars(word.data(), word.data() + word.size(), value);
    if (error != std::errc() || stop != word.data() + word.size())
      fail("{}: \"{}\" is not a number: a line has the class and the box's centre x and y, width and height",
           line.place, word);
    line.numbers.push_back(value);
    text.remove_prefix(std::min(text.find_first_not_of(" \t", end), text.size()));
  }
  return line;
}

// A row is a box, a box with keypoints if the YAML file says so, or else an outline.
void check_count(const Line& line, size_t keypoint_numbers) {
  const size_t count = line.numbers.size();
  const bool outline = keypoint_numbers == 0 && count >= 7 && count % 2 == 1;
  const std::string keypoints = fmt::format(" or {} with the keypoints of kpt_shape", 5 + keypoint_numbers);
  require(count == 5 || outline || (keypoint_numbers > 0 && count == 5 + keypoint_numbers),
          "{} has {} numbers: 5 were expected, the class and the box's centre x and y, width and height{}{}",
          line.place, count, keypoint_numbers > 0 ? keypoints : "",
          count == 6                           ? " (a sixth, the score, belongs to detections, not to labels)"
          : count > 6 && keypoint_numbers == 0 ? " (a box with keypoints needs kpt_shape in the YAML file)"
                                               : "");
}

// Whether a row can be a box with keypoints of `size` numbers each: all within the box, or 0 0 if they are
// not visible.
bool may_have_keypoints(const std::vector<double>& n, size_t size) {
  constexpr double rounding = 1e-3;
  if (n.size() < 11 || (n.size() - 5) % size != 0) return false;  // nine are the corners of a rotated box
  for (size_t i = 5; i < n.size(); i += size) {
    const bool unseen = n[i] == 0 && n[i + 1] == 0;
    const bool inside =
        std::abs(n[i] - n[1]) <= n[3] / 2 + rounding && std::abs(n[i + 1] - n[2]) <= n[4] / 2 + rounding;
    if (!unseen && !inside) return false;
    if (size == 3 && n[i + 2] != 0 && n[i + 2] != 1 && n[i + 2] != 2) return false;
  }
  return true;
}

// Centre and size, as in the file (before any keypoints) or around the outline (class x1 y1 x2 y2 ...).
std::array<double, 4> box_of(const std::vector<double>& numbers, bool keypoints) {
  if (numbers.size() == 5 || keypoints) return {numbers[1], numbers[2], numbers[3], numbers[4]};
  double left = numbers[1], right = left, top = numbers[2], bottom = top;
  for (size_t i = 1; i < numbers.size(); i += 2) {
    left = std::min(left, numbers[i]), right = std::max(right, numbers[i]);
    top = std::min(top, numbers[i + 1]), bottom = std::max(bottom, numbers[i + 1]);
  }
  return {(left + right) / 2, (top + bottom) / 2, right - left, bottom - top};
}

class Reader {
 public:
  Reader(const std::string& folder, const std::vector<std::string>& class_names, ReadLog* log)
      : folder_(folder), log_(log) {
    const auto layout = find_yolo_layout(folder);
    require(layout.has_value(), "{} holds no YOLO data set", folder);
    layout_ = *layout;
    if (layout_.not_utf8) warn(ProblemKind::not_utf8, "{}", *layout_.not_utf8);
    dataset_.class_names = class_names.empty() ? layout_.class_names : class_names;
    for (size_t label = 0; label < dataset_.class_names.size(); ++label)
      dataset_.category_ids.push_back(int(label) + 1);
  }

  DetectionDataset read(const std::vector<std::string>& splits) {
    for (const std::string& split : splits) {
      const auto found = layout_.splits.find(split);
      require(found != layout_.splits.end(), "{} has no split \"{}\"", layout_.file, split);
      for (const std::string& source : found->second) add_source(split, source);
    }
    require(!image_files_.empty(), "{} has no image: a data set needs one", dataset_.name);
    headers_ = read_headers(image_files_);
    size_t labelled = 0;
    for (size_t i = 0; i < image_files_.size(); ++i) attempt(log_, [&] { labelled += read_image(i); });
    require(!dataset_.images.empty(), "no image of {} can be read", dataset_.name);
    const std::string& first = dataset_.images.front().file;
    attempt(log_, [&] { check_outlines(); });
    find_left_out();
    require(labelled > 0,
            "none of the {} images of {} has a text file of its boxes: for {} the file would be {}",
            dataset_.images.size(), dataset_.name, first, yolo_label_file(first));
    return std::move(dataset_);
  }

 private:
  template <class... Args>
  void warn(ProblemKind kind, fmt::format_string<Args...> format, Args&&... args) {
    dataset_.warnings.push_back(fmt::format(format, std::forward<Args>(args)...));
    if (log_) log_->faults.push_back({kind, dataset_.warnings.back()});
  }

  void add_source(const std::string& split, const std::string& source) {
    dataset_.name += (dataset_.name.empty() ? "" : " + ") + source;
    if (is_folder(source)) {
      std::vector<std::string> files;
      add_image_files(fs::path(source + "/").parent_path().string(), files);
      for (const std::string& file : files) add_image(file, source);
      return;
    }
    require(is_file(source), "{}: {} is {}, but there is no such folder or list", layout_.file, split,
            source);
    const std::string beside = fs::path(source).parent_path().string();
    for (const std::string& line : read_lines(source)) {
      if (line.empty()) continue;
      const auto file = find_path({folder_, beside}, line, is_file);
      if (file)
        add_image(file->path, source);
      else
        warn(ProblemKind::missing_image, "{} names {}, which does not exist: the image is left out", source,
             line);
    }
  }

  void add_image(const std::string& file, const std::string& source) {
    if (seen_.insert(file).second)
      image_files_.push_back(file);
    else
      warn(ProblemKind::listed_twice, "{} names {} again: it is used once", source, file);
  }

  // Whether there was a text file.
  bool read_image(size_t index) {
    const auto& [header, error] = headers_[index];
    if (!error.empty()) fail_as(ProblemKind::broken_image, "{}", error);
    LabelledImage image{
        image_files_[index], int64_t(dataset_.images.size()) + 1, header.width, header.height, {}};
    const std::string file = yolo_label_file(image.file);
    const bool labelled = is_file(file);
    if (!labelled) unlabelled_.push_back(fmt::format("{} has no file {}", image.file, file));
    if (labelled) {
      const std::vector<std::string> lines = read_lines(file);
      for (size_t i = 0; i < lines.size(); ++i)
        if (!lines[i].empty()) attempt(log_, [&] { read_line(parse_line(file, i + 1, lines[i]), image); });
    }
    dataset_.images.push_back(std::move(image));
    return labelled;
  }

  void note_long_row(const Line& line) {
    const std::vector<double>& n = line.numbers;
    if (layout_.keypoint_numbers > 0 || n.size() == 5) return;
    if (long_rows_++ == 0) first_long_ = line;
    like_keypoints_ &=
        n.size() == first_long_.numbers.size() && (may_have_keypoints(n, 2) || may_have_keypoints(n, 3));
  }

  // Outlines differ in the number of their points, which do not all lie around their first point.
  void check_outlines() const {
    constexpr int64_t enough = 3;
    require(long_rows_ < enough || !like_keypoints_,
            "{}: its {} numbers, like those of all {} rows of more than five, seem to be a box with "
            "keypoints, not an "
            "outline: declare them with kpt_shape in the YAML file",
            first_long_.place, first_long_.numbers.size(), long_rows_);
  }

  // Text files whose image is missing, pictures in unsupported formats, images without a text file.
  void find_left_out() {
    std::map<std::string, std::string> label_folders;  // and their images'
    const auto parent = [](const std::string& file) { return fs::path(file).parent_path().string(); };
    for (const std::string& file : image_files_) label_folders[parent(yolo_label_file(file))] = parent(file);
    std::vector<std::string> orphans, unread;
    for (const auto& [labels, images] : label_folders) {
      std::set<std::string> stems;
      for (const std::string& name : file_names(images))
        if (has_image_ending(name)) stems.insert(stem_of_path(name));
      for (const std::string& name : file_names(images))
        if (is_unread_picture(name))
          unread.push_back(fmt::format("{}/{} is in an unsupported format", images, name));
      for (const std::string& name : file_names(labels, ".txt"))
        if (labels + "/" + name != layout_.file && labels != folder_ && !stems.contains(stem_of_path(name)))
          orphans.push_back(fmt::format("{}/{} has no image in {}", labels, name, images));
    }
    warn_of(ProblemKind::missing_labels, unlabelled_, dataset_.warnings, log_);
    warn_of(ProblemKind::missing_image, orphans, dataset_.warnings, log_);
    warn_of(ProblemKind::unlisted_image, unread, dataset_.warnings, log_);
  }

  int label_of(const Line& line) const {
    const double id = line.numbers.front();
    require(id == std::floor(id), "{}: the class is {}: a whole number was expected", line.place, id);
    const auto count = layout_.class_names.size();
    if (!(id >= 0 && id < double(count)))
      fail_as(ProblemKind::unknown_class, "{}: the class is {}, but {} names {}, from 0 to {}", line.place,
              id, layout_.file, count, count - 1);
    const std::string& name = layout_.class_names[size_t(id)];
    const auto label = std::find(dataset_.class_names.begin(), dataset_.class_names.end(), name);
    if (label == dataset_.class_names.end())
      fail_as(ProblemKind::unknown_class,
              "{} is of the class \"{}\", which the model does not have: it has {}", line.place, name,
              some_of(dataset_.class_names));
    return int(label - dataset_.class_names.begin());
  }

  void read_line(const Line& line, LabelledImage& image) {
    check_count(line, layout_.keypoint_numbers);
    const int label = label_of(line);
    note_long_row(line);
    const std::array<double, 4> box = box_of(line.numbers, layout_.keypoint_numbers > 0);
    if (log_) log_->boxes.push_back({box, image.width, image.height});
    const auto [x, y, width, height] = box;
    const auto warn_of_box = [&](ProblemKind kind, const char* fault) {
      warn(kind, "{}: the box has centre {} {}, width {}, height {}, {}", line.place, box[0], box[1], box[2],
           box[3], fault);
    };
    if (!(width > 0 && height > 0) || !std::isfinite(x + y + width + height))
      return warn_of_box(width < 0 || height < 0 ? ProblemKind::reversed_box : ProblemKind::empty_box,
                         "which is not a positive finite size: the box is left out");
    const double whole_left = (x - width / 2) * image.width, whole_right = (x + width / 2) * image.width;
    const double whole_top = (y - height / 2) * image.height, whole_bottom = (y + height / 2) * image.height;
    const double left = std::max(whole_left, 0.0), right = std::min(whole_right, double(image.width));
    const double top = std::max(whole_top, 0.0), bottom = std::min(whole_bottom, double(image.height));
    if (!(right > left && bottom > top))
      return warn_of_box(ProblemKind::outside_box, "which is outside its image: the box is left out");
    constexpr double rounding = 1;  // of a pixel, by tools that write few digits
    if (left - whole_left > rounding || whole_right - right > rounding || top - whole_top > rounding ||
        whole_bottom - bottom > rounding)
      warn_of_box(ProblemKind::outside_box,
                  "which reaches outside its image: the box is cut off at the border");
    image.annotations.push_back({.x = left,
                                 .y = top,
                                 .width = right - left,
                                 .height = bottom - top,
                                 .area = (right - left) * (bottom - top),
                                 .label = label});
  }

  const std::string& folder_;
  ReadLog* log_;
  YoloLayout layout_;
  DetectionDataset dataset_;
  std::vector<std::string> image_files_;
  std::set<std::string> seen_;
  std::vector<HeaderOrError> headers_;
  std::vector<std::string> unlabelled_;
  int64_t long_rows_ = 0;
  bool like_keypoints_ = true;
  Line first_long_;
};

}  // namespace

bool is_yolo(const std::string& folder) {
  try {
    return find_yolo_layout(folder).has_value();
  } catch (const Error&) {
    return true;  // with a fault, which reading it will report
  }
}

std::vector<std::string> yolo_splits(const std::string& folder) {
  std::vector<std::string> names;
  if (const auto layout = find_yolo_layout(folder))
    for (const auto& [name, sources] : layout->splits) names.push_back(name);
  return names;
}

DetectionDataset read_yolo(const std::string& folder, const std::vector<std::string>& splits,
                           const std::vector<std::string>& class_names, ReadLog* log) {
  return Reader(folder, class_names, log).read(splits);
}

std::string yolo_label_file(const std::string& image_file) {
  const fs::path beside = fs::path(image_file).replace_extension(".txt");
  std::vector<fs::path> parts(beside.begin(), beside.end());
  const auto last = std::find(parts.rbegin(), parts.rend(), "images");
  if (last == parts.rend()) return beside.string();
  *last = "labels";
  fs::path in_labels;
  for (const fs::path& part : parts) in_labels /= part;
  return is_file(in_labels.string()) || !is_file(beside.string()) ? in_labels.string() : beside.string();
}

}  // namespace fovea
