// Writes launches down for `fovea show kernel`.
#include "cuda/sim/film.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <map>

#include "cuda/runtime/error.h"
#include "cuda/runtime/profile.h"

namespace fovea::sim {
namespace {

// As it stands between quotes, in JSON and in a page's script.
std::string quoted(const std::string& text) {
  std::string result = "\"";
  for (const char c : text)
    if (c == '"' || c == '\\' || c == '<' || static_cast<unsigned char>(c) < 32)
      result += fmt::format("\\u{:04x}", static_cast<unsigned char>(c));
    else
      result += c;
  return result + "\"";
}

// What is drawn beside each other: a buffer, or a piece of shared memory.
struct Region {
  std::string name;
  bool is_shared = false;
  uintptr_t begin = 0, end = 0;               // of the memory
  uintptr_t touched = ~uintptr_t(0), to = 0;  // the part of it that the launch touches
  size_t cell = 8;

  void touch(uintptr_t address, size_t bytes) {
    touched = std::min(touched, address);
    to = std::max(to, address + bytes);
    cell = std::min(cell, bytes > 8 ? 4 : bytes);  // packs are of smaller numbers
  }
  size_t place(uintptr_t address) const { return (address - begin) / cell; }
  size_t first() const { return place(touched) / 32 * 32; }  // rows of 32
  size_t count() const { return place(to - 1) + 1 - first(); }
};

// All that a launch touches, in the order in which it is drawn.
class Regions {
 public:
  // Arrays of shared memory that lie this close together are one region.
  static constexpr uintptr_t near = 256;

  explicit Regions(Buffers& buffers) : buffers_(buffers) {}

  void add(uintptr_t address, size_t bytes, bool is_shared) {
    if (is_shared) {
      shared_[address] = std::max(shared_[address], bytes);
    } else {
      const size_t buffer = buffers_.find(address);
      const Buffer& b = buffers_.all()[buffer];
      global_.try_emplace(buffer, Region{b.name, false, b.begin, b.begin + b.bytes})
          .first->second.touch(address, bytes);
    }
  }

  std::vector<Region> all() const {
    std::vector<Region> result;
    for (const auto& [buffer, region] : global_) result.push_back(region);
    const size_t buffers = result.size();
    for (const auto& [address, bytes] : shared_) {
      if (result.size() == buffers || address > result.back().to + near) {
        const size_t number = result.size() - buffers + 1;
        result.push_back(
            {number == 1 ? "shared memory" : fmt::format("shared memory {}", number), true, address});
      }
      result.back().touch(address, bytes);
      result.back().end = result.back().to;
    }
    return result;
  }

