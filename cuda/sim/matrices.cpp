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
  float a[16][16], b[16][8], sum[16][8];
  for (int lane = 0; lane < 32; ++lane)
    for (int i = 0; i < 2; ++i) {
      const int row = lane / 4, column = lane % 4 * 2 + i;
      for (int part = 0; part < 4; ++part) {
        a[row + part % 2 * 8][column + part / 2 * 8] = static_cast<const Pair*>(lanes[lane]->a)[part][i];
        if (part < 2) b[column + part * 8][row] = static_cast<const Pair*>(lanes[lane]->b)[part][i];
      }
      for (int below = 0; below < 2; ++below)
        sum[row + 8 * below][column] = static_cast<const float*>(lanes[lane]->result)[2 * below + i];
    }
  for (int row = 0; row < 16; ++row)
    for (int k = 0; k < 16; ++k)
      for (int column = 0; column < 8; ++column) sum[row][column] += a[row][k] * b[k][column];
  for (int lane = 0; lane < 32; ++lane)
    for (int i = 0; i < 4; ++i)
      static_cast<float*>(lanes[lane]->result)[i] = sum[lane / 4 + i / 2 * 8][lane % 4 * 2 + i % 2];
}

}  // namespace

void work_on_matrices(WarpOp op, const MatrixLane* const* lanes) {
  if (op == WarpOp::multiply_add) return multiply_add(lanes);
  load_matrices(lanes, op == WarpOp::load_turned);
}

}  // namespace fovea::sim
