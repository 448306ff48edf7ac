#include "train/evaluation/voc_evaluation.h"

#include <catch2/catch.hpp>
#include <cmath>

using namespace fovea;
using Catch::Contains;

namespace {

// Boxes of 9 x 9 (10 x 10 pixels with both edges) in a row of one image: only class 0 has objects.
struct Row {
  DetectionDataset truth;
  DatasetDetections detections;
  explicit Row(int objects) {
    truth.name = "row";
    truth.class_names = {"cell", "platelet"};
    truth.category_ids = {1, 2};
    truth.images = {{"a.jpg", 1, 500, 500, {}}};
    for (int i = 0; i < objects; ++i) truth.images[0].annotations.push_back({20.0 * i, 0, 9, 9, 81, 0});
    detections.resize(1);
  }
  void detect(double x, double score, int label = 0) { detections[0].push_back({x, 0, 9, 9, score, label}); }
  VocFigures::Class evaluate(double iou_threshold = 0.5) const {
    return evaluate_voc(truth, detections, iou_threshold).classes[0];
  }
};

}  // namespace

TEST_CASE("VOC average precision by hand") {
  Row row(4);
  row.detect(0, 0.9);    // found
  row.detect(300, 0.8);  // nothing there
  row.detect(20, 0.7);   // found
  row.detect(21, 0.6);   // the same again
  row.detect(40, 0.5);   // found; the fourth object never is
  const VocFigures figures = evaluate_voc(row.truth, row.detections);
  const VocFigures::Class& cell = figures.classes[0];
  CHECK(cell.objects == 4);
  CHECK(cell.true_positives == 3);
  // Precision 1, 2/3, 3/5 at recall 1/4, 2/4, 3/4; of the 11 recalls 3, 3 and 2 lie below these.
  CHECK(cell.ap == Approx((1 + 2 / 3.0 + 3 / 5.0) / 4).epsilon(1e-12));
  CHECK(cell.ap_11_points == Approx((3 + 3 * 2 / 3.0 + 2 * 3 / 5.0) / 11).epsilon(1e-12));
  CHECK(figures.classes[1].ap == -1);
  CHECK(figures.classes[1].ap_11_points == -1);
  CHECK(figures.mean_ap == cell.ap);
  CHECK(figures.mean_ap_11_points == cell.ap_11_points);
}

TEST_CASE("VOC interpolates with the best precision beyond") {
  Row row(2);
  row.detect(300, 0.9);
  row.detect(0, 0.8);
  row.detect(20, 0.7);
  CHECK(row.evaluate().ap == Approx(2 / 3.0));
  CHECK(row.evaluate().ap_11_points == Approx(2 / 3.0));
}

TEST_CASE("VOC reaches a recall of 6 tenths with 9 of 15 objects") {
  Row row(15);
  for (int i = 0; i < 9; ++i) row.detect(20.0 * i, 0.9);
  CHECK(row.evaluate().ap == Approx(0.6));
  CHECK(row.evaluate().ap_11_points == Approx(7 / 11.0));  // recall 0 to 0.6
}

TEST_CASE("VOC counts both edge pixels of a box") {
  Row row(1);
  row.detect(5, 0.9);  // 5 of 10 columns shared: 50 / 150 pixels; without the edges 4 of 9: 36 / 126
  CHECK(row.evaluate(1 / 3.0).true_positives == 1);
  CHECK(row.evaluate(0.334).true_positives == 0);
  row.detections[0][0].x = 9;  // the last column is shared
  CHECK(row.evaluate(10 / 190.0).true_positives == 1);
  row.detections[0][0].x = 10;
  CHECK(row.evaluate(1e-9).true_positives == 0);
  row.detections[0][0].x = 0;
  CHECK(row.evaluate(1).true_positives == 1);
}

TEST_CASE("VOC matches the object of highest overlap only") {
  Row row(1);
  row.truth.images[0].annotations.push_back({4, 0, 9, 9, 81, 0});
  row.detect(1, 0.9);  // takes the first
  row.detect(1, 0.8);  // overlaps the second enough, but the first more
  CHECK(row.evaluate(0.4).true_positives == 1);
  row.detections[0][1].x = 3;
  CHECK(row.evaluate(0.4).true_positives == 2);
}

TEST_CASE("VOC passes over difficult objects and crowds") {
  Row row(3);
  row.truth.images[0].annotations[0].difficult = true;
  row.truth.images[0].annotations[1].crowd = true;
  row.detect(0, 0.9);
  row.detect(1, 0.9);
  row.detect(20, 0.9);
  row.detect(40, 0.8);
  CHECK(row.evaluate().objects == 1);
  CHECK(row.evaluate().true_positives == 1);
  CHECK(row.evaluate().ap == 1);
}

TEST_CASE("VOC keeps classes apart and equal scores in order") {
  Row row(1);
  row.detect(0, 0.9, 1);
  CHECK(row.evaluate().true_positives == 0);
  CHECK(row.evaluate().ap == 0);
  CHECK(evaluate_voc(row.truth, row.detections).classes[1].ap == -1);
  row.detections[0].clear();
  row.detect(0, 0.5);
  row.detect(300, 0.5);
  CHECK(row.evaluate().ap == 1);
  std::swap(row.detections[0][0], row.detections[0][1]);
  CHECK(row.evaluate().ap == 0.5);
  CHECK(evaluate_voc(Row(0).truth, {{}}).mean_ap == -1);
}

TEST_CASE("VOC's evaluation refuses invalid detections") {
  Row row(1);
  CHECK_THROWS_WITH(row.evaluate(0), Contains("iou_threshold is 0"));
  CHECK_THROWS_WITH(row.evaluate(NAN), Contains("iou_threshold is nan"));
  CHECK_THROWS_WITH(row.evaluate(50), Contains("iou_threshold is 50"));
  row.detect(NAN, 0.9);
  CHECK_THROWS_WITH(row.evaluate(), Contains("detection 0 of image 1 (a.jpg) has x nan"));
  row.detections.clear();
  CHECK_THROWS_WITH(row.evaluate(), Contains("row has 1 images, but there are 0 lists"));
}
