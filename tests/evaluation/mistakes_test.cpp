#include "train/evaluation/mistakes.h"

#include <algorithm>
#include <array>
#include <catch2/catch.hpp>

#include "core/error.h"

using namespace fovea;
using Catch::Contains;

namespace {

// Images with boxes of 10 x 10 in a row, at the given x.
struct Scene {
  DetectionDataset truth;
  DatasetDetections detections;
  explicit Scene(size_t images = 1) : detections(images) {
    truth.name = "scene";
    truth.class_names = {"cat", "dog"};
    truth.category_ids = {1, 2};
    for (size_t i = 0; i < images; ++i)
      truth.images.push_back({fmt::format("images/{}.jpg", i), int64_t(i) + 1, 500, 50, {}});
  }
  void object(double x, int label, size_t image = 0) {
    truth.images[image].annotations.push_back({x, 0, 10, 10, 100, label});
  }
  void crowd(double x, double width, int label) {
    truth.images[0].annotations.push_back({x, 0, width, 10, 10 * width, label, true});
  }
  void detect(double x, double score, int label, size_t image = 0) {
    detections[image].push_back({x, 0, 10, 10, score, label});
  }
  Mistakes find(double threshold = 0) const { return find_mistakes(truth, detections, threshold); }
  std::vector<int64_t> counts(double threshold = 0) const { return find(threshold).confusion.counts; }
  std::vector<Outcome> outcomes() const {
    std::vector<Outcome> result;
    const Mistakes mistakes = find();
    for (const JudgedDetection& d : mistakes.images[0].detections) result.push_back(d.outcome);
    return result;
  }
};

constexpr int cat = 0, dog = 1;

}  // namespace

TEST_CASE("confusions by hand") {
  Scene s;
  s.object(0, cat);
  s.object(20, cat);
  s.object(40, dog);
  s.object(60, dog);
  s.object(80, dog);
  s.detect(0, 0.9, cat);     // right
  s.detect(1, 0.8, cat);     // again
  s.detect(21, 0.7, dog);    // a cat confused with a dog: IoU 9 / 11
  s.detect(40, 0.6, dog);    // right
  s.detect(66, 0.5, dog);    // inexact: IoU 4 / 16, and the dog is missed
  s.detect(200, 0.4, cat);   // nothing there
  s.detect(89.5, 0.3, dog);  // IoU 0.5 / 19.5 with a dog is nothing
  const Mistakes m = s.find();
  CHECK(m.confusion.rows == std::vector<std::string>{"cat", "dog", "nothing there"});
  CHECK(m.confusion.columns == std::vector<std::string>{"cat", "dog", "missed"});
  CHECK(m.confusion.counts == std::vector<int64_t>{1, 1, 0,    // cats
                                                   0, 1, 2,    // dogs
                                                   2, 2, 0});  // nothing
  CHECK(s.outcomes() == std::vector{Outcome::right, Outcome::again, Outcome::wrong_class, Outcome::right,
                                    Outcome::inexact, Outcome::nothing_there, Outcome::nothing_there});
  CHECK(m.images[0].missed == std::vector<size_t>{3, 4});
  CHECK(m.images[0].errors() == 2 + 1 + 4);
  CHECK(m.objects == 5);
  CHECK(m.precision() == Approx(2 / 7.0));
  CHECK(m.recall() == Approx(2 / 5.0));
  CHECK(m.f1() == Approx(2 * 2 / 12.0));
  CHECK(explain(m.images[0], s.truth.images[0], s.detections[0], s.truth.class_names) ==
        "2 missed (2 dog); 1 of the wrong class (cat taken for dog); 4 false alarms (cat found again, dog "
        "inexact, cat where nothing is, dog where nothing is)");
  // At a threshold, a score equal to it counts.
  CHECK(s.counts(0.6) == std::vector<int64_t>{1, 1, 0, 0, 1, 2, 1, 0, 0});
  CHECK(s.counts(0.61) == std::vector<int64_t>{1, 1, 0, 0, 0, 3, 1, 0, 0});
}

TEST_CASE("better scores are matched first, equal scores in the order of the list") {
  Scene s;
  s.object(0, cat);
  s.detect(2, 0.8, cat);
  s.detect(0, 0.8, cat);  // overlaps more, but has a lower score
  s.detect(1, 0.9, cat);
  const Mistakes m = s.find();
  REQUIRE(m.images[0].detections.size() == 3);
  CHECK(m.images[0].detections[0].detection == 2);
  CHECK(m.images[0].detections[0].outcome == Outcome::right);
  CHECK(m.images[0].detections[1].detection == 0);
  CHECK(m.images[0].detections[2].detection == 1);
  CHECK(m.images[0].count(Outcome::again) == 2);

  Scene
      between;  // two objects that a detection overlaps alike: the first is found, and the second by the next
  between.object(0, cat);
  between.object(4, cat);
  between.detect(2, 0.9, cat);
  between.detect(2, 0.9, cat);
  const auto judged = between.find().images[0].detections;
  CHECK(judged[0].truth == 0);
  CHECK(judged[1].truth == 1);
  CHECK(judged[1].outcome == Outcome::right);
}

