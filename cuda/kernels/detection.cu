// Detections from the network's outputs: the best k logits of an image, their boxes, and suppression. Bytes
// moved: the n logits of an image are read three times, or four times if many of them are equal (n = anchors
// x classes: 4.4 million for EfficientDet-D0 and 90 classes, 9 MB in bfloat16). Everything else is some
// hundred bytes for each of k candidates.
#include "cuda/kernels/detection.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "cuda/device/bfloat16.h"
#include "cuda/device/box.h"
#include "cuda/device/grid.h"
#include "cuda/device/last_block.h"
#include "cuda/device/reduce.h"
#include "cuda/device/vector.h"
#include "cuda/runtime/launch.h"
#include "cuda/runtime/memory.h"
#include "cuda/runtime/stream.h"

namespace fovea::cuda {
namespace {

// ---- the best k logits

constexpr int64_t max_shared_room = 8192;  // candidates that one block sorts, in 64 KB of shared memory
constexpr int search_threads = 512, radix_bits = 13, bins = 1 << radix_bits;

// Makes candidates of logits: 0 for those that are not greater than the bar, or NaN.
struct CandidateKey {
  float bar;
  int index_bits;

  template <class T>
  __device__ uint64_t operator()(T logit, int64_t index) const {
    constexpr int unused = 32 - 8 * int(sizeof(T));
    const float x = float(logit) + 0.0f;  // -0 is 0
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    bits = (bits >> 31 ? ~bits : bits | 0x80000000u) >> unused;
    return x > bar ? uint64_t(bits) << index_bits | uint64_t((int64_t(1) << index_bits) - 1 - index) : 0;
  }
  // No logit below this has a key of `threshold` or more. A NaN is never below.
  template <class T>
  __device__ float lowest(uint64_t threshold) const {
    constexpr int unused = 32 - 8 * int(sizeof(T));
    const uint32_t ordered = uint32_t(threshold >> index_bits) << unused;
    const uint32_t bits = ordered >> 31 ? ordered & 0x7fffffffu : ~ordered;
    float x;
    memcpy(&x, &bits, sizeof x);
    return fmaxf(x, bar);  // without a threshold x is a NaN, which fmaxf drops
  }
};

// A radix search from the top finds the k-th best candidate without sorting, 13 bits per pass. Keys are
// unique, so exactly k are at least as good. It ends as soon as the candidates that begin with the known bits
// fit into the candidates' room: usually after two passes, which determine a bfloat16 and a part of the
// index. The remaining passes then do nothing.
struct Search {
  uint64_t threshold;  // the known bits of the k-th best, then zeros
  int32_t wanted;      // its place among those that begin with these bits
  int32_t found;       // candidates gathered
  int32_t done;
};

__global__ void begin_search(DetectionStatus* status, uint64_t* candidates, Search* searches, int* counts,
                             int64_t images, int64_t room, int64_t k) {
  for (int64_t i : grid_stride(images * (bins > room ? bins : room))) {
    if (i < images) {
      status[i] = {0, nothing_wrong, nothing_wrong};
      searches[i] = {0, int32_t(k), 0, 0};
    }
    if (i < images * room) candidates[i] = 0;
    if (i < images * bins) counts[i] = 0;
  }
}

// Calls f(logit, index) for this thread's logits of an image in each pack of N that has one of at least
// `lowest`, or a NaN. In most packs that is none: one comparison a logit then decides.
template <int N, class T, class F>
__device__ inline void each_logit(const T* logits, int64_t n, float lowest, F f) {
  const T* row = logits + blockIdx.y * n;
  for (int64_t p : grid_stride(n / N)) {
    const Pack<T, N> pack = load_pack<N>(row + p * N);
    bool any = false;
    UNROLL for (int k = 0; k < N; ++k) { any |= !(float(pack.value[k]) < lowest); }
    if (!any) continue;
    EXPECT_SKIPPED(0);
    for (int k = 0; k < N; ++k) f(pack.value[k], p * N + k);
  }
}

// Reads the candidates that begin with the bits known so far, those above `shift_before`, and counts how many
// have each value of the next digit, the bits from `shift` on. An image's last block to finish selects the
// digit of the candidate that is searched for, and resets the counts to 0 for the next pass.
template <class T, int N>
__global__ void __launch_bounds__(search_threads)
    count_digits(const T* logits, Search* searches, int* counts, DetectionStatus* status, unsigned* tickets,
                 int64_t n, int64_t k, int64_t room, CandidateKey key_of, int shift_before, int shift) {
  constexpr int own = bins / search_threads, warps = search_threads / 32;
  __shared__ int of_block[bins];
  __shared__ int of_warps[warps];
  Search& search = searches[blockIdx.y];
  if (search.done) return;
  const uint64_t known = search.threshold;
  const int wanted = search.wanted, thread = int(threadIdx.x), lane = thread % 32, warp = thread / 32;
  const bool first = known == 0;
  counts += blockIdx.y * bins;
  for (int b = thread; b < bins; b += search_threads) of_block[b] = 0;
  __syncthreads();
  int digit = 0, run = 0;  // equal ones in a row are counted at once: early in training, most logits are
  each_logit<N>(logits, n, key_of.template lowest<T>(known), [&](T logit, int64_t index) {
    const float value = float(logit);
    if (first && value != value) atomicMin(&status[blockIdx.y].nan_logit, int32_t(index));
    const uint64_t key = key_of(logit, index);
    if (key == 0 || (key ^ known) >> shift_before != 0) return;
    const int next = int(key >> shift) & ((1 << (shift_before - shift)) - 1);
    if (next != digit && run > 0) {
      atomicAdd(&of_block[digit], run);
      run = 0;
    }
    digit = next;
    ++run;
  });
  if (run > 0) atomicAdd(&of_block[digit], run);
  __syncthreads();
  for (int b = thread; b < bins; b += search_threads)
    if (of_block[b]) atomicAdd(&counts[b], of_block[b]);
  if (!is_last_block(tickets + blockIdx.y, gridDim.x)) return;

  for (int b = thread; b < bins; b += search_threads) {
    of_block[b] = counts[b];
    counts[b] = 0;
  }
  __syncthreads();
  const int* own_bins = of_block + thread * own;
  int sum = 0;
  for (int b = 0; b < own; ++b) sum += own_bins[b];
  int at_least = sum;  // candidates in the bins of this thread and of those after it
  for (int step = 1; step < 32; step *= 2) {
    const int above = __shfl_down_sync(all_lanes, at_least, step);
    if (lane + step < 32) at_least += above;
  }
  if (lane == 0) of_warps[warp] = at_least;
  __syncthreads();
  for (int w = warp + 1; w < warps; ++w) at_least += of_warps[w];
  if (thread == 0 && at_least < wanted) search.done = 1;  // there are fewer than k: all are taken
  if (at_least < wanted || at_least - sum >= wanted) return;
  int rest = wanted - (at_least - sum), b = own - 1;
  for (; own_bins[b] < rest; --b) rest -= own_bins[b];
  search.threshold = known | uint64_t(thread * own + b) << shift;
  search.wanted = rest;
  search.done = k - rest + own_bins[b] <= room;
}

// In any order, because they are sorted next.
template <class T, int N>
__global__ void gather_candidates(const T* logits, Search* searches, uint64_t* candidates, int64_t n,
                                  int64_t room, CandidateKey key_of) {
  const uint64_t threshold = searches[blockIdx.y].threshold;
  int* found = &searches[blockIdx.y].found;
  uint64_t* row = candidates + blockIdx.y * room;
  each_logit<N>(logits, n, key_of.template lowest<T>(threshold), [=](T logit, int64_t index) {
    const uint64_t key = key_of(logit, index);
    if (key != 0 && key >= threshold) row[atomicAdd(found, 1)] = key;
  });
}

// Bitonic sort (Batcher 1968), greatest first. The network's comparator `pair` for runs of `size` compares
// two numbers `stride` apart.
__device__ inline void compare_and_swap(uint64_t* row, int64_t pair, int64_t size, int64_t stride) {
  const int64_t low = 2 * pair - (pair & (stride - 1)), high = low + stride;
  const bool falling = (low & size) == 0;
  const uint64_t a = row[low], b = row[high];
  if ((a < b) == falling) {
    row[low] = b;
    row[high] = a;
  }
}

// One stage, all comparators of all images: for rows that are too long for one block.
__global__ void sort_stage_naive(uint64_t* candidates, int64_t room, int64_t size, int64_t stride) {
  for (int64_t pair : grid_stride(room / 2))
    compare_and_swap(candidates + blockIdx.y * room, pair, size, stride);
}

// One block per image, all stages in shared memory.
__global__ void sort_shared(uint64_t* candidates, int room) {
  uint64_t* row = dynamic_shared<uint64_t>();
  const int thread = int(threadIdx.x), threads = int(blockDim.x);
  for (int i = thread; i < room; i += threads) row[i] = candidates[int64_t(blockIdx.x) * room + i];
  __syncthreads();
  for (int size = 2; size <= room; size *= 2)
    for (int stride = size / 2; stride > 0; stride /= 2) {
      for (int pair = thread; pair < room / 2; pair += threads) compare_and_swap(row, pair, size, stride);
      // Up to a stride of 32 the comparators of a warp stay within 64 numbers, which no other warp has.
      const int next = stride > 1 ? stride / 2 : size;
      if (stride > 32 || next > 32)
        __syncthreads();
      else
        __syncwarp();
    }
  for (int i = thread; i < room; i += threads) candidates[int64_t(blockIdx.x) * room + i] = row[i];
}

void sort_candidates(uint64_t* candidates, int64_t images, int64_t room) {
  if (room <= max_shared_room) {
    const unsigned threads = unsigned(std::clamp<int64_t>(room / 2, 32, 1024));
    launch(sort_shared, {dim3(unsigned(images)), threads, size_t(room) * sizeof(uint64_t)}, candidates,
           int(room));
    return;
  }
  for (int64_t size = 2; size <= room; size *= 2)
    for (int64_t stride = size / 2; stride > 0; stride /= 2)
      launch(sort_stage_naive, {dim3(grid_for(room / 2).x, unsigned(images)), block_threads}, candidates,
             room, size, stride);
}

// ---- boxes

template <class T>
__global__ void decode(const uint64_t* candidates, const T* logits, const T* codes, const BoxEdges* anchors,
                       const float* limits, DecodedCandidates decoded, DetectionStatus* status,
                       int64_t images, int64_t k, int64_t room, int64_t num_anchors, int64_t classes,
                       int index_bits, float score_threshold) {
  for (int64_t i : grid_stride(images * room)) {
    const uint64_t candidate = candidates[i];
    decoded.scores[i] = 0;
    if (candidate == 0 || i % room >= k) continue;
    const int64_t image = i / room, index = candidate_index(candidate, index_bits), anchor = index / classes;
    const Pack<T, 4> pack = load_pack<4>(codes + (image * num_anchors + anchor) * 4);
    const float code[4] = {float(pack.value[0]), float(pack.value[1]), float(pack.value[2]),
                           float(pack.value[3])};
    for (int j = 3; j >= 0; --j)  // x - x is 0 for finite numbers only
      if (!(code[j] - code[j] == 0)) atomicMin(&status[image].bad_code, int32_t(i % room * 4 + j));

    BoxEdges box = decode_box(anchors[anchor], {code[0], code[1], code[2], code[3]});
    const float height = limits[image * 2], width = limits[image * 2 + 1];
    if (height > 0) {
      box = {fminf(fmaxf(box.ymin, 0.0f), height), fminf(fmaxf(box.xmin, 0.0f), width),
             fminf(fmaxf(box.ymax, 0.0f), height), fminf(fmaxf(box.xmax, 0.0f), width)};
      if (!(box.height() > 0 && box.width() > 0)) continue;  // in the letterbox's padding
    }
    const float score = 1 / (1 + std::exp(-float(logits[image * num_anchors * classes + index])));
    decoded.boxes[i] = box;
    decoded.labels[i] = int32_t(index % classes);
    if (score > score_threshold) decoded.scores[i] = score;
  }
}

// ---- suppression: one block per image

// Greedy: candidates come best first, so each one is kept that no kept one covers. A thread has one of the
// next candidates; warp after warp keeps what is left of its 32, and later warps compare with that.
__global__ void suppress_in_order(DecodedCandidates decoded, DetectedBox* results, DetectionStatus* status,
                                  int64_t room, Suppression suppression) {
  __shared__ int counts[2];  // kept after a warp's turn; the next warp writes the other one
  const int thread = int(threadIdx.x), lane = thread % 32, warp = thread / 32, warps = int(blockDim.x) / 32;
  DetectedBox* kept = results + int64_t(blockIdx.x) * suppression.most;
  int count = 0;
  for (int64_t first = 0; first < room && count < suppression.most; first += blockDim.x) {
    const int64_t i = blockIdx.x * room + first + thread;
    DetectedBox own = {{0, 0, 0, 0}, 0, -1};
    if (first + thread < room && decoded.scores[i] > 0)
      own = {decoded.boxes[i], decoded.scores[i], decoded.labels[i]};
    bool left = own.score > 0;
    const auto look_at = [&](const BoxEdges& box, int32_t label) {
      if (label == own.label && intersection_over_union(own.box, box) > suppression.iou_threshold)
        left = false;
    };
    int seen = 0;
    for (int turn = 0; turn < warps && count < suppression.most; ++turn) {
      if (turn <= warp)
        for (; seen < count && left; ++seen) look_at(kept[seen].box, kept[seen].label);
      if (turn == warp) {
        unsigned lanes = __ballot_sync(all_lanes, left);
        for (; lanes != 0 && count < suppression.most; ++count) {
          const int best = __ffs(int(lanes)) - 1;
          const BoxEdges box = {
              __shfl_sync(all_lanes, own.box.ymin, best), __shfl_sync(all_lanes, own.box.xmin, best),
              __shfl_sync(all_lanes, own.box.ymax, best), __shfl_sync(all_lanes, own.box.xmax, best)};
          look_at(box, __shfl_sync(all_lanes, own.label, best));
          if (lane == best) {
            kept[count] = own;
            left = false;
          }
          lanes = __ballot_sync(all_lanes, left);
        }
        if (lane == 0) counts[turn % 2] = count;
      }
      __syncthreads();
      count = counts[turn % 2];
    }
  }
  if (thread == 0) status[blockIdx.x].count = count;
}

// Gaussian soft NMS: one sweep over the candidates for each box kept, over their labels and scores, and the
// boxes of one label, which stay in the caches. Greater scores come first, of equal ones the first candidate;
// those at 0 are out.
__global__ void suppress_softly(DecodedCandidates decoded, DetectedBox* results, DetectionStatus* status,
                                int64_t room, Suppression suppression) {
  __shared__ uint64_t of_warps[32];
  const int thread = int(threadIdx.x), lane = thread % 32, warps = int(blockDim.x) / 32;
  const BoxEdges* boxes = decoded.boxes + blockIdx.x * room;
  float* scores = decoded.scores + blockIdx.x * room;
  const int32_t* labels = decoded.labels + blockIdx.x * room;
  BoxEdges kept_box = {0, 0, 0, 0};
  int32_t kept_label = -1;  // no class
  int64_t kept = -1;
  int count = 0;
  for (;; ++count) {
    uint64_t best = 0;
    for (int64_t i = thread; i < room; i += blockDim.x) {
      const float before = scores[i];
      if (!(before > 0)) continue;
      float score = before;
      if (i == kept) {
        score = 0;
      } else if (labels[i] == kept_label) {
        const float overlap = intersection_over_union(boxes[i], kept_box);
        if (overlap > 0) score *= std::exp(-(overlap * overlap) / suppression.sigma);
        if (!(score > suppression.score_threshold)) score = 0;
      }
      if (score != before) scores[i] = score;
      uint32_t bits;
      memcpy(&bits, &score, sizeof bits);  // bits of non-negative floats have the floats' order
      const uint64_t key = bits ? uint64_t(bits) << 32 | (0xffffffffu - uint32_t(i)) : 0;
      if (key > best) best = key;
    }
    best = warp_max(best);
    if (lane == 0) of_warps[thread / 32] = best;
    __syncthreads();
    best = warp_max(lane < warps ? of_warps[lane] : 0);
    __syncthreads();
    if (best == 0 || count == suppression.most) break;
    kept = 0xffffffffu - uint32_t(best);
    kept_box = boxes[kept];
    kept_label = labels[kept];
    if (thread == 0) {
      const uint32_t bits = uint32_t(best >> 32);
      float score;
      memcpy(&score, &bits, sizeof score);
      results[int64_t(blockIdx.x) * suppression.most + count] = {kept_box, score, kept_label};
    }
  }
  if (thread == 0) status[blockIdx.x].count = count;
}

}  // namespace

int64_t candidate_room(int64_t n, int64_t k) {
  return int64_t(std::bit_ceil(uint64_t(std::max<int64_t>(std::min(n, k), 1))));
}

template <class T>
void top_candidates(const T* logits, uint64_t* candidates, DetectionStatus* status, int64_t images, int64_t n,
                    int64_t k, float bar) {
  const int64_t room = candidate_room(n, k);
  const CandidateKey key_of{bar, index_bits(n)};
  k = std::min(n, k);
  const Workspace<Search> searches(images);
  const Workspace<int> counts(images * bins);
  launch(begin_search, {grid_for(images * std::max<int64_t>(bins, room)), block_threads}, status, candidates,
         searches.data(), counts.data(), images, room, k);
  // A block has at least 16 logits per thread, so that its bins are not most of its work; and there are no
  // more blocks than keep a GPU busy.
  constexpr int64_t of_block = 16 * search_threads, most_blocks = 1024;
  const dim3 grid(unsigned(std::min((n + of_block - 1) / of_block, most_blocks / images + 1)),
                  unsigned(images));
  const bool packs = packs_fit<T>(n);
  const auto count = packs ? count_digits<T, pack_size<T>> : count_digits<T, 1>;
  const auto gather = packs ? gather_candidates<T, pack_size<T>> : gather_candidates<T, 1>;
  for (int shift = 8 * int(sizeof(T)) + key_of.index_bits; shift > 0;) {
    const int before = std::exchange(shift, std::max(shift - radix_bits, 0));
    launch(count, {grid, search_threads}, logits, searches.data(), counts.data(), status,
           current_stream().tickets(images), n, k, room, key_of, before, shift);
  }
  launch(gather, {grid, search_threads}, logits, searches.data(), candidates, n, room, key_of);
  sort_candidates(candidates, images, room);
}

template <class T>
void decode_candidates(const uint64_t* candidates, const T* logits, const T* codes, const float* anchors,
                       const float* limits, const DecodedCandidates& decoded, DetectionStatus* status,
                       int64_t images, int64_t k, int64_t room, int64_t num_anchors, int64_t classes,
                       float score_threshold) {
  constexpr int64_t each = sizeof(uint64_t) + 5 * sizeof(T) + 2 * sizeof(BoxEdges) + 2 * sizeof(float);
  launch(decode<T>, LaunchConfig(grid_for(images * room), block_threads).moves(images * room * each),
         candidates, logits, codes, reinterpret_cast<const BoxEdges*>(anchors), limits, decoded, status,
         images, k, room, num_anchors, classes, index_bits(num_anchors * classes), score_threshold);
}

#define INSTANTIATE(T)                                                                                   \
  template void top_candidates(const T*, uint64_t*, DetectionStatus*, int64_t, int64_t, int64_t, float); \
  template void decode_candidates(const uint64_t*, const T*, const T*, const float*, const float*,       \
                                  const DecodedCandidates&, DetectionStatus*, int64_t, int64_t, int64_t, \
                                  int64_t, int64_t, float);
INSTANTIATE(float)
INSTANTIATE(bfloat16)

void suppress(const DecodedCandidates& decoded, DetectedBox* results, DetectionStatus* status, int64_t images,
              int64_t room, const Suppression& suppression) {
  const unsigned threads = unsigned(std::clamp<int64_t>((room + 31) / 32 * 32, 32, 1024));
  launch(suppression.soft ? suppress_softly : suppress_in_order, {dim3(unsigned(images)), threads}, decoded,
         results, status, room, suppression);
}

}  // namespace fovea::cuda
