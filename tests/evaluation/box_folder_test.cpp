#include "train/evaluation/box_folder.h"

#include <catch2/catch.hpp>

#include "core/file.h"
#include "tests/support/test_data.h"
#include "train/evaluation/voc_evaluation.h"

using namespace fovea;
using Catch::Contains;

namespace {

struct Folders {
  TemporaryFolder folder;
  Folders() {
    create_folder(folder / "truth");
    create_folder(folder / "found");
  }
  void write(const std::string& name, const std::string& text) const {
    write_file_atomically(folder / name, text);
  }
  auto read() const { return read_box_folders(folder / "truth", folder / "found"); }
};

}  // namespace

TEST_CASE("the published table of VOC average precision") {
  const auto folder = test_data("eval_voc");
  if (!folder) {
    WARN("eval_voc is missing: set FOVEA_TEST_DATA");
    return;
  }
  const auto [truth, detections] = read_box_folders(*folder + "/gts", *folder + "/dets");
  struct Row {
    double threshold, ap, ap_11_points;
    int64_t true_positives;
  };
  for (const Row& row : {Row{0.1, 0.3371980676, 0.3689064559, 9}, Row{0.3, 0.2456866805, 0.2683982684, 7},
                         Row{0.5, 0.0222222222, 0.0303030303, 1}, Row{0.75, 0, 0, 0}}) {
    const VocFigures figures = evaluate_voc(truth, detections, row.threshold);
    REQUIRE(figures.classes.size() == 1);
    CAPTURE(row.threshold);
    CHECK(figures.classes[0].ap == Approx(row.ap).margin(1e-10).epsilon(0));
    CHECK(figures.classes[0].ap_11_points == Approx(row.ap_11_points).margin(1e-10).epsilon(0));
    CHECK(figures.classes[0].true_positives == row.true_positives);
    CHECK(figures.classes[0].objects == 15);
  }
}

TEST_CASE("folders of boxes are read by name") {
  const Folders f;
  f.write("truth/b.txt", "dog 1 2 3 4\n\ncat 5 6 7 8.5\n");
  f.write("truth/a.txt", "");
  f.write("found/b.txt", "cat 0.5 5 6 7 8\nbird 0.25 0 0 1 1\n");
  const auto [truth, detections] = f.read();
  REQUIRE(truth.images.size() == 2);
  CHECK(truth.class_names == std::vector<std::string>{"dog", "cat", "bird"});
  CHECK(truth.images[0].annotations.empty());
  CHECK(truth.images[1].annotations[1].height == 8.5);
  CHECK(truth.images[1].annotations[1].area == 7 * 8.5);
  CHECK(detections[0].empty());
  REQUIRE(detections[1].size() == 2);
  CHECK(detections[1][0].label == 1);
  CHECK(detections[1][0].score == 0.5);
  CHECK(detections[1][1].label == 2);
}

TEST_CASE("folders of boxes that are wrong are refused by file, line and field") {
  const Folders f;
  CHECK_THROWS_WITH(f.read(), Contains("truth has no .txt file"));
  CHECK_THROWS_WITH(read_box_folders(f.folder / "nowhere", f.folder / "found"),
                    Contains("nowhere cannot be read"));
  f.write("truth/a.txt", "dog 1 2 3 4\n");
  const auto refuses = [&](const std::string& line, const std::string& message) {
    f.write("found/a.txt", line);
    CHECK_THROWS_WITH(f.read(), Contains(message));
  };
  refuses("dog 0.5 1 2 3\n", "a.txt line 1 has no height");
  refuses("\ndog 0.5 1 two 3 4\n", "a.txt line 2: the y 'two' is not a number");
  refuses("dog 0.5 1 nan 3 4\n", "the y 'nan' is not a number");
  refuses("dog 1.5 1 2 3 4\n", "the score is 1.5");
  refuses("dog 0.5 1 2 0 4\n", "the box is 0 x 4");
  refuses("dog 0.5 1 2 3 4 5\n", "has '5' after the last field");
  f.write("found/a.txt", "dog 0.5 1 2 3 4\n");
  f.write("found/z.txt", "dog 0.5 1 2 3 4\n");
  CHECK_THROWS_WITH(f.read(), Contains("z.txt has detections for an image"));
}
