#include "train/data/image_sizes.h"

#include <algorithm>
#include <cstdlib>
#include <utility>

#include "core/parallel.h"

namespace fovea {
namespace {

struct Size {
  int64_t width, height;
  friend bool operator==(const Size&, const Size&) = default;
};

Size swapped(const Size& size) { return {size.height, size.width}; }

// Equal up to the rounding of a scaled side to whole pixels.
bool same_aspect(const Size& a, const Size& b) {
  return std::abs(a.width * b.height - a.height * b.width) <=
         std::max({a.width, a.height, b.width, b.height});
}

bool within(const std::vector<Annotation>& boxes, const Size& size) {
  constexpr double rounding = 1;
  return std::all_of(boxes.begin(), boxes.end(), [&](const Annotation& a) {
    return a.x >= -rounding && a.y >= -rounding && a.x + a.width <= double(size.width) + rounding &&
           a.y + a.height <= double(size.height) + rounding;
  });
}

// Turns size and boxes from the stored image to the upright one.
void turn(LabelledImage& image, int orientation) {
  const Turn t = turn_of(orientation);
  for (Annotation& a : image.annotations) {
    if (t.mirror_x) a.x = image.width - a.x - a.width;
    if (t.mirror_y) a.y = image.height - a.y - a.height;
    if (t.transposed) std::swap(a.x, a.y), std::swap(a.width, a.height);
  }
  if (t.transposed) std::swap(image.width, image.height);
}

void scale(LabelledImage& image, const Size& to) {
  const double sx = double(to.width) / image.width, sy = double(to.height) / image.height;
  for (Annotation& a : image.annotations)
    a.x *= sx, a.width *= sx, a.y *= sy, a.height *= sy, a.area *= sx * sy;
}

// Which image the boxes refer to, judging by the annotated size.
enum class Frame { upright, stored, unknown };

Frame frame_of(const LabelledImage& image, const ImageHeader& header, bool states_size) {
  if (header.orientation == 1) return Frame::upright;
  const Size stated{image.width, image.height}, real{header.width, header.height};
  if (!states_size || header.orientation < 5 || same_aspect(real, swapped(real))) return Frame::unknown;
  if (same_aspect(stated, real)) return Frame::upright;
  return same_aspect(stated, swapped(real)) ? Frame::stored : Frame::unknown;
}

class Settlement {
 public:
  Settlement(DetectionDataset& dataset, bool states_size) : dataset_(dataset), states_size_(states_size) {}

  void run(ReadLog* log) {
    std::vector<std::string> files;
    for (const LabelledImage& image : dataset_.images) files.push_back(image.file);
    const std::vector<HeaderOrError> headers = read_headers(files);
    bool stored = false, upright = false;
    for (size_t i = 0; i < files.size(); ++i) {
      if (!headers[i].error.empty() || headers[i].header.orientation == 1) continue;
      const Frame frame = frame_of(dataset_.images[i], headers[i].header, states_size_);
      stored |= frame == Frame::stored, upright |= frame == Frame::upright;
    }
    for (size_t i = 0; i < files.size(); ++i)
      if (headers[i].error.empty()) settle(dataset_.images[i], headers[i].header, stored && !upright);
    warn_of(ProblemKind::turned_image, unsure_, dataset_.warnings, log);
    warn_of(ProblemKind::image_size, assumed_, dataset_.warnings, log);
    for (const std::string& text : known_)
      if (log) log->faults.push_back({ProblemKind::turned_image, text});
    for (const std::string& text : unknown_)
      if (log) log->faults.push_back({ProblemKind::unknown_size, text});
    if (!log && !unknown_.empty())
      fail_as(ProblemKind::unknown_size, "{}", summary_of(ProblemKind::unknown_size, unknown_));
  }

 private:
  void settle(LabelledImage& image, const ImageHeader& header, bool others_stored) {
    const Size stated{image.width, image.height}, real{header.width, header.height};
    const std::string sizes = fmt::format("{} has {} x {} pixels, its annotation says {} x {}: ", image.file,
                                          real.width, real.height, stated.width, stated.height);
    const Frame frame = frame_of(image, header, states_size_);
    const bool turns = frame == Frame::stored || (frame == Frame::unknown && others_stored);
    if (header.orientation != 1)
      (frame == Frame::unknown ? unsure_ : known_)
          .push_back(fmt::format("{} has the EXIF orientation {}: its boxes are taken as those of the {}",
                                 image.file, header.orientation,
                                 turns ? "stored image, and are turned with it" : "upright image"));
    if (turns) turn(image, header.orientation);
    if (const char* assumed = bring_to(real, image); !assumed)
      unknown_.push_back(sizes + "its boxes may be of either, so correct the size or the boxes");
    else if (*assumed || (turns && stated != real))
      assumed_.push_back(sizes +
                         (*assumed ? assumed : "its boxes are of the stored image, and are turned with it"));
    image.width = header.width, image.height = header.height;
  }

  // What is assumed about the boxes; empty if the sizes are equal, null if nothing can be assumed.
  static const char* bring_to(const Size& real, LabelledImage& image) {
    const Size stated{image.width, image.height};
    if (stated == real) return "";
    const bool fit_stated = within(image.annotations, stated), fit_real = within(image.annotations, real);
    if (same_aspect(stated, real) && fit_stated) {
      scale(image, real);
      return "its boxes are taken as those before it was scaled, and are scaled with it";
    }
    const bool only_size_is_wrong =
        fit_real && (!fit_stated || stated == swapped(real) || image.annotations.empty());
    return only_size_is_wrong ? "its boxes are taken as pixels of the image" : nullptr;
  }

  DetectionDataset& dataset_;
  const bool states_size_;
  std::vector<std::string> assumed_, unsure_, known_, unknown_;
};

}  // namespace

std::vector<HeaderOrError> read_headers(const std::vector<std::string>& files) {
  std::vector<HeaderOrError> headers(files.size());
  parallel_for(int64_t(files.size()), 1, [&](int64_t begin, int64_t end) {
    for (size_t i = size_t(begin); i < size_t(end); ++i) try {
        headers[i].header = read_image_header(files[i]);
      } catch (const Error& error) {
        headers[i].error = error.what();
      }
  });
  return headers;
}

void take_own_size(LabelledImage& image) {
  const ImageHeader header = read_image_header(image.file);
  image.width = header.width, image.height = header.height;
}

bool has_own_size(const LabelledImage& image) {
  const HeaderOrError read = read_headers({image.file}).front();
  return !read.error.empty() ||
         Size{image.width, image.height} == Size{read.header.width, read.header.height};
}

void settle_sizes(DetectionDataset& dataset, bool states_size, ReadLog* log) {
  Settlement(dataset, states_size).run(log);
}

}  // namespace fovea
