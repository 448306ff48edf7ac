// Reads PTX, and predicts from it, with texts and launches made for this test: no nvcc is needed.
#include "cli/predict/code_table.h"

#include <fmt/format.h>

#include <catch2/catch.hpp>

#include "cli/predict/gpu.h"
#include "cli/predict/launch_model.h"
#include "cli/predict/ptx.h"
#include "cuda/runtime/error.h"

using namespace fovea;
using namespace fovea::cuda;
using Catch::Contains;

namespace {

// y[i] += x[i] by packs of four floats, in steps of the grid, after a loop of nine loads. As nvcc writes it.
constexpr const char* ptx = R"(.version 9.0
.target sm_90
.visible .entry add_packed(
	.param .u64 add_packed_param_0
)
.maxntid 192
{
	.reg .pred 	%p<4>;
	ld.param.u64 	%rd1, [add_packed_param_0];
	mov.u32 	%r1, 0;
	mov.f64 	%fd2, 0d0000000000000000;

$L__BB0_1:
	ld.global.f32 	%f9, [%rd1];
	add.s32 	%r1, %r1, 1;
	setp.ne.s32 	%p1, %r1, 9;
	@%p1 bra 	$L__BB0_1;

$L__BB0_2:
	.loc	1 22 3
	ld.global.v4.f32 	{%f1, %f2, %f3, %f4}, [%rd1];
	ld.global.u64 	%rd2, [%rd1];
	ld.global.v4.f32 	{%f5, %f6, %f7, %f8}, [%rd2];
	add.f32 	%f5, %f5, %f1;
	cvt.f64.f32 	%fd1, %f5;
	add.f64 	%fd2, %fd2, %fd1;
	// begin inline asm
	st.global.wb.v4.u32 [%rd1], {%r3,%r4,%r5,%r6};
	// end inline asm
	setp.lt.s64 	%p2, %rd3, %rd4;
	@%p2 bra 	$L__BB0_2;

	st.global.u16 	[%rd1], %rs1;
	bar.sync 	0;
	ret;
}
)";

constexpr const char* report = R"(ptxas info    : Compiling entry function 'add_packed' for 'sm_75'
ptxas info    : Function properties for add_packed
    16 bytes stack frame, 8 bytes spill stores, 12 bytes spill loads
ptxas info    : Used 99 registers, used 1 barriers, 400 bytes cmem[0]
ptxas info    : Compiling entry function 'add_packed' for 'sm_90'
ptxas info    : Function properties for add_packed
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 40 registers, used 1 barriers, 4608 bytes smem
)";

LaunchTime launch_of(const std::string& kernel, int64_t blocks, int64_t bytes, int64_t steps = 1) {
  LaunchTime launch;
  launch.kernel = kernel;
  launch.bytes = bytes;
  launch.shape = {blocks, 256, 0, steps};
  return launch;
}

CodeTable table_of(KernelCode code) {
  code.name = std::string(1, 'k');
  return {"nvcc 13.0", {{"k", code}}};
}

KernelCode usual() {
  KernelCode code;
  code.registers = 32;
  code.once = {50, 0, 0, 0, 0};
  code.step = {60, 1, 32, 16, 0};
  return code;
}

}  // namespace

TEST_CASE("a kernel's accesses, loops and costs are read from its PTX") {
  const std::vector<PtxKernel> kernels = parse_ptx(ptx);
  REQUIRE(kernels.size() == 1);
  CHECK(kernels[0].symbol == "add_packed");
  CHECK(kernels[0].max_threads == 192);
  REQUIRE(kernels[0].loops.size() == 2);
  CHECK(kernels[0].constant_trips(0) + kernels[0].constant_trips(1) ==
        9);  // that of the other one is unknown

  const KernelCode code = read_ptx(ptx)[0];
  CHECK(code.loads == std::map<int, int>{{4, 1}, {8, 1}, {16, 2}});
  CHECK(code.stores == std::map<int, int>{{2, 1}, {16, 1}});
  CHECK(code.stores_in_loops == std::map<int, int>{{16, 1}});
  CHECK(code.double_operations == 1);
  CHECK(code.double_operations_in_loops == 1);
  CHECK(code.step.loaded == 40);
  CHECK(code.step.stored == 16);
  CHECK(code.step.rounds == 2);  // the address of the second pack depends on the loaded pointer
  CHECK(code.once.loaded == 9 * 4);
  CHECK(code.once.rounds == 9);
  CHECK(code.once.stored == 2);
  CHECK(code.once.barriers == 1);
  CHECK_FALSE(code.varies);

  CHECK_THROWS_WITH(parse_ptx("int main() {}"), Contains("this is not PTX"));
  const std::string text = ptx;
  CHECK_THROWS_WITH(parse_ptx(text.substr(0, text.size() / 2)),
                    Contains("the PTX of add_packed is cut short"));
}

