// Detections from the network's outputs: the best k logits of an image, their boxes, and suppression. Bytes
// moved: the n logits of an image are read four times, 16 n in all (n = anchors x classes: 4.4 million for
// EfficientDet-D0 and 90 classes; up to seven times where logits are equal at the edge). All else is some
// hundred bytes for each of k candidates.
#include "cuda/kernels/detection.h"

#include <algorithm>
#include <cmath>

#include "cuda/device/box.h"
#include "cuda/device/grid.h"
#include "cuda/device/vector.h"
#include "cuda/runtime/launch.h"
#include "cuda/runtime/memory.h"

namespace fovea::cuda {
namespace {

// ---- the best k logits

constexpr int64_t few_logits = 1024;       // up to which each is compared with each
constexpr int64_t max_shared_room = 8192;  // candidates that one block sorts, in 64 KB of shared memory
constexpr int radix_bits = 11, bins = 1 << radix_bits;
constexpr int radix_passes = 6;  // 11 bits each of five, and the last 9 of the 64

__device__ inline uint64_t candidate_key(float logit, int64_t index, float bar) {
  uint32_t bits;
  memcpy(&bits, &logit, sizeof bits);
  if (logit == 0) bits = 0;  // -0 is 0
  bits = bits >> 31 ? ~bits : bits | 0x80000000u;
  return logit > bar ? uint64_t(bits) << 32 | (0xffffffffu - uint32_t(index)) : 0;  // 0 for NaN
}

__global__ void begin_status(DetectionStatus* status, int64_t images) {
  for (int64_t i : grid_stride(images)) status[i] = {0, nothing_wrong, nothing_wrong};
}

// The definition: a candidate's place is the number of better ones.
__global__ void rank_naive(const float* logits, uint64_t* candidates, DetectionStatus* status, int64_t images,
                           int64_t n, int64_t k, int64_t room, float bar) {
  for (int64_t i : grid_stride(images * n)) {
    const float* row = logits + i / n * n;
    const int64_t index = i % n;
    if (row[index] != row[index]) atomicMin(&status[i / n].nan_logit, int32_t(index));
    const uint64_t key = candidate_key(row[index], index, bar);
    if (key == 0) continue;
    int64_t better = 0;
    for (int64_t j = 0; j < n; ++j) better += candidate_key(row[j], j, bar) > key;
    if (better < k) candidates[i / n * room + better] = key;
  }
}

// Many logits: a radix search from the top finds the k-th best candidate without sorting, 11 bits a pass.
// Keys are unique, so exactly k are at least as good. Three passes know the logit; where it is that of one
// candidate only, or all of them are taken, the search is done, and the passes that would go on by the index
// do nothing.
struct Search {
  uint64_t threshold;  // the bits known of the k-th best, then zeros
  int32_t wanted;      // its place among those that begin with these bits
  int32_t found;       // candidates gathered
  int32_t done;
};
HD inline int digit_bits(int pass) {
  return pass < radix_passes - 1 ? radix_bits : 64 - (radix_passes - 1) * radix_bits;
}
HD inline int digit_shift(int pass) { return pass < radix_passes - 1 ? 64 - (pass + 1) * radix_bits : 0; }

__global__ void begin_search(Search* search, int64_t images, int64_t k) {
  for (int64_t i : grid_stride(images)) search[i] = {0, int32_t(k), 0, 0};
}

// Calls f(logit, index) for the logits of an image that this thread has, N at a time.
template <int N, class F>
__device__ inline void each_logit(const float* logits, int64_t n, F f) {
  const float* row = logits + blockIdx.y * n;
  for (int64_t p : grid_stride(n / N)) {
    const Pack<float, N> pack = load_pack<N>(row + p * N);
    for (int k = 0; k < N; ++k) f(pack.value[k], p * N + k);
  }
}

// Of the candidates that begin with the known bits: how many have which digit next. First in shared memory.
template <int N>
__global__ void count_digits(const float* logits, const Search* searches, int* counts,
                             DetectionStatus* status, int64_t n, float bar, int pass) {
  __shared__ int of_block[bins];
  if (searches[blockIdx.y].done) return;
  const uint64_t known = searches[blockIdx.y].threshold;
  const int shift = digit_shift(pass), bits = digit_bits(pass);
  int* nan_logit = &status[blockIdx.y].nan_logit;
  for (int b = int(threadIdx.x); b < bins; b += int(blockDim.x)) of_block[b] = 0;
  __syncthreads();
  each_logit<N>(logits, n, [=](float logit, int64_t index) {
    if (pass == 0 && logit != logit) atomicMin(nan_logit, int32_t(index));
    const uint64_t key = candidate_key(logit, index, bar);
    if (key != 0 && (key ^ known) >> shift >> bits == 0)
      atomicAdd(&of_block[key >> shift & ((1u << bits) - 1)], 1);
  });
  __syncthreads();
  for (int b = int(threadIdx.x); b < bins; b += int(blockDim.x))
    if (of_block[b]) atomicAdd(&counts[blockIdx.y * bins + b], of_block[b]);
}

// The digit that the wanted candidate has. One block an image; leaves the counts at 0 for the next pass.
__global__ void choose_digit(Search* searches, int* counts, int pass) {
  constexpr int own = bins / block_threads;
  __shared__ int at_least[block_threads + 1];  // candidates in the bins of this thread and of those above
  Search& search = searches[blockIdx.x];
  if (search.done) return;
  const int thread = int(threadIdx.x), wanted = search.wanted;
  int count[own], sum = 0;
  for (int b = 0; b < own; ++b) {
    int& bin = counts[blockIdx.x * bins + thread * own + b];
    sum += count[b] = bin;
    bin = 0;
  }
  at_least[thread] = sum;
  if (thread == 0) at_least[block_threads] = 0;
  for (int step = 1; step < block_threads; step *= 2) {
    __syncthreads();
    const int above = thread + step < block_threads ? at_least[thread + step] : 0;
    __syncthreads();
    at_least[thread] += above;
  }
  __syncthreads();
  if (pass == 0 && at_least[0] <= wanted) {  // there are no more than k: all are taken
    if (thread == 0) search.done = 1;
    return;
  }
  if (at_least[thread] < wanted || at_least[thread + 1] >= wanted) return;
  int rest = wanted - at_least[thread + 1], b = own - 1;
  for (; count[b] < rest; --b) rest -= count[b];
  search.threshold |= uint64_t(thread * own + b) << digit_shift(pass);
  search.wanted = rest;
  search.done = count[b] == rest;  // all with this digit are taken, whatever follows
}

// In any order: they are sorted next.
template <int N>
__global__ void gather_candidates(const float* logits, Search* searches, uint64_t* candidates, int64_t n,
                                  int64_t room, float bar) {
  const uint64_t threshold = searches[blockIdx.y].threshold;
  int* found = &searches[blockIdx.y].found;
  uint64_t* row = candidates + blockIdx.y * room;
  each_logit<N>(logits, n, [=](float logit, int64_t index) {
    const uint64_t key = candidate_key(logit, index, bar);
    if (key != 0 && key >= threshold) row[atomicAdd(found, 1)] = key;
  });
}

// Bitonic sort (Batcher 1968), greatest first. The network's comparator `pair` for runs of `size`: two
// numbers `stride` apart.
__device__ inline void compare_and_swap(uint64_t* row, int64_t pair, int64_t size, int64_t stride) {
  const int64_t low = 2 * pair - (pair & (stride - 1)), high = low + stride;
  const bool falling = (low & size) == 0;
  const uint64_t a = row[low], b = row[high];
  if ((a < b) == falling) {
    row[low] = b;
    row[high] = a;
  }
}

// One stage, all comparators of all images: for rows too long for a block.
__global__ void sort_stage_naive(uint64_t* candidates, int64_t room, int64_t size, int64_t stride) {
  for (int64_t pair : grid_stride(room / 2))
    compare_and_swap(candidates + blockIdx.y * room, pair, size, stride);
}

// One block an image, all stages in shared memory.
__global__ void sort_shared(uint64_t* candidates, int room) {
  uint64_t* row = dynamic_shared<uint64_t>();
  const int thread = int(threadIdx.x), threads = int(blockDim.x);
  for (int i = thread; i < room; i += threads) row[i] = candidates[int64_t(blockIdx.x) * room + i];
  __syncthreads();
  for (int size = 2; size <= room; size *= 2)
    for (int stride = size / 2; stride > 0; stride /= 2) {
      for (int pair = thread; pair < room / 2; pair += threads) compare_and_swap(row, pair, size, stride);
      __syncthreads();
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

template <int N>
void search_candidates(const float* logits, uint64_t* candidates, DetectionStatus* status, int64_t images,
                       int64_t n, int64_t k, int64_t room, float bar) {
  constexpr int64_t of_thread = 16;  // logits at least: a block of 256 has 2048 bins to clear and add
  const dim3 grid(grid_for((n + of_thread - 1) / of_thread).x, unsigned(images));
  const Workspace<Search> searches(images);
  const Workspace<int> counts(images * bins);
  fill_bytes(counts.data(), 0, size_t(images) * bins * sizeof(int));
  launch(begin_search, {grid_for(images), block_threads}, searches.data(), images, k);
  for (int pass = 0; pass < radix_passes; ++pass) {
    launch(count_digits<N>, {grid, block_threads}, logits, searches.data(), counts.data(), status, n, bar,
           pass);
    launch(choose_digit, {dim3(unsigned(images)), block_threads}, searches.data(), counts.data(), pass);
  }
  launch(gather_candidates<N>, {grid, block_threads}, logits, searches.data(), candidates, n, room, bar);
  sort_candidates(candidates, images, room);
}

// ---- boxes

__global__ void decode(const uint64_t* candidates, const float* logits, const BoxEdges* codes,
                       const BoxEdges* anchors, const float* limits, DecodedCandidates decoded,
                       DetectionStatus* status, int64_t images, int64_t room, int64_t num_anchors,
                       int64_t classes, float score_threshold) {
  for (int64_t i : grid_stride(images * room)) {
    const uint64_t candidate = candidates[i];
    decoded.scores[i] = 0;
    if (candidate == 0) continue;
    const int64_t image = i / room, index = int64_t(0xffffffffu - uint32_t(candidate)),
                  anchor = index / classes;
    const BoxEdges code = codes[image * num_anchors + anchor];
    const float numbers[4] = {code.ymin, code.xmin, code.ymax, code.xmax};
    for (int k = 3; k >= 0; --k)  // x - x is 0 for finite numbers only
      if (!(numbers[k] - numbers[k] == 0)) atomicMin(&status[image].bad_code, int32_t(i % room * 4 + k));

    BoxEdges box = decode_box(anchors[anchor], code);
    const float height = limits[image * 2], width = limits[image * 2 + 1];
    if (height > 0) {
      box = {fminf(fmaxf(box.ymin, 0.0f), height), fminf(fmaxf(box.xmin, 0.0f), width),
             fminf(fmaxf(box.ymax, 0.0f), height), fminf(fmaxf(box.xmax, 0.0f), width)};
      if (!(box.height() > 0 && box.width() > 0)) continue;  // in the letterbox's padding
    }
    const float score = 1 / (1 + std::exp(-logits[image * num_anchors * classes + index]));
    decoded.boxes[i] = box;
    decoded.labels[i] = int32_t(index % classes);
    if (score > score_threshold) decoded.scores[i] = score;
  }
}

// ---- suppression

// One block an image, one sweep over the candidates for each box kept: their labels and scores, and the boxes
// of one label, which stay in the caches. Greater scores first, of equal ones the first candidate; those at 0
// are out.
template <bool soft>
__global__ void suppress_kernel(DecodedCandidates decoded, DetectedBox* results, DetectionStatus* status,
                                int64_t room, Suppression suppression) {
  __shared__ uint64_t of_warps[32];
  const int thread = int(threadIdx.x), lane = thread % 32, warps = int(blockDim.x) / 32;
  const BoxEdges* boxes = decoded.boxes + blockIdx.x * room;
  float* scores = decoded.scores + blockIdx.x * room;
  const int32_t* labels = decoded.labels + blockIdx.x * room;
  BoxEdges kept_box = {0, 0, 0, 0};
  int32_t kept_label = -1;  // of nobody
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
        if (soft) {
          if (overlap > 0) score *= std::exp(-(overlap * overlap) / suppression.sigma);
          if (!(score > suppression.score_threshold)) score = 0;
        } else if (overlap > suppression.iou_threshold) {
          score = 0;
        }
      }
      if (score != before) scores[i] = score;
      uint32_t bits;
      memcpy(&bits, &score, sizeof bits);  // of floats that are not negative: in their order
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
  int64_t room = 1;
  while (room < std::min(n, k)) room *= 2;
  return room;
}

void top_candidates(const float* logits, uint64_t* candidates, DetectionStatus* status, int64_t images,
                    int64_t n, int64_t k, float bar) {
  const int64_t room = candidate_room(n, k);
  fill_bytes(candidates, 0, size_t(images * room) * sizeof(uint64_t));
  launch(begin_status, {grid_for(images), block_threads}, status, images);
  k = std::min(n, k);
  if (n <= few_logits)
    launch(rank_naive, {grid_for(images * n), block_threads}, logits, candidates, status, images, n, k, room,
           bar);
  else if (packs_fit<float>(n))
    search_candidates<pack_size<float>>(logits, candidates, status, images, n, k, room, bar);
  else
    search_candidates<1>(logits, candidates, status, images, n, k, room, bar);
}

void decode_candidates(const uint64_t* candidates, const float* logits, const float* codes,
                       const float* anchors, const float* limits, const DecodedCandidates& decoded,
                       DetectionStatus* status, int64_t images, int64_t room, int64_t num_anchors,
                       int64_t classes, float score_threshold) {
  launch(decode, {grid_for(images * room), block_threads}, candidates, logits,
         reinterpret_cast<const BoxEdges*>(codes), reinterpret_cast<const BoxEdges*>(anchors), limits,
         decoded, status, images, room, num_anchors, classes, score_threshold);
}

void suppress(const DecodedCandidates& decoded, DetectedBox* results, DetectionStatus* status, int64_t images,
              int64_t room, const Suppression& suppression) {
  const unsigned threads = unsigned(std::clamp<int64_t>((room + 31) / 32 * 32, 32, 1024));
  const auto kernel = suppression.soft ? suppress_kernel<true> : suppress_kernel<false>;
  launch(kernel, {dim3(unsigned(images)), threads}, decoded, results, status, room, suppression);
}

}  // namespace fovea::cuda
