// Run by mpirun, in 2 and 3 processes. Tests their communication, and compares a training step of a shared
// batch with the same step in one process. All assertions are CHECKs, because a process that stopped would
// leave the others waiting.
#include "cuda/runtime/process_group.h"

#include <catch2/catch.hpp>
#include <cmath>

#include "models/efficientdet.h"
#include "ops/arithmetic.h"
#include "ops/detection_loss.h"
#include "tests/support/formula.h"
#include "train/optim/optimizer.h"
#include "train/parallel/data_parallel.h"
#include "train/parallel/mpi_process_group.h"

using namespace fovea;

namespace {

constexpr int64_t batch = 6, classes = 3, size = 128;

// A batch's targets: one anchor in 50 is an object.
Tensor class_targets(int64_t anchors) {
  const Tensor t({batch, anchors}, DType::int32);
  for (int64_t i = 0; i < t.numel(); ++i) t.data<int32_t>()[i] = i % 50 == 0 ? int32_t(i / 50 % classes) : -1;
  return t;
}

// Images first .. first + count - 1 of a batch.
Tensor part(const Tensor& whole, BatchShare share) {
  std::vector<int64_t> sizes(whole.shape().sizes().begin(), whole.shape().sizes().end());
  sizes[0] = share.count;
  const Tensor result(Shape(sizes), whole.dtype());
  const size_t bytes = size_t(whole.bytes() / batch);
  std::memcpy(result.raw(), static_cast<const std::byte*>(whole.raw()) + size_t(share.first) * bytes,
              size_t(share.count) * bytes);
  return result;
}

double sum(ProcessGroup& group, double value) {
  group.all_reduce(std::span<double>(&value, 1));
  return value;
}

// The results of some steps: losses, then all weights and running averages.
std::vector<std::vector<double>> train(ProcessGroup& group, int steps) {
  Random random(1);
  EfficientDetSpec spec = efficientdet_spec("efficientdet_d-3");
  spec.backbone.drop_path = 0;  // each process would drop different blocks
  EfficientDet model(spec, classes, random);
  model.set_process_group(&group);
  const BatchShare share = share_of_batch(group, batch);
  const Tensor images = part(formula::images(batch, size, size), share);
  const int64_t anchors = int64_t(generate_anchors(size, size, spec.anchors).size());
  const Tensor all_targets = class_targets(anchors), targets = part(all_targets, share);
  double positives = 0;
  for (const int32_t label : targets.span<int32_t>()) positives += label >= 0;
  const double normalizer = sum(group, positives) + 1;
  const Tensor box_targets = zeros({share.count, anchors, 4});
  Optimizer optimizer(model.parameters(), {.momentum = 0.9});
  model.set_training(true);
  std::vector<std::vector<double>> result(1);
  for (int step = 0; step < steps; ++step) {
    model.clear_gradients();
    const DetectorOutput output = model.outputs(images);
    const Tensor loss = focal_loss(output.class_logits, targets, normalizer) +
                        50 * huber_loss(output.box_codes, box_targets, normalizer);
    loss.backward();
    all_reduce_gradients(group, model.parameters());
    optimizer.update(step, 0.01);
    result[0].push_back(sum(group, loss.item()));
  }
  for (const NamedTensor& t : state_dict(model)) result.push_back(t.tensor.values());
  return result;
}

double difference(const std::vector<double>& a, const std::vector<double>& b) {
  double off = 0, norm = 0;
  for (size_t i = 0; i < a.size(); ++i) off += std::pow(a[i] - b[i], 2), norm += b[i] * b[i];
  return std::sqrt(off / std::max(norm, 1e-6));
}

}  // namespace

TEST_CASE("several processes add, gather and train as one") {
  const auto alone = train(single_process(), 3);
  CHECK(share_of_batch(single_process(), 7).count == 7);
  CHECK(all_gather(single_process(), {1, 2}) == std::vector<std::vector<double>>{{1, 2}});
  CHECK(joined_rank() == 0);
  abort_processes();  // in a program that is in no group

  std::unique_ptr<ProcessGroup> joined = join_processes();
  REQUIRE(joined);
  ProcessGroup& group = *joined;
  const int rank = group.rank(), count = group.size();
  CAPTURE(rank, count);
  REQUIRE(count >= 2);

  // Numbers whose sum depends on the order: that of the ranks.
  for (const size_t n : {size_t(1), size_t(7), size_t(1000)}) {
    const auto value = [](int of, size_t i) {
      return float(of == 0 ? 1e8 : of == 1 ? 3 : -1e8) + float(i % 5);
    };
    std::vector<float> values(n);
    for (size_t i = 0; i < n; ++i) values[i] = value(rank, i);
    group.all_reduce(std::span<float>(values));
    std::vector<float> expected(n);
    for (size_t i = 0; i < n; ++i) {
      expected[i] = value(0, i);
      for (int other = 1; other < count; ++other) expected[i] += value(other, i);
    }
    CHECK(values == expected);
  }
  const auto lists = all_gather(group, std::vector<double>(size_t(rank), rank + 0.5));
  CHECK(int(lists.size()) == count);
  for (int other = 0; other < count; ++other)
    CHECK(lists[size_t(other)] == std::vector<double>(size_t(other), other + 0.5));
  CHECK(any_process(group, rank == count - 1));
  CHECK_FALSE(any_process(group, false));
  int64_t turns = 0;
  for (int64_t i = 0; i < turns_of(group, 10).count; ++i) turns += turns_of(group, 10)[i] + 1;
  CHECK(sum(group, double(turns)) == 55);
  CHECK_THROWS_WITH(share_of_batch(group, 7), Catch::Contains("`batch_size` is 7"));

  const auto shared = train(group, 3);
  double worst = 0;
  for (size_t i = 0; i < alone.size(); ++i) {
    CAPTURE(i);
    const double apart = difference(shared[i], alone[i]);
    CHECK(apart < (i == 0 ? 1e-5 : 1e-3));
    worst = std::max(worst, apart);
    // The same bits in every process.
    const auto all = all_gather(group, shared[i]);
    for (const auto& other : all) CHECK(other == shared[i]);
  }
  INFO("largest relative difference from one process: " << worst);
  CHECK(worst > 0);
  CHECK(joined_rank() == rank);
  joined.reset();
  CHECK(joined_rank() == 0);
}
