#include "train/data/loader/cifar10.h"

#include "core/error.h"
#include "core/file.h"
#include "train/data/loader/array_dataset.h"

namespace fovea {
namespace {

// In the order of batches.meta.txt.
const std::vector<std::string> names{"airplane", "automobile", "bird",  "cat",  "deer",
                                     "dog",      "frog",       "horse", "ship", "truck"};

// A record is the label, then the red, the green and the blue values, each row by row.
constexpr int64_t side = 32, pixels = side * side, record = 1 + 3 * pixels;

std::string read_records(const std::string& path) {
  require(is_file(path),
          "{} does not exist: give the folder of the binary version, cifar-10-batches-bin, which holds it",
          path);
  std::string content = read_file(path);
  require(!content.empty() && int64_t(content.size()) % record == 0,
          "{} has {} bytes, but records of {} were expected: the file is cut short or damaged", path,
          content.size(), record);
  return content;
}

}  // namespace

std::shared_ptr<const Dataset> cifar10(const std::string& folder, bool train) {
  std::vector<std::string> files{folder + "/test_batch.bin"}, contents;
  if (train) {
    files.clear();
    for (int i = 1; i <= 5; ++i) files.push_back(fmt::format("{}/data_batch_{}.bin", folder, i));
  }
  int64_t count = 0;
  for (const std::string& file : files) {
    contents.push_back(read_records(file));
    count += int64_t(contents.back().size()) / record;
  }
  const Tensor images({count, side, side, 3}, DType::uint8), labels({count}, DType::int32);
  uint8_t* pixel = images.data<uint8_t>();
  int32_t* label = labels.data<int32_t>();
  for (size_t f = 0; f < files.size(); ++f)
    for (size_t at = 0; at < contents[f].size(); at += size_t(record)) {
      const char* planes = contents[f].data() + at;
      *label = uint8_t(*planes++);
      require(size_t(*label) < names.size(), "{} has the label {} at offset {}: labels are 0 to 9", files[f],
              *label, at);
      ++label;
      for (int64_t i = 0; i < pixels; ++i)
        for (int64_t c = 0; c < 3; ++c) *pixel++ = uint8_t(planes[c * pixels + i]);
    }
  return array_dataset(images, labels, {.class_names = names, .unit_range = true});
}

}  // namespace fovea
