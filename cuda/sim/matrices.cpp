// Tensor cores: what the lanes of a warp do together with the matrices described in cuda/device/sm_80.h.
#include "cuda/device/bfloat16.h"
#include "cuda/sim/simulator.h"

namespace fovea::sim {
namespace {

// Two numbers of a word.
struct Pair {
  uint16_t bits[2];
  float operator[](int i) const {
    bfloat16 number;
    number.bits = bits[i];
    return float(number);
  }
};

void load_matrices(const MatrixLane* const* lanes, bool turned) {
  for (int lane = 0; lane < 32; ++lane)
    for (int matrix = 0; matrix < 4; ++matrix)
      for (int i = 0; i < 2; ++i) {
        const int row = turned ? lane % 4 * 2 + i : lane / 4, column = turned ? lane / 4 : lane % 4 * 2 + i;
        static_cast<Pair*>(lanes[lane]->result)[matrix].bits[i] =
            static_cast<const uint16_t*>(lanes[8 * matrix + row]->a)[column];
      }
}

void multiply_add(const MatrixLane* const* lanes) {
  float a[16][16], b[16][8];
  for (int lane = 0; lane < 32; ++lane)
    for (int part = 0; part < 4; ++part)
      for (int i = 0; i < 2; ++i) {
        const int row = lane / 4, column = lane % 4 * 2 + i;
        a[row + part % 2 * 8][column + part / 2 * 8] = static_cast<const Pair*>(lanes[lane]->a)[part][i];
        if (part < 2) b[column + part * 8][row] = static_cast<const Pair*>(lanes[lane]->b)[part][i];
      }
  for (int lane = 0; lane < 32; ++lane)
    for (int i = 0; i < 4; ++i) {
      float& sum = static_cast<float*>(lanes[lane]->result)[i];
      for (int k = 0; k < 16; ++k) sum += a[lane / 4 + i / 2 * 8][k] * b[k][lane % 4 * 2 + i % 2];
    }
}

}  // namespace

void work_on_matrices(WarpOp op, const MatrixLane* const* lanes) {
  if (op == WarpOp::multiply_add) return multiply_add(lanes);
  load_matrices(lanes, op == WarpOp::load_turned);
}

}  // namespace fovea::sim