TEST_CASE("what the last block does after its ticket is not taken for the main loop") {
  std::string text = ptx;
  const std::string end = "\tbar.sync \t0;\n", load = "\tld.global.v4.f32 \t{%f1, %f2, %f3, %f4}, [%rd1];\n";
  text.replace(text.find(end), end.size(),
               "\tatom.global.inc.u32 \t%r9, [%rd1], 3;\n\n$L__BB0_3:\n" + load + load + load + load +
                   "\tsetp.lt.s64 \t%p3, %rd3, %rd4;\n\t@%p3 bra \t$L__BB0_3;\n\n");
  const KernelCode code = read_ptx(text)[0];
  CHECK(code.step.loaded == 40);
  CHECK(code.once.loaded == 9 * 4);
  CHECK(code.last.loaded == 3 * 4 * 16);
  const CodeTable table = read_code_table(write_code_table({code}, "nvcc 13.0"));
  CHECK(table.kernels.at("add_packed").last.loaded == 3 * 4 * 16);
}

TEST_CASE("EXPECT_TRIPS states how often a loop runs, and its remainder does not") {
  std::string text = ptx;
  const std::string note = "\t// begin inline asm\n\t// expected trips 12 at line 7\n\t// end inline asm\n",
                    load = note + "\tld.global.f32 \t%f1, [%rd4];\n",
                    end = "\tsetp.lt.s64 \t%p3, %rd3, %rd4;\n";
  const auto loop = [&](const std::string& label, int times) {
    std::string body = "\n" + label + ":\n";
    for (int i = 0; i < times; ++i) body += load;
    return body + end + "\t@%p3 bra \t" + label + ";\n";
  };
  const std::string barrier = "\tbar.sync \t0;\n";
  text.replace(text.find(barrier), barrier.size(), loop("$L__BB0_3", 4) + loop("$L__BB0_4", 1) + barrier);
  const KernelCode code = read_ptx(text)[0];
  CHECK(code.once.loaded == 9 * 4 + 12 * 4);  // 3 trips of the unrolled loop
}

TEST_CASE("EXPECT_SKIPPED leaves out a branch and what only it leads to") {
  const std::string barrier = "\tbar.sync \t0;\n";
  const auto with_branch = [&](const std::string& note) {
    std::string text = ptx;
    text.replace(text.find(barrier), barrier.size(),
                 "\t@%p3 bra \t$L__BB0_4;\n\n" + note +
                     "\tld.global.f32 \t%f1, [%rd4];\n\t@%p3 bra \t$L__BB0_4;\n\n"
                     "\tld.global.f32 \t%f2, [%rd4];\n$L__BB0_4:\n" +
                     barrier);
    return read_ptx(text)[0];
  };
  const KernelCode taken = with_branch(""), skipped = with_branch("\t// expected skipped 0 at line 7\n");
  CHECK(taken.once.loaded == 9 * 4 + 8);
  CHECK(skipped.once.loaded == 9 * 4);
  CHECK(skipped.once.barriers == 1);  // what follows the branch is not left out
  CHECK(skipped.step.loaded == taken.step.loaded);
  CHECK(skipped.loads == taken.loads);  // the code is what it is
}

TEST_CASE("what one block does last is latency once, and no work of the others") {
  KernelCode code = usual();
  const auto seconds = [&] {
    return predict(launch_of("k", 10000, 100 << 20), find_gpu("h200"), table_of(code)).seconds;
  };
  const double without = seconds();
  code.last = {2000, 2, 0, 0, 0};
  const double as_last = seconds() - without;
  code.last = {};
  code.once.instructions += 2000;
  const double as_once = seconds() - without;
  CHECK(as_last > 0);
  CHECK(as_last < 6e-6);
  CHECK(as_once > 10 * as_last);
}

TEST_CASE("copies to shared memory are loads that only cp.async.wait waits for") {
  const KernelCode code = read_ptx(R"(.version 9.0
.visible .entry fetch()
{
$L__BB0_1:
	// begin inline asm
	cp.async.cg.shared.global [%r1], [%rd1], 16, %r2;
	// end inline asm
	setp.lt.s32 	%p1, %r3, %r4;
	@%p1 bra 	$L__BB0_1;

	cp.async.wait_all;
$L__BB0_2:
	ld.global.v4.f32 	{%f1, %f2, %f3, %f4}, [%rd2];
	ld.global.v4.f32 	{%f5, %f6, %f7, %f8}, [%rd3];
	setp.lt.s32 	%p1, %r3, %r4;
	@%p1 bra 	$L__BB0_2;
	ret;
}
)")[0];
  CHECK(code.loads == std::map<int, int>{{16, 3}});
  CHECK(code.step.loaded == 16);  // the loop that fetches is the main one
  CHECK(code.step.rounds == 0);
  CHECK(code.once.rounds == 2);  // the wait, and the other loop
}

TEST_CASE("registers, shared memory and spills come from the report of ptxas, of the right architecture") {
  std::vector<KernelCode> kernels = read_ptx(ptx);
  add_ptxas_report(report, "sm_75", kernels);
  CHECK(kernels[0].registers == 99);
  CHECK(kernels[0].stack_bytes == 16);
  CHECK(kernels[0].spill_bytes == 20);
  add_ptxas_report(report, "sm_90", kernels);
  CHECK(kernels[0].registers == 40);
  CHECK(kernels[0].shared_bytes == 4608);
  CHECK(kernels[0].spill_bytes == 0);
  CHECK_THROWS_WITH(add_ptxas_report(report, "sm_80", kernels),
                    Contains("for sm_80 does not contain kernel add_packed"));
}

