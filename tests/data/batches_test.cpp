#include "train/data/loader/batches.h"

#include <unistd.h>

#include <atomic>
#include <catch2/catch.hpp>
#include <cstdio>
#include <numeric>
#include <set>

#include "core/error.h"
#include "core/file.h"
#include "tests/support/test_data.h"
#include "train/data/image/image_io.h"
#include "train/data/loader/array_dataset.h"
#include "train/data/loader/image_folder_dataset.h"
#include "train/data/random_stream.h"
#include "train/data/sampler.h"

using namespace fovea;
using Catch::Contains;

namespace {

// Example i is i, and a number from `random`.
class Numbers : public Dataset {
 public:
  explicit Numbers(int64_t size) : size_(size) {}
  int64_t size() const override { return size_; }
  Example get(int64_t index, Random& random) const override {
    ++made;
    return {from_values({2}, {double(index), random.uniform()}), class_label(int(index))};
  }
  mutable std::atomic<int64_t> made = 0;

 private:
  int64_t size_;
};

std::shared_ptr<const Dataset> numbers(int64_t size) { return std::make_shared<Numbers>(size); }

// All numbers of an epoch: the targets, and the inputs.
struct Epoch {
  std::vector<double> labels, inputs;
  std::vector<int64_t> sizes;
  bool operator==(const Epoch&) const = default;
};
Epoch next_epoch(Batches& loader) {
  Epoch epoch;
  for (const auto& [inputs, targets] : loader) {
    const auto x = inputs.values(), t = targets.values();
    epoch.inputs.insert(epoch.inputs.end(), x.begin(), x.end());
    epoch.labels.insert(epoch.labels.end(), t.begin(), t.end());
    epoch.sizes.push_back(targets.size(0));
  }
  return epoch;
}

// Two classes with three images each, of different sizes and colours.
void write_images(const TemporaryFolder& folder) {
  for (int i = 0; i < 6; ++i) {
    Image image(20 + i, 30);
    for (size_t p = 0; p < image.pixels.size(); ++p) image.pixels[p] = uint8_t(40 * i + int(p % 37));
    const std::string name = i % 2 ? "dog" : "cat";
    create_folder(folder / name);
    write_image(folder / (name + "/" + std::to_string(i) + ".png"), image);
  }
}

}  // namespace

TEST_CASE("an epoch in order, its last batch smaller or left out") {
  Batches loader = batches(numbers(7), {.batch_size = 3});
  CHECK(loader.size() == 3);
  const Epoch epoch = next_epoch(loader);
  CHECK(epoch.labels == std::vector<double>{0, 1, 2, 3, 4, 5, 6});
  CHECK(epoch.sizes == std::vector<int64_t>{3, 3, 1});
  for (const auto& [inputs, targets] : batches(numbers(6), {.batch_size = 3})) {
    CHECK(inputs.shape() == Shape{3, 2});
    CHECK(targets.shape() == Shape{3});
    CHECK(targets.dtype() == DType::int32);
  }
  Batches whole = batches(numbers(7), {.batch_size = 3, .drop_last = true});
  CHECK(whole.size() == 2);
  CHECK(next_epoch(whole).sizes == std::vector<int64_t>{3, 3});
  CHECK(batches(numbers(6), {.batch_size = 3}).size() == 2);
}

TEST_CASE("each traversal is the next epoch, and an epoch is a function of the seed and its number") {
  const auto data = numbers(50);
  Batches loader = batches(data, {.batch_size = 8, .shuffle = true, .seed = 3});
  CHECK(loader.epoch() == 0);
  const Epoch first = next_epoch(loader), second = next_epoch(loader);
  CHECK(loader.epoch() == 2);
  for (const Epoch& epoch : {first, second})
    CHECK(std::set<double>(epoch.labels.begin(), epoch.labels.end()).size() == 50);
  CHECK(first.labels != second.labels);
  CHECK(first.inputs != second.inputs);

  Batches again = batches(data, {.batch_size = 8, .shuffle = true, .seed = 3, .epoch = 1});
  CHECK(next_epoch(again) == second);
  Batches other = batches(data, {.batch_size = 8, .shuffle = true, .seed = 4});
  CHECK(next_epoch(other).labels != first.labels);
  // The examples themselves, whatever the size of the batches; the order is that of a training.
  Batches halves = batches(data, {.batch_size = 25, .shuffle = true, .seed = 3});
  CHECK(next_epoch(halves).inputs == first.inputs);
  const Sampler sampler(50, [](int64_t epoch) { return Random(3, stream_of(RandomStream::order, epoch)); });
  const auto order = sampler.images(50, 50);
  CHECK(std::equal(order.begin(), order.end(), second.labels.begin()));
  // Without shuffling only the numbers from `random` change.
  Batches ordered = batches(data, {.batch_size = 8});
  const Epoch a = next_epoch(ordered), b = next_epoch(ordered);
  CHECK(a.labels == b.labels);
  CHECK(a.inputs != b.inputs);
}

TEST_CASE("batches have the same bits for any number of workers") {
  const TemporaryFolder folder;
  write_images(folder);
  std::vector<Epoch> epochs;
  for (const int workers : {1, 3}) {
    const auto data = image_folder(
        folder.path(), {.size = 16, .random_crop = true, .horizontal_flip = true, .colours = {.hue = 0.2}});
    Batches loader = batches(data, {.batch_size = 4, .shuffle = true, .seed = 1, .workers = workers});
    for (int i = 0; i < 3; ++i) epochs.push_back(next_epoch(loader));
  }
  for (size_t i = 0; i < 3; ++i) CHECK(epochs[i] == epochs[i + 3]);
  CHECK(epochs[0].inputs.size() == 6 * 16 * 16 * 3);
  CHECK(epochs[0].inputs != epochs[1].inputs);
}

