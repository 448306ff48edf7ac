// Exercise 45: a sum over processes with the same bits each time
//
// Goal:      Add the ranks' vectors so that the result does not depend on which arrives first.
// Builds on: nothing
// Minutes:   20
// Source:    docs/training.md, "Several processes"; floating-point addition is not associative (Goldberg
//            1991, section 1.4)
#pragma once
#include <cstdint>
#include <vector>

// `parts` holds the vectors of all ranks in the order in which they arrived, each with its rank, 0 ..
// parts.size() - 1; all have the same size. Return their sum. Each element is the sum of rank 0, then rank 1,
// and so on, whatever the order of arrival: (1e8f + 1.0f) - 1e8f is 0 in float, and 1e8f - 1e8f + 1.0f is 1.
struct RankPart {
  int rank;
  std::vector<float> values;
};
inline std::vector<float> all_reduce(const std::vector<RankPart>& parts) {
  // ---- your code: 5 to 9 lines ----
  return parts[0].values;
  // ---- end ----
}
