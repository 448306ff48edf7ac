// The program on --device cuda: a GPU, or the simulator.
#include <catch2/catch.hpp>

#include "tests/support/program.h"
#include "train/loop/checkpoint.h"

using namespace fovea;
using Catch::Contains;

TEST_CASE("fovea info ops lists every op with kernels, dtypes and tests") {
  const ProgramResult result = Program({"info", "ops"}).wait();
  REQUIRE(result.exit_code == 0);
  for (const char* op :
       {"depthwise_conv2d", "conv1x1", "batch_norm", "bifpn_node", "focal_loss", "huber_loss",
        "stochastic_depth_add", "softmax_cross_entropy", "max_pool2d", "optimizer", "anchor_matching"})
    CHECK_THAT(result.output, Contains(op));
  CHECK_THAT(result.output, Contains("matmul\n"
                                     "  ops      matmul linear conv1x1\n"
                                     "  kernels  cuda/kernels/gemm.cu: cuBLASLt\n"
                                     "  dtypes   float32 float64 bfloat16 (cpu: float32 float64)\n"
                                     "  kernels  cuda/kernels/gemm_tiled.cu: product_tiled\n"
                                     "  dtypes   bfloat16 (cpu: float32 float64)\n"
                                     "  kernels  cuda/kernels/reduction.cu: reduce_naive") &&
                                Contains("  tests    tests/ops/matmul_test.cpp\n"));
}

TEST_CASE("a detector is trained, evaluated and used on CUDA, and its checkpoint works on the CPU") {
  const TemporaryFolder folder;
  const std::string data = folder / "shapes", run = folder / "run", best = run + "/best.safetensors";
  REQUIRE(Program({"data", "synth", data, "--train", "8", "--val", "2", "--width", "64", "--height", "64"})
              .wait()
              .exit_code == 0);
  const ProgramResult trained = Program(tiny_training(data, run,
                                                      {"--device", "cuda", "--batch-size", "2", "--steps",
                                                       "5", "--validate-every", "0"}))
                                    .wait();
  CAPTURE(trained.errors);
  REQUIRE(trained.exit_code == 0);
  CHECK_THAT(trained.output, Contains("Average Precision") && Contains("report.html"));
  CHECK_THAT(trained.errors, Contains("step 1/5  loss ") && !Contains("loss 0.0000"));
  CHECK(Checkpoint(best).state().config.device == "cuda");

  const ProgramResult on_cpu = Program({"eval", best, "--data", data}).wait(),
                      on_cuda = Program({"eval", best, "--data", data, "--device", "cuda"}).wait();
  CHECK(on_cpu.exit_code == 0);
  CHECK(on_cuda.exit_code == 0);
  CHECK(Program({"predict", best, data + "/val", "--device", "cuda", "--output", folder / "found"})
            .wait()
            .exit_code == 0);

  const ProgramResult refused =
      Program({"train", "--data", data, "--run", folder / "other", "--precision", "bfloat16"}).wait();
  CHECK(refused.exit_code == 1);
  CHECK_THAT(refused.errors, Contains("--precision is 'bfloat16' with --device cpu"));
  CHECK(Program({"train", "--data", data, "--device", "tpu"}).wait().exit_code == 1);
}
