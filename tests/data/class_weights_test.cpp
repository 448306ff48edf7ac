#include "train/data/class_weights.h"

#include <catch2/catch.hpp>

#include "train/data/dataset.h"

using namespace fovea;
using Catch::Contains;

TEST_CASE("class weights `none` are no weights, and `auto` are inverse roots with a mean of 1") {
  CHECK(class_weights("none", {"a", "b"}, {1, 100}).empty());
  const std::vector<double> weights = class_weights("auto", {"a", "b", "c"}, {1, 100, 25});
  // 1, 1/10 and 1/5 over their mean, 1.3 / 3
  CHECK(weights[0] == Approx(3 / 1.3));
  CHECK(weights[1] == Approx(0.3 / 1.3));
  CHECK(weights[2] == Approx(0.6 / 1.3));
  // A class without objects does not lower the others.
  CHECK(class_weights("auto", {"a", "b"}, {0, 9}) == std::vector<double>{1, 1});
}

TEST_CASE("class weights by name: the others keep 1, and names may hold commas and equals signs") {
  CHECK(class_weights("c=2.5,a=0.5", {"a", "b", "c"}, {1, 1, 1}) == std::vector<double>{0.5, 1, 2.5});
  CHECK(class_weights("a,b=2,x=1=3", {"a,b", "x=1"}, {1, 1}) == std::vector<double>{2, 3});
  CHECK(class_weights_text({0.5, 2}, {"a", "b"}) == "; class weights a 0.5, b 2");
  CHECK(class_weights_text({}, {"a", "b"}).empty());
}

TEST_CASE("class weights that are wrong are refused by name, value and range") {
  const auto refused = [](const std::string& text, const std::string& why) {
    CHECK_THROWS_WITH(class_weights(text, {"cat", "dog"}, {1, 1}), Contains(why));
  };
  refused("cow=2", "`class_weights` names the class 'cow', but the data set has cat, dog");
  for (const char* text : {"", "cat", "cat=", "cat=2,", "=2", "cat=2x", "cat=2,dog", "all"})
    refused(text, "`class_weights` is '" + std::string(text) +
                      "': give none, auto, or names and weights such as cat=0.5,dog=2");
  refused("cat=0", "`class_weights` is 'cat=0': the weight 0 is not from 0.001 to 1000");
  refused("cat=-1", "the weight -1 is not");
  refused("cat=1001", "the weight 1001 is not");
  refused("cat=nan", "is not from 0.001 to 1000");
  refused("cat=1,cat=2", "class cat has two weights");
}

TEST_CASE("training objects are counted without crowd regions and empty boxes") {
  const auto annotation = [](double width, int label, bool crowd) {
    return Annotation{.width = width, .height = 1, .label = label, .crowd = crowd};
  };
  const LabelledImage image{.annotations = {annotation(1, 2, false), annotation(1, 2, false),
                                            annotation(0, 0, false), annotation(1, 0, true)}};
  const DetectionDataset dataset{.class_names = {"a", "b", "c"}, .images = {image, image}};
  CHECK(boxes_of_classes(dataset) == std::vector<int64_t>{0, 0, 4});
}
