// Exercise 45: a sum over processes with the same bits each time
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
  std::vector<const RankPart*> by_rank(parts.size());
  for (const RankPart& part : parts) by_rank[std::size_t(part.rank)] = &part;
  std::vector<float> sum = by_rank[0]->values;
  for (std::size_t rank = 1; rank < by_rank.size(); ++rank)
    for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += by_rank[rank]->values[i];
  return sum;
}
