#pragma once
#include <array>
#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "train/data/image/image_io.h"
#include "train/data/problem.h"
#include "train/data/splits.h"

namespace fovea {

// Facts about an image, from decoding it.
struct ScannedImage {
  std::string error;        // why it cannot be decoded; empty if it can
  ImageHeader header;       // with the size that it was decoded to
  int64_t bytes = 0;        // of the file
  uint64_t bytes_hash = 0;  // equal files have equal hashes
  std::array<float, 256>
      look{};              // 16 x 16 means of its brightness, of mean 0 and length 1; 0 where all are equal
  uint64_t look_hash = 0;  // which of neighbouring 8 x 8 means is brighter: similar images differ in few bits
};

// Called with the number of images done so far, and the total.
using OnScanned = std::function<void(int64_t done, int64_t total)>;

// Decodes all files, on all threads.
std::vector<ScannedImage> scan_images(const std::vector<std::string>& files,
                                      const OnScanned& on_scanned = {});

// Pairs of images whose looks correlate by 0.97 or more, the earlier first.
std::vector<std::pair<size_t, size_t>> alike_pairs(const std::vector<const ScannedImage*>& scans);

// The faults of one image that open_dataset() does not find: it cannot be decoded, or its name has the
// extension of another format.
std::vector<Problem> image_faults(const LabelledImage& image, const ScannedImage& scan);

// An image and the split that it is in.
struct PlacedImage {
  std::string split;
  const LabelledImage* image;
  const ScannedImage* scan;
};

// Finds images that occur twice: files of equal bytes, in one split or in two; and in two splits also images
// whose looks correlate by 0.97 or more, as neighbouring frames of a film do. A model that was trained on one
// of them has learned the other.
std::vector<Problem> find_copies(const std::vector<PlacedImage>& images);

}  // namespace fovea