TEST_CASE("an object of the same class precedes one of another, whatever the overlaps") {
  Scene s;
  s.object(0, dog);
  s.object(3, cat);
  s.detect(0, 0.9, cat);  // IoU 1 with the dog, 7 / 13 with the cat
  s.detect(0, 0.8, dog);
  CHECK(s.counts() == std::vector<int64_t>{1, 0, 0, 0, 1, 0, 0, 0, 0});
  // A wrong class never takes the object from a detection of the right one with a worse score.
  Scene late;
  late.object(0, dog);
  late.detect(0, 0.9, cat);
  late.detect(0, 0.2, dog);
  CHECK(late.counts() == std::vector<int64_t>{0, 0, 0, 0, 1, 0, 1, 0, 0});
}

TEST_CASE("an overlap of exactly one half is enough") {
  Scene s;
  s.truth.images[0].annotations.push_back({0, 0, 10, 10, 100, cat});
  s.detections[0].push_back({0, 0, 20, 10, 0.9, cat});
  CHECK(s.outcomes() == std::vector{Outcome::right});
  s.detections[0][0].width = 20.001;
  CHECK(s.outcomes() == std::vector{Outcome::inexact});
}

TEST_CASE("crowd regions absorb detections of their class and are never missed") {
  Scene s;
  s.crowd(0, 100, cat);
  s.object(0, cat);
  s.detect(1, 0.9, cat);   // finds the object
  s.detect(2, 0.8, cat);   // in the crowd, not "again"
  s.detect(50, 0.7, cat);  // in the crowd
  s.detect(95, 0.6, cat);  // exactly half in the crowd
  s.detect(96, 0.5, cat);  // less
  s.detect(50, 0.4, dog);  // of another class
  CHECK(s.outcomes() == std::vector{Outcome::right, Outcome::ignored, Outcome::ignored, Outcome::ignored,
                                    Outcome::nothing_there, Outcome::nothing_there});
  CHECK(s.counts() == std::vector<int64_t>{1, 0, 0, 0, 0, 0, 1, 1, 0});
  CHECK(s.find().objects == 1);
  CHECK(s.find().precision() == Approx(1 / 3.0));
}

TEST_CASE("no ground truth, no detections, neither") {
  Scene none;
  CHECK(none.counts() == std::vector<int64_t>(9));
  CHECK(none.find().f1() == 0);
  CHECK(none.find().precision() == 0);
  CHECK(none.find().recall() == 0);
  CHECK(best_score_threshold(none.truth, none.detections) == 0.5);
  Scene no_truths;
  no_truths.detect(0, 0.9, dog);
  CHECK(no_truths.counts() == std::vector<int64_t>{0, 0, 0, 0, 0, 0, 0, 1, 0});
  CHECK(best_score_threshold(no_truths.truth, no_truths.detections) == 0.5);
  Scene no_detections;
  no_detections.object(0, dog);
  CHECK(no_detections.counts() == std::vector<int64_t>{0, 0, 0, 0, 0, 1, 0, 0, 0});
  CHECK(worst_images(no_detections.find(), 5) == std::vector<size_t>{0});
  CHECK(worst_images(none.find(), 5).empty());
  CHECK_THROWS_WITH(find_mistakes(none.truth, {}, 0.5), Contains("0 lists of detections"));
}

TEST_CASE("the threshold is that of the best F1") {
  Scene s;
  for (int i = 0; i < 4; ++i) s.object(20.0 * i, cat);
  s.detect(0, 0.9, cat);     // F1 2 / 5
  s.detect(200, 0.8, cat);   // 2 / 6
  s.detect(20, 0.7, cat);    // 4 / 7
  s.detect(40, 0.6, cat);    // 6 / 8, but the next has the same score:
  s.detect(220, 0.6, cat);   // 6 / 9
  s.detect(240, 0.55, cat);  // 6 / 10
  s.detect(60, 0.5, cat);    // 8 / 11
  s.detect(260, 0.4, cat);   // 8 / 12, equal to the 6 / 9 above
  CHECK(best_score_threshold(s.truth, s.detections) == 0.5);
  CHECK(s.find(0.5).f1() == Approx(8 / 11.0));
  s.detections[0][6].x = 280;  // the fourth is not found: now 6 / 9 is best, both of that score in
  CHECK(best_score_threshold(s.truth, s.detections) == 0.6);
  CHECK(s.find(0.6).f1() == Approx(6 / 9.0));
}

TEST_CASE("the worst images come first, equals in their order, those without errors not at all") {
  Scene s(5);
  s.object(0, cat, 0);                             // 1 error: missed
  s.object(0, cat, 1), s.detect(0, 0.9, cat, 1);   // right
  s.object(0, cat, 2), s.detect(50, 0.9, cat, 2);  // 2 errors: missed, false alarm
  s.object(0, cat, 3), s.detect(0, 0.9, dog, 3);   // 1 error: wrong class
  s.detect(0, 0.9, dog, 4), s.detect(70, 0.9, cat, 4), s.detect(90, 0.1, cat, 4);  // 2 of at least 0.5
  const Mistakes m = s.find(0.5);
  CHECK(worst_images(m, 10) == std::vector<size_t>{2, 4, 0, 3});
  CHECK(worst_images(m, 3) == std::vector<size_t>{2, 4, 0});
  CHECK(m.missed() == 2);
  CHECK(m.false_alarms() == 3);
  CHECK(m.count(Outcome::wrong_class) == 1);
}

