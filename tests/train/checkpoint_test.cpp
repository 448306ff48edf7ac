#include "train/loop/checkpoint.h"

#include <catch2/catch.hpp>

#include "core/file.h"
#include "nn/io/safetensors.h"
#include "tests/support/test_data.h"

using namespace fovea;
using Catch::Contains;

namespace {

TrainingState state_with(int64_t step) {
  TrainingState state;
  state.config.data = "shapes";
  state.config.learning_rate = 0.1;
  state.class_names = {"disc", "a \"star\""};
  state.category_ids = {1, 18};
  state.step = step;
  state.best = 1.0 / 3;
  return state;
}

}  // namespace

TEST_CASE("a checkpoint holds the whole state of a training") {
  const TemporaryFolder folder;
  Random random(1);
  const std::vector<NamedTensor> model{{"w", randn({3, 4}, random)}}, ema{{"w", randn({3, 4}, random)}},
      optimizer{{"w.momentum", randn({3, 4}, random)}};
  const TrainingState state = state_with(1234567);
  save_checkpoint(folder / "c", state, model, ema, optimizer);
  const Checkpoint checkpoint(folder / "c");
  CHECK(checkpoint.state().config == state.config);
  CHECK(checkpoint.state().class_names == state.class_names);
  CHECK(checkpoint.state().category_ids == state.category_ids);
  CHECK(checkpoint.state().step == state.step);
  CHECK(checkpoint.state().best == state.best);
  const std::vector<NamedTensor> into{{"w", zeros({3, 4})}}, momentum{{"w.momentum", zeros({3, 4})}};
  checkpoint.restore("ema.", into);
  CHECK(into[0].tensor.values() == ema[0].tensor.values());
  checkpoint.restore("model.", into);
  CHECK(into[0].tensor.values() == model[0].tensor.values());
  checkpoint.restore("optimizer.", momentum);
  CHECK(momentum[0].tensor.values() == optimizer[0].tensor.values());

  CHECK_THROWS_WITH(checkpoint.restore("model.", {{"v", zeros({3, 4})}}),
                    Contains("checkpoint of another model: it has no tensor model.v"));
  CHECK_THROWS_WITH(checkpoint.restore("model.", {{"w", zeros({4, 3})}}),
                    Contains("tensor model.w is float32 of 3x4, here it is float32 of 4x3"));
}

TEST_CASE("a checkpoint before the first validation has no best figure") {
  const TemporaryFolder folder;
  const std::vector<NamedTensor> tensors{{"w", ones({5})}};
  TrainingState state = state_with(3);
  for (const std::optional<double> best :
       {std::optional<double>(), std::optional(-1.0), std::optional(-1e300)}) {
    state.best = best;
    save_checkpoint(folder / "c", state, tensors, tensors, tensors);
    CHECK(Checkpoint(folder / "c").state().best == best);
  }
}

TEST_CASE("a checkpoint whose settings have former names is read") {
  const TemporaryFolder folder;
  const std::vector<NamedTensor> tensors{{"w", ones({5})}};
  TrainingState state = state_with(3);
  state.config.freeze_statistics_at = 0.25;
  save_checkpoint(folder / "c", state, tensors, tensors, tensors);
  TensorFile file = read_safetensors(folder / "c");
  std::string& config = file.metadata.at("config");
  const std::string name = "freeze_statistics_at";
  config.replace(config.find(name), name.size(), "batch_norm_freeze");
  write_safetensors(folder / "old", file.metadata, file.tensors);
  CHECK(Checkpoint(folder / "old").state().config == state.config);
}

TEST_CASE("the same state is the same file") {
  const TemporaryFolder folder;
  const std::vector<NamedTensor> tensors{{"w", ones({5})}};
  save_checkpoint(folder / "a", state_with(3), tensors, tensors, tensors);
  save_checkpoint(folder / "b", state_with(3), tensors, tensors, tensors);
  CHECK(read_file(folder / "a") == read_file(folder / "b"));
}

TEST_CASE("a checkpoint cut short, altered, or of another kind is refused") {
  const TemporaryFolder folder;
  const std::vector<NamedTensor> tensors{{"w", ones({64})}};
  save_checkpoint(folder / "c", state_with(3), tensors, tensors, {});
  const std::string whole = read_file(folder / "c");
  for (const size_t size : {size_t(0), size_t(7), size_t(100), whole.size() / 2, whole.size() - 1}) {
    write_file_atomically(folder / "cut", whole.substr(0, size));
    CAPTURE(size);
    CHECK_THROWS_WITH(Checkpoint(folder / "cut"), Contains("/cut "));
  }
  std::string flipped = whole;
  flipped[flipped.size() - 10] ^= 1;
  write_file_atomically(folder / "flipped", flipped);
  CHECK_THROWS_WITH(Checkpoint(folder / "flipped"), Contains("was altered after it was written"));
  write_safetensors(folder / "weights", {}, tensors);
  CHECK_THROWS_WITH(Checkpoint(folder / "weights"), Contains("is not a Fovea checkpoint"));
  const auto altered = [&](const std::string& before, const std::string& after) {
    std::string text = whole;
    text.replace(text.find(before), before.size(), after);
    write_file_atomically(folder / "altered", text);
    return Checkpoint(folder / "altered");
  };
  CHECK_THROWS_WITH(altered("[1,18]", "[1,1.]"), Contains("cannot read its metadata"));
  CHECK_THROWS_WITH(altered("[1,18]", "[9e99]"),
                    Contains("9e+99 in category_ids is not a whole number, or is too large"));
  CHECK_THROWS_WITH(altered("\"step\":\"3\"", "\"step\":\"x\""), Contains("cannot read its metadata"));
  CHECK_THROWS_WITH(altered("\"step\":\"3\"", "\"step\":\"-\""),
                    Contains("cannot read its metadata: step is not JSON: parse error at line 1"));
  CHECK_THROWS_WITH(altered("\"measured_since_best\":\"0\"", "\"measured_since_best\":\"{\""),
                    Contains("cannot read its metadata: measured_since_best is not JSON"));
  write_safetensors(folder / "newer", {{"fovea_checkpoint", "2"}}, tensors);
  CHECK_THROWS_WITH(Checkpoint(folder / "newer"), Contains("checkpoint format 2, this one reads 1"));
  CHECK_THROWS_WITH(Checkpoint(folder / "nothing"), Contains("nothing cannot be read: No such file"));
}