 private:
  Buffers& buffers_;
  std::map<size_t, Region> global_;
  std::map<uintptr_t, size_t> shared_;
};

// The place of the region that holds an address; their number where none does.
size_t place_of(const std::vector<Region>& regions, uintptr_t address) {
  const auto found = std::find_if(regions.begin(), regions.end(),
                                  [&](const Region& r) { return address >= r.begin && address < r.end; });
  return size_t(found - regions.begin());
}

// ",thread,cell,cells"
std::string cells_of(const Region& region, unsigned thread, uintptr_t address, size_t bytes) {
  const size_t first = region.place(address);
  return fmt::format(",{},{},{}", thread, first, region.place(address + bytes - 1) - first + 1);
}

// Whether the simulator stopped the launch because of the latest access.
bool is_of_an_access(const std::string& fault) {
  if (fault.find("of host memory") != std::string::npos) return false;  // watchers do not see it
  for (const char* kind : {"race", "out of bounds", "read of uninitialised"})
    if (fault.starts_with(std::string("[simulator] ") + kind)) return true;
  return false;
}

}  // namespace

Film::Film(const std::string& path) : file_(std::fopen(path.c_str(), "w")) {
  if (!file_)
    throw CudaError(fmt::format("FOVEA_SIM_FILM: {} cannot be written: {}", path, std::strerror(errno)));
}
Film::~Film() { std::fclose(file_); }

void Film::begin(const Kernel& kernel) {
  RequestWatcher::begin(kernel);
  kernel_ = &kernel;
  buffers_.emplace(kernel);
  steps_.clear();
  last_.reset();
}

void Film::access(const Access& access) {
  last_ = {current_thread(), access};
  if (steps_.size() <= most_steps) RequestWatcher::access(access);
}

void Film::request(const Request& request) {
  if (steps_.size() <= most_steps) steps_.push_back({request.block, false, request});
}

void Film::barrier() {
  RequestWatcher::barrier();
  last_.reset();
  if (steps_.size() <= most_steps)
    steps_.push_back({(blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x, true, {}});
}

void Film::end(const std::string& fault) {
  RequestWatcher::end(fault);
  Regions memory(*buffers_);
  for (const Step& step : steps_)
    for (int lane = 0; lane < 32; ++lane)
      if (step.request.lanes >> lane & 1)
        memory.add(step.request.address[lane], step.request.bytes[lane], step.request.is_shared);
  const std::vector<Region> regions = memory.all();
  size_t cells = 0;
  for (const Region& region : regions) cells += region.count();

  const dim3 &grid = kernel_->grid, &block = kernel_->block;
  fmt::print(file_, R"({{"kernel":{},"launched":{},"grid":[{},{},{}],"block":[{},{},{}],"fault":{})",
             quoted(cuda::kernel_name(kernel_->function)),
             quoted(fmt::format("{}:{}", short_file(kernel_->file), kernel_->line)), grid.x, grid.y, grid.z,
             block.x, block.y, block.z, quoted(fault));
  if (steps_.size() > most_steps || cells > most_cells) {
    const std::string found = steps_.size() > most_steps ? fmt::format("more than {} steps", most_steps)
                                                         : fmt::format("{} cells of memory", cells);
    fmt::print(file_, ",\"too_large\":{}}}\n",
               quoted(fmt::format("it has {}, and a film at most {} steps and {} cells", found, most_steps,
                                  most_cells)));
    std::fflush(file_);
    return;
  }
  std::string list;
  for (const Region& r : regions)
    list += fmt::format(R"({}{{"name":{},"shared":{},"cell":{},"first":{},"count":{}}})",
                        list.empty() ? "" : ",", quoted(r.name), r.is_shared, r.cell, r.first(), r.count());
  fmt::print(file_, ",\"regions\":[{}]", list);

  list.clear();
  std::map<const void*, size_t> sites;
  std::string steps, failed;
  size_t count = 0;  // of steps
  const bool stopped_here = last_ && is_of_an_access(fault);
  for (const Step& step : steps_) {
    if (step.is_barrier) {
      steps += fmt::format("{}[{}]", count++ ? "," : "", step.block);
      continue;
    }
    const Request& r = step.request;
    const auto [site, is_new] = sites.try_emplace(r.from, sites.size());
    if (is_new) list += fmt::format("{}{}", list.empty() ? "" : ",", quoted(source_line(r.from)));
    std::map<size_t, std::string> lanes;  // by region: nearly always one
    for (unsigned lane = 0; lane < 32; ++lane)
      if (r.lanes >> lane & 1) {
        const size_t at = place_of(regions, r.address[lane]);
        const unsigned thread = r.warp * 32 + lane;
        lanes[at] += cells_of(regions[at], thread, r.address[lane], r.bytes[lane]);
        if (stopped_here && r.from == last_->access.from && thread == last_->thread &&
            r.address[lane] == last_->access.address)
          failed = fmt::format("{},{},{},{}", count, thread, at, regions[at].place(r.address[lane]));
      }
    for (const auto& [region, text] : lanes)
      steps += fmt::format("{}[{},{},{},{},{}{}]", count++ ? "," : "", step.block, r.warp, site->second,
                           int(r.kind), region, text);
  }
  if (!failed.empty()) fmt::print(file_, ",\"failed\":[{}]", failed);
  fmt::print(file_, ",\"sites\":[{}],\"steps\":[{}]}}\n", list, steps);
  std::fflush(file_);  // a program that ends by a fault leaves what came before
}

void film_if_asked() {
#ifdef FOVEA_SIM_CHECKS
  [[maybe_unused]] static const bool once = [] {
    if (const char* path = std::getenv("FOVEA_SIM_FILM")) {
      static Film* const film = new Film(path);  // never destroyed: tensors in static storage may outlive it
      watchers.push_back(film);
    }
    return true;
  }();
#endif
}

}  // namespace fovea::sim
