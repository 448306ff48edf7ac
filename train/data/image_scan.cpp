#include "train/data/image_scan.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <filesystem>
#include <functional>
#include <numeric>
#include <string_view>

#include "core/file.h"
#include "core/parallel.h"

namespace fovea {
namespace {

constexpr int look_side = 16;
constexpr double alike = 0.97;

// Means of brightness over a grid of 16 x 16 cells; 0 for an image without contrast, which would look like
// any other.
std::array<float, 256> look_of(const Image& image) {
  std::array<double, 256> cells{};
  for (int i = 0; i < look_side; ++i)
    for (int j = 0; j < look_side; ++j) {
      const int top = int(int64_t(i) * image.height / look_side),
                left = int(int64_t(j) * image.width / look_side);
      const int bottom = std::max(top + 1, int(int64_t(i + 1) * image.height / look_side));
      const int right = std::max(left + 1, int(int64_t(j + 1) * image.width / look_side));
      int64_t sum = 0;
      for (int y = top; y < bottom; ++y)
        for (int x = left; x < right; ++x) {
          const uint8_t* pixel = image.at(x, y);
          sum += 2 * pixel[0] + 5 * pixel[1] + pixel[2];
        }
      cells[size_t(i * look_side + j)] = double(sum) / (8.0 * (bottom - top) * (right - left));
    }
  const double mean = std::accumulate(cells.begin(), cells.end(), 0.0) / double(cells.size());
  double squares = 0;
  for (double& cell : cells) cell -= mean, squares += cell * cell;
  constexpr double min_deviation = 2;  // of 255
  std::array<float, 256> look{};
  if (squares < min_deviation * min_deviation * double(cells.size())) return look;
  for (size_t i = 0; i < cells.size(); ++i) look[i] = float(cells[i] / std::sqrt(squares));
  return look;
}

uint64_t hash_of(const std::array<float, 256>& look) {
  constexpr int side = look_side / 2;
  const auto cell = [&](int y, int x) {
    const float* corner = &look[size_t(2 * y * look_side + 2 * x)];
    return corner[0] + corner[1] + corner[look_side] + corner[look_side + 1];
  };
  uint64_t bits = 0;
  for (int y = 0; y < side; ++y)
    for (int x = 0; x + 1 < side; ++x) bits = bits << 1 | uint64_t(cell(y, x) < cell(y, x + 1));
  return bits;
}

ScannedImage scan(const std::string& file) {
  ScannedImage result;
  try {
    const std::string bytes = read_file(file);
    result.bytes = int64_t(bytes.size());
    result.bytes_hash = std::hash<std::string_view>()(bytes);
    result.header = decode_image_header(bytes, file);
    const Image image = decode_image(bytes, file);
    result.header.width = image.width;
    result.header.height = image.height;
    result.look = look_of(image);
    result.look_hash = hash_of(result.look);
  } catch (const std::exception& error) {
    result.error = error.what();
  }
  return result;
}

bool ends_as(const std::string& file, std::string_view format) {
  std::string ending = std::filesystem::path(file).extension().string();
  std::transform(ending.begin(), ending.end(), ending.begin(),
                 [](char c) { return c >= 'a' && c <= 'z' ? char(c - 'a' + 'A') : c; });
  return ending == fmt::format(".{}", format) || (format == "JPEG" && ending == ".JPG");
}

bool same_file(const PlacedImage& a, const PlacedImage& b) {
  return a.image->file == b.image->file || read_file(a.image->file) == read_file(b.image->file);
}

// Equal bytes: compares each file with the first one of the same bytes.
void find_equal(const std::vector<PlacedImage>& images, std::vector<Problem>& faults) {
  std::vector<size_t> order;
  for (size_t i = 0; i < images.size(); ++i)
    if (images[i].scan->bytes > 0) order.push_back(i);
  const auto key = [&](size_t i) { return std::pair(images[i].scan->bytes, images[i].scan->bytes_hash); };
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return key(a) < key(b); });
  for (size_t begin = 0, i = 0; i < order.size(); ++i) {
    if (key(order[i]) != key(order[begin])) begin = i;
    const PlacedImage &first = images[order[begin]], &other = images[order[i]];
    if (i == begin || !same_file(first, other)) continue;
    const bool leaked = first.split != other.split;
    faults.push_back({leaked ? ProblemKind::leaked_image : ProblemKind::duplicate_image,
                      first.image->file == other.image->file
                          ? fmt::format("{} is in {} and in {}", first.image->file, first.split, other.split)
                          : fmt::format("{} ({}) has the same bytes as {} ({})", other.image->file,
                                        other.split, first.image->file, first.split)});
  }
}

double correlation(const ScannedImage& a, const ScannedImage& b) {
  return std::inner_product(a.look.begin(), a.look.end(), b.look.begin(), 0.0);
}

void find_similar(const std::vector<PlacedImage>& images, std::vector<Problem>& faults) {
  std::vector<const ScannedImage*> scans;
  for (const PlacedImage& image : images) scans.push_back(image.scan);
  for (const auto& [j, i] : alike_pairs(scans)) {
    const PlacedImage &a = images[j], &b = images[i];
    if (a.split != b.split && a.scan->bytes_hash != b.scan->bytes_hash)
      faults.push_back({ProblemKind::similar_image,
                        fmt::format("{} ({}) and {} ({}) correlate by {:.3f}", a.image->file, a.split,
                                    b.image->file, b.split, correlation(*a.scan, *b.scan))});
  }
}

}  // namespace

std::vector<ScannedImage> scan_images(const std::vector<std::string>& files, const OnScanned& on_scanned) {
  constexpr int64_t at_once = 64;
  std::vector<ScannedImage> scans(files.size());
  const int64_t count = int64_t(files.size());
  for (int64_t from = 0; from < count; from += at_once) {
    const int64_t n = std::min(at_once, count - from);
    parallel_for(n, 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) scans[size_t(from + i)] = scan(files[size_t(from + i)]);
    });
    if (on_scanned) on_scanned(from + n, count);
  }
  return scans;
}

// Compares all pairs; the hashes spare most of them the correlation.
std::vector<std::pair<size_t, size_t>> alike_pairs(const std::vector<const ScannedImage*>& scans) {
  constexpr int max_bits = 10;
  std::vector<std::vector<size_t>> alike_before(scans.size());
  parallel_for(int64_t(scans.size()), 64, [&](int64_t begin, int64_t end) {
    for (size_t i = size_t(begin); i < size_t(end); ++i)
      for (size_t j = 0; j < i; ++j)
        if (std::popcount(scans[i]->look_hash ^ scans[j]->look_hash) <= max_bits &&
            correlation(*scans[i], *scans[j]) >= alike)
          alike_before[i].push_back(j);
  });
  std::vector<std::pair<size_t, size_t>> pairs;
  for (size_t i = 0; i < scans.size(); ++i)
    for (const size_t j : alike_before[i]) pairs.emplace_back(j, i);
  return pairs;
}

std::vector<Problem> image_faults(const LabelledImage& image, const ScannedImage& scan) {
  if (!scan.error.empty()) return {{ProblemKind::broken_image, scan.error}};
  const ImageHeader& header = scan.header;
  std::vector<Problem> faults;
  if (!ends_as(image.file, header.format))
    faults.push_back({ProblemKind::wrong_ending, fmt::format("{} is a {}", image.file, header.format)});
  return faults;
}

std::vector<Problem> find_copies(const std::vector<PlacedImage>& images) {
  std::vector<Problem> faults;
  find_equal(images, faults);
  find_similar(images, faults);
  return faults;
}

}  // namespace fovea