TEST_CASE("sizes are counted by class, and their AP by class averages to COCO's") {
  Scene s;
  const auto square = [&](double side, int label) {
    s.truth.images[0].annotations.push_back({4 * side, 0, side, side, side * side, label});
  };
  const auto found = [&](double side, int label) {
    s.detections[0].push_back({4 * side, 0, side, side, 0.5, label});
  };
  square(10, cat), square(40, cat), square(32, cat);  // 32 x 32 is small and medium
  square(20, dog), square(100, dog);
  found(10, cat), found(100, dog);
  s.crowd(900, 50, dog);
  const CocoFigures figures = evaluate_coco(s.truth, s.detections);
  CHECK(figures.classes[cat].objects_by_size == std::array<int64_t, 3>{2, 2, 0});
  CHECK(figures.classes[dog].objects_by_size == std::array<int64_t, 3>{1, 0, 1});
  const double half = 51 / 101.0;  // one of two found: precision 1 up to recall 0.5
  CHECK(figures.classes[cat].ap_by_size[0] == Approx(half));
  CHECK(figures.classes[cat].ap_by_size[1] == 0);
  CHECK(figures.classes[cat].ap_by_size[2] == -1);
  CHECK(figures.classes[dog].ap_by_size[0] == 0);
  CHECK(figures.classes[dog].ap_by_size[1] == -1);
  CHECK(figures.classes[dog].ap_by_size[2] == Approx(1));
  CHECK(figures.ap_small == Approx(half / 2));
  CHECK(figures.ap_medium == 0);
  CHECK(figures.ap_large == Approx(1));
}

TEST_CASE("the diagonal is what COCO's AP50 counts as found") {
  Scene s(20);
  uint64_t state = 1;
  const auto below = [&](int n) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return int((state >> 33) % uint64_t(n));
  };
  const auto place = [&] { return 0.001 * below(60000); };  // overlaps are never equal, so ties do not matter
  for (size_t i = 0; i < 20; ++i) {
    for (int k = below(6); k > 0; --k) s.object(place(), below(2), i);
    for (int k = below(9); k > 0; --k) s.detect(place(), 0.01 * below(100), below(2), i);
  }
  // Recall at IoU 0.5 with all detections is the last point of the precision-recall curve that is not 0.
  const Mistakes m = s.find();
  const CocoFigures figures = evaluate_coco(s.truth, s.detections);
  for (size_t c = 0; c < 2; ++c) {
    const auto& precision = figures.classes[c].precision50;
    const auto reached = std::count_if(precision.begin(), precision.end(), [](double p) { return p > 0; });
    const double recall = double(m.confusion.at(c, c)) / double(figures.classes[c].objects);
    CHECK(m.confusion.row_sum(c) == figures.classes[c].objects);
    CHECK(reached == int64_t(recall * 100 + 1e-9) + 1);
  }
}

TEST_CASE("equal mistakes are counted, the most frequent first, and long lists are cut") {
  Scene s;
  s.object(0, dog);
  for (int i = 1; i < 7; ++i) s.object(20.0 * i, cat);
  const auto why = [&] {
    const Mistakes m = s.find();
    return explain(m.images[0], s.truth.images[0], s.detections[0], s.truth.class_names);
  };
  CHECK(why() == "7 missed (6 cat, dog)");
  s.truth.class_names = {"cat", "dog", "cow", "hen", "pig"};
  for (int i = 2; i < 5; ++i) s.object(300 + 20.0 * i, i);
  CHECK(why() == "10 missed (6 cat, dog, cow, hen, ...)");
}

TEST_CASE("confusions of whole images, the most frequent first") {
  const std::vector<int> truths{0, 0, 0, 1, 1, 2, 2, 2}, found{0, 1, 1, 1, 0, 2, 0, 0};
  const ConfusionMatrix m = confusion_matrix({"a", "b", "c"}, truths, found);
  CHECK(m.counts == std::vector<int64_t>{1, 2, 0, 1, 1, 0, 2, 0, 1});
  CHECK(m.row_sum(2) == 3);
  const auto cells = frequent_confusions(m, 2);
  REQUIRE(cells.size() == 2);
  CHECK((cells[0].row == 0 && cells[0].column == 1 && cells[0].count == 2));
  CHECK((cells[1].row == 2 && cells[1].column == 0 && cells[1].count == 2));
  CHECK(frequent_confusions(m, 9).size() == 3);
  CHECK_THROWS_WITH(confusion_matrix({"a"}, truths, std::vector<int>{0}), Contains("8 truths and 1 answers"));
  CHECK_THROWS_WITH(confusion_matrix({"a"}, truths, found),
                    Contains("entry 1 has label 1, but there are 1 classes"));
}
