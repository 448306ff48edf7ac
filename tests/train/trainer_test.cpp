#include "train/loop/trainer.h"

#include <catch2/catch.hpp>
#include <cmath>

#include "core/file.h"
#include "cuda/runtime/counters.h"
#include "ops/arithmetic.h"
#include "ops/matmul.h"
#include "ops/reduction.h"
#include "ops/support/check_op.h"
#include "tests/support/execution.h"
#include "tests/support/test_data.h"
#include "train/loop/learning_rate_finder.h"
#include "train/loop/resolve_config.h"

using namespace fovea;
using Catch::Contains;
using Catch::EndsWith;
using Catch::StartsWith;

namespace {

// y = x w
struct Line : Module {
  Line() : weight(add_parameter("weight", zeros({3, 1}))) {}
  Tensor weight;
};

Recipe least_squares(std::shared_ptr<Line> line) {
  return {.model = line,
          .forward = [line](const Tensor& x) { return Tensors{matmul(x, line->weight)}; },
          .losses =
              [](const Tensors& y, const Tensors& targets) {
                const Tensor e = y[0] - targets[0];
                return std::vector<NamedTensor>{{"train/loss", mean(e * e)}};
              }};
}

// Least squares from samples that are a function of the step: x random, y = x (1, -2, 3).
class LineTask : public Task {
 public:
  explicit LineTask(Device device = Device::cpu) : LineTask(std::make_shared<Line>(), device) {}
  int64_t training_images() const override { return 40; }
  Batch make_batch(int64_t index) override {
    Random random(5, uint64_t(index));
    const Tensor x = randn({8, 3}, random);
    return {x, {index == diverge_at ? full({8, 1}, NAN) : matmul(x, from_values({3, 1}, {1, -2, 3}))}};
  }
  NamedValues evaluate() override {
    ++evaluations;
    const auto w = line->weight.values();
    return {{"validation/score", -std::abs(w[0] - 1) - std::abs(w[1] + 2) - std::abs(w[2] - 3)}};
  }

  std::shared_ptr<Line> line;
  int64_t diverge_at = -1;
  int evaluations = 0;

 private:
  LineTask(std::shared_ptr<Line> of, Device device) : Task(least_squares(of)), line(of) { line->to(device); }
};

TrainingState line_state() {
  TrainingState state;
  state.config.data = "none";
  state.config.batch_size = 8;
  state.config.epochs = 30;
  state.config.learning_rate = 0.1;
  state.config.weight_decay = 0;
  state.config.validate_every = 4;
  state.config = resolve_config(state.config, 40);
  state.class_names = {"line"};
  state.category_ids = {1};
  return state;
}

}  // namespace

TEST_CASE("choices left open are made from the length of the training") {
  TrainConfig config;
  config.epochs = 10;
  config.batch_size = 8;
  TrainConfig resolved = resolve_config(config, 404);
  CHECK(resolved.steps == 505);
  CHECK(resolved.warmup_steps == 50);
  CHECK(resolved.learning_rate == Approx(0.018 * std::sqrt(2.0)));
  CHECK(resolved.beta2 == Approx(1 - 10.0 / 505));
  CHECK(resolved.ema_decay == Approx(1 - 20.0 / 505));
  CHECK(resolve_config(resolved, 404) == resolved);
  config.optimizer = "sgd";
  config.batch_size = 64;
  config.steps = 1000000;
  resolved = resolve_config(config, 6400);
  CHECK(resolved.learning_rate == Approx(0.08));
  CHECK(resolved.weight_decay == 4e-5);
  CHECK(resolved.epochs == 10000);
  CHECK(resolved.ema_decay == 0.9998);
  CHECK(resolved.beta2 == 0.999);
  CHECK(resolved.warmup_steps == 100);
}

TEST_CASE("a training learns, evaluates on the way and keeps what it needs") {
  const TemporaryFolder folder;
  LineTask task;
  int64_t steps_shown = 0;
  TrainHooks hooks;
  hooks.on_step = [&](const TrainProgress& p) { CHECK(p.step == ++steps_shown); };
  Trainer trainer(task, line_state(), folder / "run", hooks);
  CHECK(trainer.run());
  CHECK(steps_shown == 150);
  CHECK(task.evaluations == 8);  // epochs 4, 8, ... 28, and the end
  CHECK(trainer.figures().front().second > -0.05);
  const Checkpoint last(folder / "run/last.safetensors"), best(folder / "run/best.safetensors");
  CHECK(last.state().step == 150);
  CHECK(last.state().best >= trainer.figures().front().second);
  const auto rows = read_metrics(folder / "run/metrics.csv");
  CHECK(rows.front().name == "train/loss");
  CHECK(rows.front().step == 20);
  CHECK(config_from_json(read_file(folder / "run/config.json"), "c") == line_state().config);
}