TEST_CASE("a traversal can be left, and may outlive its loader") {
  const auto data = std::make_shared<Numbers>(100000);
  {
    std::optional<Batches::Iterator> at;
    {
      Batches loader = batches(data, {.batch_size = 1, .workers = 2});
      at = loader.begin();
    }
    ++*at;
    CHECK((*at)->targets.item() == 1);
  }
  CHECK(data->made < 20);
}

TEST_CASE("images by class; an unreadable one is an error that names it") {
  const TemporaryFolder folder;
  write_images(folder);
  const auto data = image_folder(folder.path(), {.size = 8});
  CHECK(data->size() == 6);
  CHECK(data->class_names() == std::vector<std::string>{"cat", "dog"});
  Random random(1), other(2);
  const Example example = data->get(3, random);
  CHECK(example.input.shape() == Shape{8, 8, 3});
  CHECK(example.target.item() == 1);
  CHECK(example.input.values() == data->get(3, other).input.values());
  const auto varied = image_folder(folder.path(), {.size = 8, .random_crop = true});
  CHECK(varied->get(3, random).input.values() != varied->get(3, other).input.values());
  CHECK(image_folder(folder.path(), {.class_names = {"dog", "cat"}})->get(0, random).target.item() == 0);
  const ImageFolderOptions with_a_cow{.class_names = {"dog", "cow", "cat"}, .print_warnings = false};
  CHECK(image_folder(folder.path(), with_a_cow)->listing().warnings.size() == 1);
  CHECK_THROWS_WITH(image_folder(folder.path(), {.size = 0}), Contains("`size` is 0"));

  // A prediction starts from the same numbers.
  const Tensor single = read_image_for_classifier(folder / "dog/1.png", 8);
  CHECK(single.shape() == Shape{1, 8, 8, 3});
  CHECK(data->listing().images[3].file == folder / "dog/1.png");
  CHECK(single.values() == example.input.values());
  CHECK_THROWS_WITH(read_image_for_classifier(folder / "dog/1.png", 0), Contains("`size` is 0"));
  CHECK_THROWS_WITH(read_image_for_classifier(folder / "none.png", 8), Contains("none.png"));

  write_file_atomically(folder / "cat/9.png", "no image");
  Batches loader = batches(image_folder(folder.path()), {.batch_size = 3, .workers = 2});
  int64_t seen = 0;
  CHECK_THROWS_WITH(
      [&] {
        for (const auto& [inputs, targets] : loader) seen += inputs.size(0);
      }(),
      Contains(folder / "cat/9.png"));
  CHECK(seen == 3);
}

TEST_CASE("the faults of a folder of images are printed once, unless they are switched off") {
  const TemporaryFolder folder;
  write_images(folder);
  create_folder(folder / "empty");
  write_file_atomically(folder / "cat/notes.txt", "no image");
  const auto printed = [&](const ImageFolderOptions& options) {
    const std::string into = folder / "printed";
    std::fflush(stderr);
    const int before = ::dup(STDERR_FILENO);
    REQUIRE(std::freopen(into.c_str(), "w", stderr));
    image_folder(folder.path(), options);
    std::fflush(stderr);
    ::dup2(before, STDERR_FILENO);
    ::close(before);
    return read_file(into);
  };
  CHECK(printed({.print_warnings = false}).empty());
  const std::string text = printed({});
  CHECK(text.find("warning: " + (folder / "empty") + " holds no image: it is not a class\n") !=
        std::string::npos);
  CHECK(text.find("the first is notes.txt\n") != std::string::npos);
  CHECK(printed({}).empty());
}

TEST_CASE("batches refuse invalid data and options") {
  CHECK_THROWS_WITH(batches(numbers(0)), Contains("the data set has no example"));
  CHECK_THROWS_WITH(batches(nullptr), Contains("the data set has no example"));
  CHECK_THROWS_WITH(batches(numbers(3), {.batch_size = 0}), Contains("`batch_size` is 0: give 1 or more"));
  CHECK_THROWS_WITH(batches(numbers(3), {.workers = 0}), Contains("`workers` is 0"));
  CHECK_THROWS_WITH(batches(numbers(3), {.epoch = -1}), Contains("`epoch` is -1"));
  CHECK_THROWS_WITH(batches(numbers(3), {.batch_size = 4, .drop_last = true}),
                    Contains("`drop_last` leaves no batch: `batch_size` is 4, and there are 3 examples"));

  struct Odd : Dataset {
    int64_t size() const override { return 3; }
    Example get(int64_t index, Random&) const override {
      if (index == 2) return {zeros({4}), Tensor()};
      return {zeros({4}), index == 0 ? class_label(0) : zeros({2})};
    }
  };
  const auto odd = std::make_shared<Odd>();
  CHECK_THROWS_WITH(batches(odd).begin(), Contains("the target of example 1 is 2 float32, but the batch "
                                                   "begins with one that is scalar int32"));
  Batches single = batches(odd, {.batch_size = 1});
  auto at = single.begin();
  ++at;
  CHECK_THROWS_WITH(++at, Contains("the target of example 2 is no tensor"));
}
