#pragma once
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace fovea::cuda {

// One instruction of a kernel in PTX (PTX ISA 9.0), as far as counting needs it; or a note of EXPECT_TRIPS()
// or EXPECT_SKIPPED() (cuda/device/unroll.h) as "expected_trips" or "expected_skipped".
struct PtxInstruction {
  std::string opcode;               // "ld.global.v4.u32"
  std::vector<std::string> writes;  // registers
  std::vector<std::string> reads;
  std::string operands;  // as written
  bool predicated = false;

  bool is(std::string_view prefix) const { return opcode.starts_with(prefix); }
  bool loads_global() const { return is("ld.global") || copies_async(); }
  bool accesses_global() const { return loads_global() || is("st.global"); }
  bool copies_async() const { return is("cp.async.ca") || is("cp.async.cg"); }
  int access_bytes() const;  // that one load, store or asynchronous copy moves
};

struct PtxBlock {  // instructions that run one after another
  std::vector<PtxInstruction> instructions;
  std::vector<int> next;  // blocks that may follow
};

// A natural loop.
struct PtxLoop {
  int header = 0;
  std::set<int> blocks;  // including those of inner loops
  int parent = -1;       // the loop around it, or -1
};

// A kernel as basic blocks, and the natural loops among them (Aho, Lam, Sethi, Ullman: Compilers, 9.6).
struct PtxKernel {
  std::string symbol;
  int max_threads = 0;  // per block, from __launch_bounds__; 0: not given
  std::vector<PtxBlock> blocks;
  std::vector<PtxLoop> loops;  // outer loops before inner ones

  int innermost_loop(int block) const;  // -1 if it is in no loop
  // The number of steps of a loop that counts from one constant to another; 0 if the loop is not of that
  // form.
  int constant_trips(int loop) const;
};

// Every kernel (.entry) of a PTX file. Throws CudaError if the text is not PTX.
std::vector<PtxKernel> parse_ptx(std::string_view text);

}  // namespace fovea::cuda