TEST_CASE("the best figure may be any finite number") {
  // Evaluated every 20 steps of 150, and at the end.
  class Measured : public LineTask {
   public:
    explicit Measured(std::vector<double> of) : figures(std::move(of)) {}
    NamedValues evaluate() override { return {{"validation/score", figures.at(size_t(evaluations++))}}; }
    std::vector<double> figures;
  };
  const TemporaryFolder folder;
  const auto best_of = [&](const std::string& run, const std::vector<double>& figures) {
    Measured task(figures);
    Trainer(task, line_state(), folder / run, {}).run();
    CHECK(Checkpoint(folder / run + "/last.safetensors").state().best ==
          Checkpoint(folder / run + "/best.safetensors").state().best);
    return Checkpoint(folder / run + "/best.safetensors").state();
  };
  const TrainingState falling = best_of("falling", {-100, -200, -300, -400, -500, -600, -700, -800});
  CHECK(falling.best == -100.0);
  CHECK(falling.step == 20);
  CHECK(best_of("rising", {-800, -700, -600, -500, -400, -300, -200, -100}).step == 150);
  const TrainingState odd = best_of("odd", {NAN, -INFINITY, INFINITY, -7, NAN, -7, INFINITY, -8});
  CHECK(odd.best == -7.0);
  CHECK(odd.step == 120);  // an equal one comes later
  CHECK(Checkpoint(folder / "odd/last.safetensors").state().measured_since_best == 4);

  // If it stops before the first evaluation there is no best figure, and when it continues, a figure below
  // the former -1 is the best.
  std::atomic<bool> stop = false;
  TrainHooks hooks;
  hooks.stop = &stop;
  hooks.on_step = [&](const TrainProgress& p) { stop = p.step == 9; };
  Measured first({}), second({-5, -6, -7, -8, -9, -10, -11, -12});
  CHECK_FALSE(Trainer(first, line_state(), folder / "resumed", hooks).run());
  const Checkpoint last(folder / "resumed/last.safetensors");
  CHECK_FALSE(last.state().best);
  Trainer resumed(second, line_state(), folder / "resumed", {});
  resumed.resume(last);
  CHECK(resumed.run());
  CHECK(Checkpoint(folder / "resumed/best.safetensors").state().best == -5.0);

  Measured never(std::vector<double>(8, NAN));
  TrainingState patient = line_state();
  patient.config.patience = 2;
  std::string message;
  hooks.stop = nullptr;
  hooks.on_step = nullptr;
  hooks.on_message = [&](const std::string& text) { message = text; };
  CHECK(Trainer(never, patient, folder / "never", hooks).run());
  CHECK(message == "stops at step 40 of 150: the last 2 evaluations were not finite");
}

TEST_CASE("a training stopped anywhere and resumed ends at the same bits") {
  const TemporaryFolder folder;
  {
    LineTask task;
    Trainer(task, line_state(), folder / "whole", {}).run();
  }
  for (const int64_t at : {1, 19, 20, 77}) {
    const std::string run = folder / std::to_string(at);
    std::atomic<bool> stop = false;
    TrainHooks hooks;
    hooks.stop = &stop;
    LineTask first;
    hooks.on_step = [&](const TrainProgress& p) { stop = p.step == at - 1 || at == 1; };
    Trainer interrupted(first, line_state(), run, hooks);
    CHECK_FALSE(interrupted.run());
    LineTask second;
    Trainer resumed(second, line_state(), run, {});
    resumed.resume(Checkpoint(run + "/last.safetensors"));
    CHECK(resumed.run());
    CAPTURE(at, interrupted.step());
    CHECK(read_file(run + "/last.safetensors") == read_file(folder / "whole/last.safetensors"));
    CHECK(read_file(run + "/best.safetensors") == read_file(folder / "whole/best.safetensors"));
  }
}

TEST_CASE("a training is not resumed on other data") {
  const TemporaryFolder folder;
  LineTask task;
  Trainer(task, line_state(), folder / "run", {}).run();
  TrainingState other = line_state();
  other.config = resolve_config(other.config, 41);
  LineTask again;
  Trainer trainer(again, other, folder / "run", {});
  CHECK_THROWS_WITH(trainer.resume(Checkpoint(folder / "run/last.safetensors")),
                    Contains("was started on other data"));
}

TEST_CASE("a loss that is not a number ends the training, and the earlier checkpoint stays") {
  const TemporaryFolder folder;
  LineTask task;
  task.diverge_at = 52;
  Trainer trainer(task, line_state(), folder / "run", {});
  CHECK_THROWS_WITH(trainer.run(),
                    Contains("train/loss is nan at step 52") &&
                        Contains("subtract, after weight read a number that is not finite (8x1)") &&
                        Contains("It came from the images or their labels"));
  CHECK(Checkpoint(folder / "run/last.safetensors").state().step == 50);
}

