#include "train/evaluation/classification_metrics.h"

#include <catch2/catch.hpp>
#include <limits>
#include <sstream>

#include "core/error.h"
#include "ops/shape_ops.h"

using namespace fovea;
using Catch::Contains;

namespace {

constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();

Tensor labels_of(const std::vector<double>& labels) {
  return from_values({int64_t(labels.size())}, labels, DType::int32);
}

}  // namespace

TEST_CASE("accuracy, top-k accuracy and confusions by hand") {
  const Tensor logits = from_values({4, 3}, {3, 2, 1,  //
                                             1, 2, 3,  //
                                             0, 5, 1,  //
                                             9, 1, 2});
  const Tensor labels = labels_of({0, 1, 1, 1});
  CHECK(accuracy(logits, labels) == 0.5);
  CHECK(top_k_accuracy(logits, labels, 2) == 0.75);
  CHECK(top_k_accuracy(logits, labels, 3) == 1);
  CHECK(top_k_accuracy(logits, labels, 5) == 1);
  const ConfusionMatrix m = confusion_matrix(logits, labels, {"a", "b", "c"});
  CHECK(m.counts == std::vector<int64_t>{1, 0, 0, 1, 1, 1, 0, 0, 0});
  CHECK(m.rows == std::vector<std::string>{"a", "b", "c"});
  CHECK(confusion_matrix(logits, labels).columns == std::vector<std::string>{"0", "1", "2"});

  ConfusionMatrix batches;  // added up
  for (int i = 0; i < 2; ++i) batches += m;
  CHECK(batches.counts == std::vector<int64_t>{2, 0, 0, 2, 2, 2, 0, 0, 0});
  CHECK(batches.rows == m.rows);
  CHECK_THROWS_WITH(batches += confusion_matrix(logits, labels), Contains("0, 1, 2") && Contains("a, b, c"));

  for (const DType dtype : {DType::float64, DType::bfloat16}) {
    CHECK(accuracy(cast(logits, dtype), labels) == 0.5);
    CHECK(accuracy(cast(logits, dtype).to(Device::cuda), labels.to(Device::cuda)) == 0.5);
  }
  const Tensor maps = logits.viewed_as({1, 2, 2, 3}), masks = labels.viewed_as({1, 2, 2});
  CHECK(accuracy(maps, masks) == 0.5);
  CHECK(confusion_matrix(maps, masks).counts == m.counts);
}

TEST_CASE("a confusion matrix is printed as a table") {
  ConfusionMatrix m({"cat", "dög"}, {"cat", "dög", "missed"});
  m.at(0, 0) = 12, m.at(0, 1) = 1, m.at(1, 1) = 1000;
  const std::string table =
      "truth \\ found  cat   dög  missed\n"
      "cat             12     1       0\n"
      "dög              0  1000       0";
  CHECK(fmt::format("{}", m) == table);
  std::ostringstream stream;
  stream << m;
  CHECK(stream.str() == table);
}

TEST_CASE("of equal scores the first class counts, and a NaN is never right") {
  const Tensor equal = zeros({3, 3}), labels = labels_of({0, 1, 2});
  CHECK(accuracy(equal, labels) == Approx(1. / 3));
  CHECK(top_k_accuracy(equal, labels, 2) == Approx(2. / 3));
  CHECK(confusion_matrix(equal, labels).counts == std::vector<int64_t>{1, 0, 0, 1, 0, 0, 1, 0, 0});
  CHECK(accuracy(full({3, 3}, not_a_number), labels) == 0);
  CHECK(accuracy(from_values({2, 2}, {not_a_number, 1, 2, not_a_number}), labels_of({1, 0})) == 0);
  CHECK_THROWS_WITH(confusion_matrix(from_values({2, 2}, {0, 1, 2, not_a_number}), labels_of({1, 0})),
                    Contains("the scores of label 1 (counted from 0) hold a NaN"));
}

TEST_CASE("figures of a classifier refuse what does not fit") {
  const Tensor logits = zeros({2, 3});
  CHECK_THROWS_WITH(accuracy(logits, labels_of({0, 1, 2})),
                    Contains("the logits are 2x3 and the labels 3 int32: give int32 labels"));
  CHECK_THROWS_WITH(accuracy(logits, zeros({2})), Contains("the labels 2 float32"));
  CHECK_THROWS_WITH(accuracy(zeros(Shape()), labels_of({0})), Contains("the logits are scalar"));
  CHECK_THROWS_WITH(accuracy(zeros({0, 3}), labels_of({})), Contains("there is no label"));
  CHECK_THROWS_WITH(accuracy(logits, labels_of({0, 3})),
                    Contains("a label is 3, but the logits have 3 classes"));
  CHECK_THROWS_WITH(top_k_accuracy(logits, labels_of({0, 1}), 0), Contains("k is 0"));
  CHECK_THROWS_WITH(confusion_matrix(logits, labels_of({0, 1}), {"a"}),
                    Contains("there are 1 names, but the logits have 3 classes"));
}
