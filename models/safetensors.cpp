#include "models/safetensors.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "core/file.h"

namespace fovea {
namespace {

static_assert(std::endian::native == std::endian::little, "safetensors files are little-endian");

struct Named {
  const char* name;
  DType dtype;
};
constexpr Named dtypes[] = {{"F32", DType::float32},
                            {"F64", DType::float64},
                            {"BF16", DType::bfloat16},
                            {"I32", DType::int32},
                            {"U8", DType::uint8}};

const char* dtype_text(DType dtype) {
  for (const Named& n : dtypes)
    if (n.dtype == dtype) return n.name;
  fail("[safetensors] dtype {} has no name in the format", dtype);
}

DType dtype_from(const std::string& text, const std::string& where) {
  for (const Named& n : dtypes)
    if (text == n.name) return n.dtype;
  fail("{} has dtype {}: only F32, F64, BF16, I32 and U8 are known here", where, text);
}

// One entry of the header, checked by itself.
struct Entry {
  std::string name;
  DType dtype;
  Shape shape;
  size_t begin, end;
};

Entry parse_entry(const std::string& name, const nlohmann::json& json, const std::string& where) {
  require(json.is_object() && json.contains("dtype") && json["dtype"].is_string() && json.contains("shape") &&
              json["shape"].is_array() && json.contains("data_offsets") && json["data_offsets"].is_array() &&
              json["data_offsets"].size() == 2,
          "{} must have dtype, shape and two data_offsets", where);
  std::vector<int64_t> sizes;
  double product = 1;
  for (const nlohmann::json& size : json["shape"]) {
    require(size.is_number_unsigned() && size.get<uint64_t>() < (uint64_t(1) << 40), "{} has a size {}",
            where, size.dump());
    sizes.push_back(size.get<int64_t>());
    product *= double(sizes.back());
  }
  require(int(sizes.size()) <= Shape::max_rank && product < 1e15,
          "{} has the shape {}: too many axes or too large", where, json["shape"].dump());
  const auto &begin = json["data_offsets"][0], &end = json["data_offsets"][1];
  require(begin.is_number_unsigned() && end.is_number_unsigned(), "{} has data_offsets {}", where,
          json["data_offsets"].dump());
  const Entry entry{name, dtype_from(json["dtype"].get<std::string>(), where), Shape(sizes),
                    begin.get<size_t>(), end.get<size_t>()};
  require(entry.end >= entry.begin &&
              entry.end - entry.begin == size_t(entry.shape.numel() * size_of(entry.dtype)),
          "{} lies at bytes {} to {}, which is not the size of {} of {}", where, entry.begin, entry.end,
          entry.dtype, entry.shape);
  return entry;
}

}  // namespace

void write_safetensors(const std::string& path, const std::map<std::string, std::string>& metadata,
                       const std::vector<NamedTensor>& tensors) {
  nlohmann::ordered_json header;
  if (!metadata.empty()) header["__metadata__"] = metadata;
  size_t offset = 0;
  for (const NamedTensor& t : tensors) {
    require(!header.contains(t.name), "[write_safetensors] two tensors are named {}", t.name);
    const size_t bytes = size_t(t.tensor.bytes());
    const auto sizes = t.tensor.shape().sizes();
    header[t.name] = {{"dtype", dtype_text(t.tensor.dtype())},
                      {"shape", std::vector<int64_t>(sizes.begin(), sizes.end())},
                      {"data_offsets", {offset, offset + bytes}}};
    offset += bytes;
  }
  std::string text = header.dump();
  text.resize((text.size() + 7) / 8 * 8, ' ');  // the format allows spaces; the numbers are then aligned
  const uint64_t length = text.size();
  std::string start(sizeof length, '\0');
  std::memcpy(start.data(), &length, sizeof length);
  start += text;
  std::vector<std::string_view> parts{start};
  for (const NamedTensor& t : tensors)
    parts.emplace_back(reinterpret_cast<const char*>(t.tensor.raw()), size_t(t.tensor.bytes()));
  write_file_atomically(path, parts);
}

TensorFile read_safetensors(const std::string& path) {
  const std::string content = read_file(path);
  uint64_t length = 0;
  require(content.size() >= sizeof length, "{} is not a safetensors file: it has only {} bytes", path,
          content.size());
  std::memcpy(&length, content.data(), sizeof length);
  require(length <= content.size() - sizeof length && length >= 2 && content[sizeof length] == '{',
          "{} is not a safetensors file, or is cut short: its header should have {} bytes, the file has {}",
          path, length, content.size());
  const std::string_view text(content.data() + sizeof length, size_t(length));
  const std::string_view data(content.data() + sizeof length + length,
                              content.size() - sizeof length - size_t(length));
  nlohmann::json header;
  try {
    header = nlohmann::json::parse(text);
  } catch (const nlohmann::json::exception& error) {
    fail("{} has a header that is not JSON: {}", path, error.what());
  }

  TensorFile file;
  std::vector<Entry> entries;
  for (const auto& [name, json] : header.items()) {
    if (name != "__metadata__") {
      entries.push_back(parse_entry(name, json, fmt::format("{}: tensor {}", path, name)));
      continue;
    }
    require(json.is_object(), "{}: __metadata__ must be an object of texts", path);
    for (const auto& [key, value] : json.items()) {
      require(value.is_string(), "{}: __metadata__ {} must be a text", path, key);
      file.metadata[key] = value.get<std::string>();
    }
  }
  std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
    return a.begin != b.begin ? a.begin < b.begin : a.end < b.end;
  });
  size_t at = 0;
  for (const Entry& entry : entries) {
    require(entry.begin == at, "{}: tensor {} starts at byte {} of the data, the one before it ends at {}",
            path, entry.name, entry.begin, at);
    require(entry.end <= data.size(),
            "{} is cut short: tensor {} ends at byte {} of the data, the file has {}", path, entry.name,
            entry.end, data.size());
    Tensor tensor(entry.shape, entry.dtype);
    if (entry.end > entry.begin)
      std::memcpy(tensor.raw(), data.data() + entry.begin, entry.end - entry.begin);
    file.tensors.push_back({entry.name, tensor});
    at = entry.end;
  }
  require(at == data.size(), "{} has {} bytes of data, its tensors take {}", path, data.size(), at);
  return file;
}

}  // namespace fovea