TEST_CASE(
    "on CUDA a training is graph replays: it allocates nothing, waits for nothing, and the weights are the "
    "CPU's") {
  const TemporaryFolder folder;
  LineTask on_cpu;
  Trainer(on_cpu, line_state(), folder / "cpu", {}).run();

  TrainHooks hooks;
  for (const cuda::Execution execution : executions()) {
    const WithExecution with(execution);
    const bool deferred = execution == cuda::Execution::deferred;
    CAPTURE(deferred);
    LineTask task(Device::cuda);
    std::vector<cuda::Counters> counters;
    hooks.on_step = [&](const TrainProgress&) { counters.push_back(cuda::counters()); };
    Trainer trainer(task, line_state(), folder / (deferred ? "deferred" : "cuda"), hooks);
    CHECK(trainer.run());
    REQUIRE(counters.size() == 150);
    // Losses are read every 20 steps, checkpoints and evaluations come every 5 and 20; batch norm, which this
    // network lacks, would be frozen at step 75, which makes a new graph.
    for (const size_t step : {6u, 7u, 8u, 31u, 32u, 33u, 81u, 82u, 83u, 142u}) {
      CAPTURE(step);
      CHECK(counters[step].graph_replays == counters[step - 1].graph_replays + 1);
      CHECK(counters[step].launches == counters[step - 1].launches);
      CHECK(counters[step].allocations == counters[step - 1].allocations);
      CHECK(counters[step].synchronizations == counters[step - 1].synchronizations);
    }
    CHECK(counters.back().graph_replays - counters.front().graph_replays == 150 - 2 * 2);
    CHECK(relative_difference(task.line->weight.to(Device::cpu), on_cpu.line->weight) < 1e-5);
  }
  if (cuda::is_simulated())
    CHECK(read_file(folder / "deferred/last.safetensors") == read_file(folder / "cuda/last.safetensors"));

  // The same bits when it is stopped on the way, and from a checkpoint of the CPU.
  std::atomic<bool> stop = false;
  hooks.stop = &stop;
  hooks.on_step = [&](const TrainProgress& p) { stop = p.step == 31; };
  LineTask first(Device::cuda), second(Device::cuda);
  CHECK_FALSE(Trainer(first, line_state(), folder / "stopped", hooks).run());
  Trainer resumed(second, line_state(), folder / "stopped", {});
  resumed.resume(Checkpoint(folder / "stopped/last.safetensors"));
  CHECK(resumed.run());
  CHECK(read_file(folder / "stopped/last.safetensors") == read_file(folder / "cuda/last.safetensors"));
}

TEST_CASE("the progress has a loss from the first step on, on either device") {
  for (const Device device : {Device::cpu, Device::cuda}) {
    const TemporaryFolder folder;
    LineTask task(device);
    std::atomic<bool> stop = false;
    TrainHooks hooks;
    hooks.stop = &stop;
    std::vector<double> losses;
    std::vector<int64_t> waits;
    hooks.on_step = [&](const TrainProgress& p) {
      losses.push_back(p.loss);
      waits.push_back(cuda::counters().synchronizations);
      stop = p.step == 4;
    };
    Trainer(task, line_state(), folder / "run", hooks).run();
    CAPTURE(name(device), losses);
    REQUIRE(losses.size() >= 4);
    // y = x (1, -2, 3) and weights that begin at 0: the loss is 14 on average.
    for (const double loss : losses) CHECK(loss > 1);
    CHECK(losses[1] != losses[0]);
    if (device == Device::cuda)
      CHECK(waits[3] == waits[1]);  // read in the warm-up, not in the steps after it
  }
}

TEST_CASE("a training that diverges on CUDA ends and names the steps in which it diverged") {
  const TemporaryFolder folder;
  LineTask task(Device::cuda);
  task.diverge_at = 52;
  Trainer trainer(task, line_state(), folder / "run", {});
  CHECK_THROWS_WITH(trainer.run(),
                    Contains("train/loss is nan at step 52") &&
                        Contains("subtract, after weight read a number that is not finite (8x1)"));
  CHECK(Checkpoint(folder / "run/last.safetensors").state().step == 50);
}

TEST_CASE("a learning rate that is too high is named, with the op that overflowed first") {
  const TemporaryFolder folder;
  TrainingState state = line_state();
  state.config.optimizer = "sgd";
  state.config.learning_rate = 1000;
  state.config.clip_norm = 0;
  state.config.freeze_statistics_at = 1;  // the network has no batch norm: on CUDA one graph instead of two
  for (const Device device : {Device::cpu, Device::cuda}) {
    LineTask task(device);
    Trainer trainer(task, state, folder / std::string(name(device)), {});
    // The loss is infinite one step before the gradient is, so that on CUDA no update was left out.
    const std::string when = device == Device::cpu ? "at step 7 (learning rate 999.5)"
                                                   : "between steps 5 and 9 (learning rate 998.1)";
    CHECK_THROWS_WITH(
        trainer.run(),
        Contains(
            "the training diverged: train/loss is infinite " + when +
            "; the first number that is not finite is in the output of multiply, after weight (8x1). The "
            "learning rate is probably too high: try `learning_rate` 3.3e+02, and `clip_norm` 10; a new run "
            "can start from the last good weights: `init_from`") &&
            EndsWith("last.safetensors"));
  }
}