TEST_CASE("the table of kernels is read as it was written") {
  std::vector<KernelCode> kernels = read_ptx(ptx);
  add_ptxas_report(report, "sm_90", kernels);
  const std::string text = write_code_table(kernels, "nvcc 13.0");
  const CodeTable table = read_code_table(text);
  CHECK(table.compiler == "nvcc 13.0");
  const KernelCode& code = table.kernels.at("add_packed");
  CHECK(code.registers == 40);
  CHECK(code.step.rounds == 2);
  CHECK(code.once.loaded == 36);
  CHECK_THROWS_WITH(read_code_table(fmt::format("{}x\t1\n", text)),
                    Contains("line 4 of the table of kernels has 2 columns, not 22"));
  CHECK_THROWS_WITH(read_code_table("kernel\n"), Contains("line 1"));
  CHECK(code_table().kernels.size() > 300);  // the one of this build
}

TEST_CASE("a multiprocessor holds as many blocks as NVIDIA's occupancy calculator says") {
  const Gpu &h200 = find_gpu("h200"), &t4 = find_gpu("T4");
  CHECK(blocks_per_multiprocessor(h200, 256, 32, 0) == 8);      // 64 warps
  CHECK(blocks_per_multiprocessor(h200, 256, 40, 0) == 6);      // 48: 1280 registers a warp
  CHECK(blocks_per_multiprocessor(h200, 192, 154, 4608) == 2);  // 12 warps, of 3 to a scheduler
  CHECK(blocks_per_multiprocessor(h200, 256, 32, 100 << 10) == 2);
  CHECK(blocks_per_multiprocessor(h200, 32, 16, 0) == 32);
  CHECK(blocks_per_multiprocessor(h200, 1024, 80, 0) == 0);
  CHECK(blocks_per_multiprocessor(t4, 256, 64, 0) == 4);
  CHECK(blocks_per_multiprocessor(t4, 256, 32, 33 << 10) == 1);
  CHECK_THROWS_WITH(find_gpu("V100"), Contains("the GPU V100 is not in the table") &&
                                          Contains("H200, H100, A100, L4, RTX4090, T4"));
}

TEST_CASE("a prediction says what limits a launch, and ranks changes as a GPU does") {
  const Gpu& gpu = find_gpu("H200");
  const auto seconds = [&](const LaunchTime& launch, const KernelCode& code) {
    return predict(launch, gpu, table_of(code));
  };
  const LaunchTime small = launch_of("k", 4, 40000),
                   large = launch_of("k", 8192, int64_t(8192) * 256 * 48 * 8, 8);

  CHECK(seconds(small, usual()).seconds == Approx(1.6e-6).epsilon(0.3));
  const LaunchPrediction wide = seconds(large, usual());
  CHECK(wide.limit == Limit::bytes);
  CHECK(wide.seconds > double(large.bytes) / gpu.bandwidth);
  CHECK(wide.seconds < 1.4 * double(large.bytes) / gpu.bandwidth);
  CHECK(wide.waves == Approx(8192.0 / (8 * 132)));
  CHECK(wide.bytes_in_flight == Approx(8 * 132 * 256 * 32));

  // Fewer warps hide less latency; single stores are more instructions; more steps take longer; a chain of
  // loads takes longer still.
  KernelCode fat = usual();
  fat.registers = 160;
  CHECK(seconds(large, fat).seconds > 1.3 * wide.seconds);
  CHECK(seconds(large, fat).limit == Limit::latency);
  KernelCode busy = usual();
  busy.step.instructions = 1000;
  CHECK(seconds(large, busy).limit == Limit::instructions);
  KernelCode multiplies = usual();
  multiplies.step.products = 200;
  CHECK(seconds(large, multiplies).limit == Limit::products);
  CHECK(seconds(large, multiplies).seconds > 1.3 * wide.seconds);
  CHECK(seconds(launch_of("k", 4, 40000, 16), usual()).seconds > 2 * seconds(small, usual()).seconds);
  KernelCode chain = usual();
  chain.step.rounds = 10;
  CHECK(seconds(small, chain).seconds > seconds(small, usual()).seconds + 2e-6);

  // A smaller GPU is slower, and a kernel that is not in the table is reported as unknown.
  CHECK(predict(large, find_gpu("T4"), table_of(usual())).seconds > 10 * wide.seconds);
  CHECK_FALSE(predict(launch_of("other", 4, 1000), gpu, table_of(usual())).known);
  CHECK(predict(launch_of("k", 4, 1000), gpu, table_of(usual())).known);

  LaunchTime product;
  product.kernel = "gemm";
  product.bytes = 100 << 20;
  CHECK(predict(product, gpu, table_of(usual())).seconds > double(product.bytes) / gpu.bandwidth);
}
