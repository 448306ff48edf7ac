#include "nn/io/safetensors.h"

#include <catch2/catch.hpp>
#include <cstring>

#include "core/error.h"
#include "core/file.h"
#include "tests/support/test_data.h"

using namespace fovea;
using Catch::Contains;

namespace {

std::string file_of(const std::string& header, const std::string& data, uint64_t length_off = 0) {
  const uint64_t length = header.size() + length_off;
  std::string content(8, '\0');
  std::memcpy(content.data(), &length, 8);
  return content + header + data;
}

}  // namespace

TEST_CASE("tensors and metadata come back as they were written") {
  const TemporaryFolder folder;
  Random random(3);
  const std::vector<NamedTensor> tensors{{"a.weight", randn({3, 5}, random)},
                                         {"empty", Tensor({0, 4})},
                                         {"scalar", full({}, 0.1, DType::float64)},
                                         {"half", from_values({3}, {1, -2, 3.140625}, DType::bfloat16)},
                                         {"integers", from_values({2}, {-7, 9}, DType::int32)},
                                         {"indices", from_values({2}, {-7, 1e15}, DType::int64)},
                                         {"bytes", from_values({3}, {0, 128, 255}, DType::uint8)}};
  write_safetensors(folder / "t.safetensors", {{"k", "v \"quoted\""}}, tensors);
  const TensorFile file = read_safetensors(folder / "t.safetensors");
  CHECK(file.metadata.at("k") == "v \"quoted\"");
  REQUIRE(file.tensors.size() == tensors.size());
  for (const NamedTensor& expected : tensors) {
    const auto found = std::find_if(file.tensors.begin(), file.tensors.end(),
                                    [&](const auto& t) { return t.name == expected.name; });
    REQUIRE(found != file.tensors.end());
    CHECK(found->tensor.dtype() == expected.tensor.dtype());
    CHECK(found->tensor.shape() == expected.tensor.shape());
    CHECK(found->tensor.values() == expected.tensor.values());
  }
}

TEST_CASE("a file as the format's page describes it is read") {
  const TemporaryFolder folder;
  const float numbers[2] = {1.5f, -2};
  write_file_atomically(folder / "t",
                        file_of("{\"x\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}  ",
                                std::string(reinterpret_cast<const char*>(numbers), 8)));
  CHECK(read_safetensors(folder / "t").tensors.at(0).tensor.values() == std::vector<double>{1.5, -2});
}

TEST_CASE("a file cut anywhere is refused") {
  const TemporaryFolder folder;
  write_safetensors(folder / "t", {{"k", "v"}}, {{"a", ones({4})}, {"b", ones({2, 2})}});
  const std::string whole = read_file(folder / "t");
  for (size_t size = 0; size < whole.size(); ++size) {
    write_file_atomically(folder / "cut", whole.substr(0, size));
    CAPTURE(size);
    CHECK_THROWS_WITH(read_safetensors(folder / "cut"),
                      Contains("cut") && (Contains("short") || Contains("not a safetensors")));
  }
  write_file_atomically(folder / "long", whole + "x");
  CHECK_THROWS_WITH(read_safetensors(folder / "long"), Contains("but its tensors take 32"));
}

TEST_CASE("hostile headers are refused with the tensor's name") {
  const TemporaryFolder folder;
  const auto read = [&](const std::string& header, uint64_t length_off = 0) {
    write_file_atomically(folder / "t", file_of(header, std::string(16, 'x'), length_off));
    return read_safetensors(folder / "t");
  };
  const auto entry = [](const std::string& dtype, const std::string& shape, const std::string& offsets) {
    return "{\"w\":{\"dtype\":\"" + dtype + "\",\"shape\":" + shape + ",\"data_offsets\":" + offsets + "}}";
  };
  CHECK_NOTHROW(read(entry("F32", "[4]", "[0,16]")));
  CHECK_THROWS_WITH(read(entry("F32", "[4]", "[0,16]"), uint64_t(1) << 60), Contains("cut short"));
  CHECK_THROWS_WITH(read("{\"w\":"), Contains("not JSON"));
  CHECK_THROWS_WITH(read("[1, 2]  "), Contains("not a safetensors file"));
  CHECK_THROWS_WITH(read(entry("F17", "[4]", "[0,16]")), Contains("tensor w has dtype F17"));
  CHECK_THROWS_WITH(read(entry("F32", "[5]", "[0,16]")), Contains("not the size of F32 of 5"));
  CHECK_THROWS_WITH(read(entry("F32", "[4]", "[16,0]")), Contains("tensor w"));
  CHECK_THROWS_WITH(read(entry("F32", "[2]", "[8,16]")), Contains("starts at byte 8"));
  CHECK_THROWS_WITH(read(entry("F32", "[8]", "[0,32]")), Contains("cut short: tensor w"));
  CHECK_THROWS_WITH(read(entry("F32", "[2]", "[0,8]")), Contains("16 bytes of data, but its tensors take 8"));
  CHECK_THROWS_WITH(read(entry("F32", "[-4]", "[0,16]")), Contains("has a size -4"));
  CHECK_THROWS_WITH(read(entry("F32", "[1000000000,1000000000]", "[0,16]")), Contains("too large"));
  CHECK_THROWS_WITH(read(entry("F32", std::string(100000, '[') + std::string(100000, ']'), "[0,16]")),
                    Contains("more than 100 deep"));
  CHECK_THROWS_WITH(read("{\"w\":3}"), Contains("tensor w must have dtype, shape and two data_offsets"));
  CHECK_THROWS_WITH(read("{\"__metadata__\":{\"a\":1}}"), Contains("__metadata__ a must be a text"));
  CHECK_THROWS_WITH(read("{\"a\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[0,16]},"
                         "\"b\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[0,16]}}"),
                    Contains("tensor b starts at byte 0"));
}

TEST_CASE("what stands in the place of weights is recognised") {
  const TemporaryFolder folder;
  const auto error = [&](const std::string& content) {
    write_file_atomically(folder / "w.safetensors", content);
    try {
      SafetensorsFile file(folder / "w.safetensors");
    } catch (const Error& e) {
      return std::string(e.what());
    }
    return std::string();
  };
  CHECK_THAT(error("version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 5\n"),
             Contains("w.safetensors is not a safetensors file: it is a Git LFS pointer"));
  CHECK_THAT(error("<!DOCTYPE html>\n<html><body>404</body></html>"), Contains("it is a web page"));
  CHECK_THAT(error(R"({"metadata": {}, "weight_map": {"a": "model-00001-of-00002.safetensors"}})"),
             Contains("is the index of weights split over several files: give one file"));
}
