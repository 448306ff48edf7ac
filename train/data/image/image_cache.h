#pragma once
#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "train/data/image/image.h"
#include "train/data/image/image_io.h"

namespace fovea {

// Keeps decoded images while they fit into a budget: every epoch reads the same ones, and decoding takes
// longer than preparing them. Once full it evicts nothing, because a cycle through more images than fit would
// otherwise evict each one before its next use.
class ImageCache {
 public:
  ImageCache(std::vector<std::string> files, int64_t bytes)
      : files_(std::move(files)), images_(files_.size()), left_(bytes) {}

  // May be called from many threads. Throws as read_image does.
  std::shared_ptr<const Image> get(size_t index) {
    {
      const std::lock_guard lock(mutex_);
      if (images_[index]) return images_[index];
    }
    auto image = std::make_shared<const Image>(read_image(files_[index]));
    const std::lock_guard lock(mutex_);
    const int64_t size = int64_t(image->pixels.size());
    if (!images_[index] && size <= left_) {
      left_ -= size;
      images_[index] = image;
    }
    return image;
  }

 private:
  std::vector<std::string> files_;
  std::vector<std::shared_ptr<const Image>> images_;
  int64_t left_;
  std::mutex mutex_;
};

}  // namespace fovea
