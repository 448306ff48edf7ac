#include "ops/bifpn_node.h"

#include <catch2/catch.hpp>
#include <cmath>

#include "ops/check_op.h"

using namespace fovea;

TEST_CASE("a node resamples, weighs and sums, by hand") {
  const Tensor same = from_values({1, 2, 2, 1}, {1, 2, 3, 4}), coarse = from_values({1, 1, 1, 1}, {10});
  const Tensor fine = from_values({1, 4, 4, 1}, {0, 0, 0, 0, 0, 5, 0, 0, 0, 0, 7, 0, 0, 0, 0, 8});
  // SAME pooling of 4 by stride 2 pads after only: windows start at 0 and 2.
  const Tensor sum = bifpn_node({same, coarse, fine}, {}, Fusion::sum, 2, 2, Activation::identity);
  CHECK(sum.values() == std::vector<double>{1 + 10 + 7, 2 + 10 + 7, 3 + 10 + 7, 4 + 10 + 8});
  const auto w = fusion_weights(from_values({3}, {1, -5, 3}), Fusion::fast_normalized);
  CHECK(w[0] == Approx(1 / 4.0001));
  CHECK(w[1] == 0);
  const auto s = fusion_weights(from_values({2}, {0, std::log(3.0)}), Fusion::softmax);
  CHECK(s[1] == Approx(0.75));
}

TEST_CASE("gradients of a BiFPN node, every fusion, odd sizes") {
  Random random(3);
  for (Fusion fusion : {Fusion::fast_normalized, Fusion::softmax, Fusion::sum})
    for (int64_t channels : {1, 7, 67})
      for (auto [h, w] : {std::pair<int64_t, int64_t>{1, 1}, {3, 5}, {4, 2}}) {
        Tensors inputs = {randn({2, h, w, channels}, random, DType::float64),
                          randn({2, (h + 1) / 2, (w + 1) / 2, channels}, random, DType::float64),
                          randn({2, 2 * h - 1, 2 * w, channels}, random, DType::float64)};
        if (fusion != Fusion::sum) inputs.push_back(from_values({3}, {0.7, 1.2, -0.3}, DType::float64));
        const int64_t height = h, width = w;
        const OpFunction node = [=](const Tensors& in) {
          return bifpn_node({in[0], in[1], in[2]}, in.size() > 3 ? in[3] : Tensor(), fusion, height, width);
        };
        CHECK_NOTHROW(check_op(node, inputs, {.step = 1e-6, .gradient_tolerance = 1e-5, .most_probes = 30}));
      }
}

TEST_CASE("levels two apart are pooled by stride four, kernel five") {
  Random random(9);
  const Tensors inputs = {randn({1, 3, 2, 4}, random, DType::float64),
                          randn({1, 12, 7, 4}, random, DType::float64)};
  const OpFunction node = [](const Tensors& in) { return bifpn_node(in, {}, Fusion::sum, 3, 2); };
  CHECK_NOTHROW(check_op(node, inputs, {.step = 1e-6, .gradient_tolerance = 1e-5}));
}

TEST_CASE("a node refuses inputs that do not fit together") {
  CHECK_THROWS_WITH(bifpn_node({}, {}, Fusion::sum, 1, 1), Catch::Contains("no inputs"));
  CHECK_THROWS_WITH(bifpn_node({zeros({1, 2, 2, 3}), zeros({1, 2, 2, 4})}, {}, Fusion::sum, 2, 2),
                    Catch::Contains("1x2x2x3") && Catch::Contains("1x2x2x4"));
  CHECK_THROWS_WITH(bifpn_node({zeros({1, 2, 2, 3})}, zeros({2}), Fusion::softmax, 2, 2),
                    Catch::Contains("1 inputs need weights"));
  CHECK_THROWS_WITH(bifpn_node({zeros({1, 8, 1, 3})}, {}, Fusion::sum, 2, 2),
                    Catch::Contains("coarser along the other"));
}
