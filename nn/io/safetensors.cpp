#include "nn/io/safetensors.h"

#include <algorithm>
#include <cstring>

#include "core/error.h"
#include "nn/io/json.h"

namespace fovea {
namespace {

// One tensor of the header: its place in the data, which is not checked here.
struct Place {
  WeightFile::Entry entry;
  size_t begin, end;
};

// Checks only this entry, not its place among the others.
Place parse_entry(const std::string& name, const nlohmann::json& json, const std::string& where) {
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
    product *= std::max(1.0, double(sizes.back()));
  }
  require(int(sizes.size()) <= Shape::max_rank && product < 1e15,
          "{} has the shape {}: too many axes or too large", where, json["shape"].dump());
  const auto &begin = json["data_offsets"][0], &end = json["data_offsets"][1];
  require(begin.is_number_unsigned() && end.is_number_unsigned(), "{} has data_offsets {}", where,
          json["data_offsets"].dump());
  const Place place{
      {name, json["dtype"].get<std::string>(), Shape(sizes), {}, {}}, begin.get<size_t>(), end.get<size_t>()};
  const WeightFile::Entry& entry = place.entry;
  const size_t bytes = bytes_of_dtype(entry.dtype);
  require(bytes > 0, "{} has dtype {}, which the format does not have", where, entry.dtype);
  require(place.end >= place.begin && place.end - place.begin == size_t(entry.shape.numel()) * bytes,
          "{} lies at bytes {} to {}, which is not the size of {} of {}", where, place.begin, place.end,
          entry.dtype, entry.shape);
  return place;
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
    header[t.name] = {{"dtype", dtype_word(t.tensor.dtype())},
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

SafetensorsFile::SafetensorsFile(const std::string& path) : WeightFile(path) {
  uint64_t length = 0;
  require(content().size() >= sizeof length, "{} is not a safetensors file: it has only {} bytes", path,
          content().size());
  std::memcpy(&length, content().data(), sizeof length);
  if (length > content().size() - sizeof length || length < 2 || content()[sizeof length] != '{') {
    if (const std::string what = found_instead(content()); !what.empty())
      fail("{} is not a safetensors file: {}", path, what);
    require(!content().starts_with('{') || content().find("\"weight_map\"") == content().npos,
            "{} is the index of weights split over several files: give one file with all of them", path);
    fail(
        "{} is not a safetensors file, or is cut short: its header should have {} bytes, but the file has {}",
        path, length, content().size());
  }
  const std::string_view data = content().substr(sizeof length + size_t(length));
  const std::string_view text = content().substr(sizeof length, size_t(length));
  const nlohmann::json header = parse_json(text, path + ": its header", "JSON");
  std::vector<Place> places;
  for (const auto& [name, json] : header.items()) {
    if (name != "__metadata__") {
      places.push_back(parse_entry(name, json, fmt::format("{}: tensor {}", path, name)));
      continue;
    }
    require(json.is_object(), "{}: __metadata__ must be an object of texts", path);
    for (const auto& [key, value] : json.items()) {
      require(value.is_string(), "{}: __metadata__ {} must be a text", path, key);
      metadata_[key] = value.get<std::string>();
    }
  }
  std::sort(places.begin(), places.end(), [](const Place& a, const Place& b) {
    return a.begin != b.begin ? a.begin < b.begin : a.end < b.end;
  });
  size_t at = 0;
  for (Place& place : places) {
    require(place.begin == at,
            "{}: tensor {} starts at byte {} of the data, but the one before it ends at {}", path,
            place.entry.name, place.begin, at);
    require(place.end <= data.size(),
            "{} is cut short: tensor {} ends at byte {} of the data, but the file has {}", path,
            place.entry.name, place.end, data.size());
    at = place.end;
    place.entry.content = data.substr(place.begin, place.end - place.begin);
    add(std::move(place.entry));
  }
  require(at == data.size(), "{} has {} bytes of data, but its tensors take {}", path, data.size(), at);
}

TensorFile read_safetensors(const std::string& path) {
  const SafetensorsFile file(path);
  TensorFile result{file.metadata(), {}};
  for (const auto& entry : file.entries()) result.tensors.push_back({entry.name, file.read(entry)});
  return result;
}

}  // namespace fovea
