#include "evidence.h"

#include <54_right_for_small_batches.cu>

using namespace fovea;
using namespace fovea::learn;

namespace {

using Kernel = void (*)(const int*, int64_t, int, int, int, int64_t*);

// Images of 640 x 640 pixels with 24 channels.
std::vector<int64_t> offsets_of(Kernel kernel, const std::vector<int>& picked) {
  const int64_t count = int64_t(picked.size()) / 4;
  const Buffer<int> in(picked);
  const Buffer<int64_t> offsets(count);
  cuda::launch(kernel, {4, 64}, in.data(), count, 640, 640, 24, offsets.data());
  return offsets.values();
}
int64_t offset_of(int64_t image, int64_t row, int64_t column, int64_t channel) {
  return ((image * 640 + row) * 640 + column) * 24 + channel;
}

// Of the last number of each image.
int first_wrong_image() {
  std::vector<int> picked;
  for (int image = 0; image < 256; ++image) picked.insert(picked.end(), {image, 639, 639, 23});
  const std::vector<int64_t> offsets = offsets_of(broken, picked);
  int image = 0;
  while (image < 256 && offsets[image] == offset_of(image, 639, 639, 23)) ++image;
  return image;
}

void expect_offset(int image) {
  const int64_t got = offsets_of(fixed, {image, 321, 7, 5})[0], expected = offset_of(image, 321, 7, 5);
  expect(got == expected, "the number (321, 7, 5) of image {} is at {}, and offsets has {}", image, expected,
         got);
}

}  // namespace

STEP("what is wrong") {
  expect_fault(fault, first_wrong_image() < 256 ? Fault::index_overflow : Fault::unknown);
}

STEP("which line") { expect_line(line, letter_of(line, "pixel * channels")); }

STEP("from which image on") {
  const int found = first_wrong_image();
  expect_number("first_image", first_image, found,
                first_image < found
                    ? "all offsets of that image are right"
                    : "a lower image has wrong offsets: its last number counts, not its first");
}

STEP("fixed: images of a batch of 256") {
  for (const int image : {0, 1, 127, 218, 255}) expect_offset(image);
}

STEP("fixed: beyond 2^32 numbers, which unsigned indices do not reach") {
  for (const int image : {437, 1000}) expect_offset(image);
}

STEP("fixed: beyond 2^31 pixels, where line a overflows as well") { expect_offset(6000); }