TEST_CASE(
    "with patience a training stops when it no longer improves, stopped and resumed on the way or not") {
  const TemporaryFolder folder;
  // The line is learned within the first evaluations; a rate that falls to 0 leaves little to gain.
  class Plateau : public LineTask {
   public:
    NamedValues evaluate() override {
      ++evaluations;
      return {{"validation/score", line->weight.values()[0] > 0.5 ? 1.0 : 0.0}};
    }
  };
  TrainingState state = line_state();
  state.config.patience = 3;
  std::string told;
  TrainHooks hooks;
  hooks.on_message = [&](const std::string& text) { told = text; };
  Plateau task;
  Trainer trainer(task, state, folder / "whole", hooks);
  CHECK(trainer.run());
  const int64_t first_at_1 = 20 * (task.evaluations - 3);  // evaluated every 20 steps
  CHECK(trainer.step() == first_at_1 + 60);
  CHECK(trainer.step() < 150);
  CHECK_THAT(told, Contains(fmt::format("stops at step {} of 150: the last 3 evaluations were no better than "
                                        "the best (1.0000)",
                                        trainer.step())));
  const Checkpoint last(folder / "whole/last.safetensors");
  CHECK(last.state().measured_since_best == 3);
  CHECK(last.state().step == trainer.step());

  std::atomic<bool> stop = false;
  hooks.stop = &stop;
  hooks.on_step = [&](const TrainProgress& p) { stop = p.step == first_at_1 + 30; };
  Plateau first, second, third;
  CHECK_FALSE(Trainer(first, state, folder / "stopped", hooks).run());
  CHECK(Checkpoint(folder / "stopped/last.safetensors").state().measured_since_best == 1);
  Trainer resumed(second, state, folder / "stopped", {});
  resumed.resume(Checkpoint(folder / "stopped/last.safetensors"));
  CHECK(resumed.run());
  CHECK(read_file(folder / "stopped/last.safetensors") == read_file(folder / "whole/last.safetensors"));
  // When it is resumed again, nothing is left to do.
  Trainer again(third, state, folder / "stopped", {});
  again.resume(Checkpoint(folder / "stopped/last.safetensors"));
  CHECK(again.run());
  CHECK(again.step() == trainer.step());
  CHECK(third.evaluations == 0);
}

TEST_CASE("a loss that rises and stays far above its best is reported once") {
  LossWatch watch;
  int told = 0;
  for (int64_t step = 1; step <= 400; ++step) {
    const auto warning = watch.see(step, step <= 50 ? 2.0 : step <= 60 ? 1.0 : 3.5);
    if (!warning) continue;
    ++told;
    CHECK(step == 161);
    CHECK_THAT(*warning, Contains("three times its best (1 at step 51) for 100 steps and is 3.5"));
  }
  CHECK(told == 1);
  LossWatch calm;  // near 0 a loss may be several times its best
  for (int64_t step = 1; step <= 400; ++step)
    CHECK_FALSE(calm.see(step, step < 100 ? 2.0 : step < 150 ? 0.01 : 0.1));
}

TEST_CASE("the learning rate finder ends where the loss explodes, and suggests a rate below the best") {
  LineTask task;
  TrainingState state = line_state();
  state.config.optimizer = "sgd";
  state.config.momentum = 0;
  const LearningRateSearch search = find_learning_rate(task, state.config);
  // The loss is quadratic with a second derivative near 2, so that plain descent diverges beyond 1.
  CHECK(search.diverged);
  CHECK(search.trials.front().learning_rate == Approx(1e-6));
  CHECK(search.trials.back().learning_rate > 1);
  CHECK(search.lowest > 0.05);
  CHECK(search.lowest < 5);
  CHECK(search.suggested > 0.005);
  CHECK(search.suggested < search.lowest);
  CHECK_THAT(learning_rate_table(search),
             Contains(fmt::format("suggested: `learning_rate` {:.2g}", search.suggested)));
  const TemporaryFolder folder;
  write_learning_rate_search(search, folder / "lr");
  CHECK_THAT(read_file(folder / "lr/learning_rate.csv"), StartsWith("learning_rate,loss\n1e-06,"));
  CHECK_THAT(read_file(folder / "lr/learning_rate.svg"),
             Contains("<svg") && Contains("log10 of the learning rate"));
}
