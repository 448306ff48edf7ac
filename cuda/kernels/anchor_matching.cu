// Assigns objects to anchors: (1) the best object of each anchor, (2) the best anchor of each object, which
// must take the object, (3) labels and codes. The arithmetic is images x anchors x objects IoUs, twice, some
// 20 operations each: 2 GFLOP for 16 images of EfficientDet-D0 with 64 objects each. Bytes moved: 28 for each
// anchor of each image (12 for its object, which is written, read and replaced by the label, 16 for its
// code). The anchors stay in the L2 cache.
#include "cuda/kernels/anchor_matching.h"

#include <climits>

#include "cuda/device/box.h"
#include "cuda/device/grid.h"
#include "cuda/device/reduce.h"
#include "cuda/device/unroll.h"
#include "cuda/runtime/launch.h"
#include "cuda/runtime/memory.h"

namespace fovea::cuda {
namespace {

constexpr int few_anchors = 256;  // up to this number the naive kernels run
constexpr int group_truths =
    8;  // one block finds their best anchors: each anchor that it loads serves this many IoUs
constexpr int chunk_anchors = 2048;  // the anchors it searches

// Until the end class_targets holds the index of the object. A forced one is less than all others, and the
// first object is the least: the least wins, so the order of threads does not matter.
__device__ inline int32_t forced(int64_t truth) { return INT_MIN + int32_t(truth); }

// The best truth that an anchor has found so far. The first of equals stays.
struct BestTruth {
  float iou = 0;
  int32_t truth = background_target;
  bool in_crowd = false;

