#include "train/data/loader/idx.h"

#include <algorithm>
#include <vector>

#include "core/error.h"
#include "core/file.h"

namespace fovea {
namespace {

constexpr uint8_t unsigned_bytes = 0x08;  // the format's code of the type

// Rank and sizes, which follow a magic number of two zeros, the type and the rank.
std::vector<int64_t> read_sizes(const std::string& path, const std::string& content) {
  const auto byte = [&](size_t at) { return uint8_t(content[at]); };
  require(content.size() >= 4, "{} has {} bytes: no IDX file is that short", path, content.size());
  require(byte(0) != 0x1f || byte(1) != 0x8b, "{} is compressed: unpack it with gunzip", path);
  require(byte(0) == 0 && byte(1) == 0,
          "{} begins with the bytes {:#04x} {:#04x}, an IDX file with two zeros", path, byte(0), byte(1));
  require(byte(2) == unsigned_bytes,
          "{} holds numbers of type {:#04x} (offset 2): only unsigned bytes, {:#04x}, can be read", path,
          byte(2), unsigned_bytes);
  const size_t rank = byte(3);
  require(rank >= 1 && rank <= size_t(Shape::max_rank), "{} has rank {} (offset 3): 1 to {} can be read",
          path, rank, Shape::max_rank);
  require(content.size() >= 4 + 4 * rank, "{} has {} bytes: it ends within its header", path, content.size());
  std::vector<int64_t> sizes;
  for (size_t axis = 0; axis < rank; ++axis) {
    int64_t size = 0;  // big-endian
    for (size_t i = 0; i < 4; ++i) size = size << 8 | byte(4 + 4 * axis + i);
    sizes.push_back(size);
  }
  return sizes;
}

// Whether the product of the sizes is this many bytes; it avoids computing the product, which may be larger
// than any integer.
bool have_product(const std::vector<int64_t>& sizes, int64_t bytes) {
  int64_t product = 1;
  for (const int64_t size : sizes) {
    if (size == 0) return bytes == 0;
    if (product > bytes / size) return false;
    product *= size;
  }
  return product == bytes;
}

}  // namespace

Tensor read_idx(const std::string& path) {
  require(path_exists(path) || !path_exists(path + ".gz"),
          "{0} does not exist, but {0}.gz does: gunzip {0}.gz", path);
  const std::string content = read_file(path);
  const std::vector<int64_t> sizes = read_sizes(path, content);
  const size_t header = 4 + 4 * sizes.size();
  require(have_product(sizes, int64_t(content.size() - header)),
          "{} has {} bytes after its header, but the sizes there (offset 4) are {}: the file is cut short or "
          "damaged",
          path, content.size() - header, fmt::join(sizes, " x "));
  const Tensor result(Shape(sizes), DType::uint8);
  std::copy(content.begin() + long(header), content.end(), result.data<uint8_t>());
  return result;
}

}  // namespace fovea