  __device__ void see(const BoxEdges& anchor, const BoxEdges& box, int32_t label, int64_t index,
                      float crowd_threshold) {
    if (label >= 0) {
      const float overlap = intersection_over_union(box, anchor);
      if (overlap > iou) {
        iou = overlap;
        truth = int32_t(index);
      }
    } else if (label == ignored_target) {
      const float common = intersection(anchor, box);
      in_crowd |= common > 0 && common >= crowd_threshold * area(anchor);
    }
  }
  __device__ int32_t result(float iou_threshold) const {
    return iou >= iou_threshold ? truth : (in_crowd ? ignored_target : background_target);
  }
};

// An anchor and its IoU as one number: greater is better, and of equal IoUs the lower anchor wins. 0 means no
// overlap.
__device__ inline uint64_t anchor_key(float iou, int64_t anchor) {
  uint32_t bits;
  memcpy(&bits, &iou, sizeof bits);  // bits of non-negative floats have the floats' order
  return iou > 0 ? uint64_t(bits) << 32 | (0xffffffffu - uint32_t(anchor)) : 0;
}

// Step 1, one anchor per thread.
__global__ void best_truths_naive(const BoxEdges* anchors, const BoxEdges* boxes, const int32_t* labels,
                                  int32_t* matched, MatchDims dims) {
  for (int64_t i : grid_stride(dims.images * dims.anchors)) {
    const BoxEdges anchor = anchors[i % dims.anchors];
    const int64_t first = i / dims.anchors * dims.room;
    BestTruth best;
    for (int64_t t = 0; t < dims.room; ++t)
      best.see(anchor, boxes[first + t], labels[first + t], t, dims.crowd_threshold);
    matched[i] = best.result(dims.iou_threshold);
  }
}

// Step 2, one object per thread.
__global__ void best_anchors_naive(const BoxEdges* anchors, const BoxEdges* boxes, const int32_t* labels,
                                   uint64_t* best_anchors, MatchDims dims) {
  for (int64_t t : grid_stride(dims.images * dims.room)) {
    uint64_t best = 0;
    for (int64_t i = 0; i < dims.anchors && labels[t] >= 0; ++i) {
      const uint64_t key = anchor_key(intersection_over_union(boxes[t], anchors[i]), i);
      if (key > best) best = key;
    }
    best_anchors[t] = best;
  }
}

// Step 1: a block of anchors reads the truths of an image once, through shared memory.
__global__ void best_truths_tiled(const BoxEdges* anchors, const BoxEdges* boxes, const int32_t* labels,
                                  int32_t* matched, MatchDims dims) {
  __shared__ BoxEdges tile_boxes[block_threads];
  __shared__ int32_t tile_labels[block_threads];
  const int64_t i = int64_t(blockIdx.x) * block_threads + threadIdx.x, image = blockIdx.y;
  const bool inside = i < dims.anchors;
  const BoxEdges anchor = anchors[inside ? i : 0];
  BestTruth best;
  for (int64_t first = 0; first < dims.room; first += block_threads) {
    const int64_t rest = dims.room - first;
    const int count = rest < block_threads ? int(rest) : block_threads;
    if (int(threadIdx.x) < count) {
      tile_boxes[threadIdx.x] = boxes[image * dims.room + first + threadIdx.x];
      tile_labels[threadIdx.x] = labels[image * dims.room + first + threadIdx.x];
    }
    __syncthreads();
    for (int t = 0; t < count; ++t)
      best.see(anchor, tile_boxes[t], tile_labels[t], first + t, dims.crowd_threshold);
    __syncthreads();
  }
  if (inside) matched[image * dims.anchors + i] = best.result(dims.iou_threshold);
}

// Step 2: the best anchors of a group of objects within a chunk of the anchors; best_anchors (images, room,
// chunks).
__global__ void best_anchors_tiled(const BoxEdges* anchors, const BoxEdges* boxes, const int32_t* labels,
                                   uint64_t* best_anchors, MatchDims dims) {
  constexpr int warps = block_threads / 32;
  __shared__ BoxEdges group[group_truths];
  __shared__ uint64_t of_warps[warps][group_truths];
  const int thread = int(threadIdx.x);
  const int64_t truth = int64_t(blockIdx.y) * group_truths + thread, image = blockIdx.z;
  const bool has_truth = thread < group_truths && truth < dims.room;
  if (thread < group_truths) {
    const bool object = has_truth && labels[image * dims.room + truth] >= 0;
    group[thread] = object ? boxes[image * dims.room + truth] : BoxEdges{0, 0, 0, 0};  // overlaps nothing
  }
  __syncthreads();

  float iou[group_truths] = {};
  int32_t where[group_truths] = {};
  const int64_t begin = int64_t(blockIdx.x) * chunk_anchors, rest = dims.anchors - begin;
  const int64_t end = begin + (rest < chunk_anchors ? rest : chunk_anchors);
  for (int64_t i = begin + thread; i < end; i += block_threads) {
    const BoxEdges anchor = anchors[i];
    UNROLL for (int k = 0; k < group_truths; ++k) {
      const float overlap = intersection_over_union(group[k], anchor);
      if (overlap > iou[k]) {
        iou[k] = overlap;
        where[k] = int32_t(i);
      }
    }
  }
  UNROLL for (int k = 0; k < group_truths; ++k) {
    const uint64_t best = warp_max(anchor_key(iou[k], where[k]));
    if (thread % 32 == 0) of_warps[thread / 32][k] = best;
  }
  __syncthreads();
  if (has_truth) {
    uint64_t best = 0;
    for (int w = 0; w < warps; ++w)
      if (of_warps[w][thread] > best) best = of_warps[w][thread];
    best_anchors[(image * dims.room + truth) * gridDim.x + blockIdx.x] = best;
  }
}

__global__ void force_matches(const uint64_t* best_anchors, int32_t* matched, int64_t chunks,
                              MatchDims dims) {
  for (int64_t i : grid_stride(dims.images * dims.room)) {
    uint64_t best = 0;
    for (int64_t c = 0; c < chunks; ++c)
      if (best_anchors[i * chunks + c] > best) best = best_anchors[i * chunks + c];
    if (best == 0) continue;
    const int64_t anchor = 0xffffffffu - uint32_t(best);
    atomicMin(&matched[i / dims.room * dims.anchors + anchor], forced(i % dims.room));
  }
}

// Step 3. Replaces each anchor's object by its label.
__global__ void write_targets(const BoxEdges* anchors, const BoxEdges* boxes, const int32_t* labels,
                              int32_t* class_targets, BoxEdges* box_targets, int* positives, MatchDims dims) {
  int count = 0;
  for (int64_t i : grid_stride(dims.images * dims.anchors)) {
    const int32_t match = class_targets[i];
    BoxEdges code = {0, 0, 0, 0};
    if (match >= 0 || match < ignored_target) {
      const int64_t truth = i / dims.anchors * dims.room + (match >= 0 ? match : match - INT_MIN);
      code = encode_box(anchors[i % dims.anchors], boxes[truth]);
      class_targets[i] = labels[truth];
      ++count;
    }
    box_targets[i] = code;
  }
  count = block_sum(count);
  if (threadIdx.x == 0 && count) atomicAdd(positives, count);
}

__global__ void write_normalizer(const int* positives, float* normalizer) {
  *normalizer = float(double(*positives) + 1);
}

}  // namespace

void match_anchors(const float* anchors, const float* boxes, const int32_t* labels, int32_t* class_targets,
                   float* box_targets, float* normalizer, const MatchDims& dims) {
  const auto* anchor_edges = reinterpret_cast<const BoxEdges*>(anchors);
  const auto* truths = reinterpret_cast<const BoxEdges*>(boxes);
  const int64_t targets = dims.images * dims.anchors, entries = dims.images * dims.room;
  const bool naive = dims.anchors <= few_anchors;
  const int64_t chunks = naive ? 1 : (dims.anchors + chunk_anchors - 1) / chunk_anchors;
  const Workspace<uint64_t> best_anchors(entries * chunks);
  const Workspace<int> positives(1);
  fill_bytes(positives.data(), 0, sizeof(int));

  if (naive) {
    launch(best_truths_naive, {grid_for(targets), block_threads}, anchor_edges, truths, labels, class_targets,
           dims);
    launch(best_anchors_naive, {grid_for(entries), block_threads}, anchor_edges, truths, labels,
           best_anchors.data(), dims);
  } else {
    const unsigned blocks = unsigned((dims.anchors + block_threads - 1) / block_threads);
    const unsigned groups = unsigned((dims.room + group_truths - 1) / group_truths),
                   images = unsigned(dims.images);
    launch(best_truths_tiled, {dim3(blocks, images), block_threads}, anchor_edges, truths, labels,
           class_targets, dims);
    launch(best_anchors_tiled, {dim3(unsigned(chunks), groups, images), block_threads}, anchor_edges, truths,
           labels, best_anchors.data(), dims);
  }
  launch(force_matches, {grid_for(entries), block_threads}, best_anchors.data(), class_targets, chunks, dims);
  launch(write_targets, {grid_for(targets), block_threads}, anchor_edges, truths, labels, class_targets,
         reinterpret_cast<BoxEdges*>(box_targets), positives.data(), dims);
  launch(write_normalizer, {1, 1}, positives.data(), normalizer);
}

}  // namespace fovea::cuda
