#include "cli/flag_names.h"

#include <catch2/catch.hpp>

#include "core/error.h"
#include "train/loop/config.h"

using namespace fovea;

TEST_CASE("fields in backticks become flags, and other words in backticks stay") {
  CHECK(flag_of("batch_size") == "--batch-size");
  CHECK(with_flags("`batch_size` is 7: give ...") == "--batch-size is 7: give ...");
  CHECK(with_flags("`crop` and `mosaic`") == "--crop and --mosaic");
  CHECK(with_flags("leave out `model` and `class_names_file`") == "leave out --model and --class-names");
  // A closing backtick is not taken for an opening one.
  CHECK(with_flags("see `fovea info`, or give `data`") == "see `fovea info`, or give --data");
  for (const char* same : {"", "batch_size", "`fovea data check DIR`", "`batch size`", "`no_such_field`",
                           "`--data`", "``", "`", "`data", "a`"}) {
    CAPTURE(same);
    CHECK(with_flags(same) == same);
  }
}

TEST_CASE("every field has a flag, and the messages of check_config contain flags") {
  const TrainConfig config;
  for_each_field(config, [](const char* name, const auto&, const char*) {
    CHECK(with_flags(fmt::format("`{}`", name)) == flag_of(name));
  });
  const auto refused = [](auto change) -> std::string {
    TrainConfig c;
    c.data = "somewhere";
    change(c);
    try {
      check_config(c);
    } catch (const Error& error) {
      return with_flags(error.what());
    }
    return "accepted";
  };
  CHECK(refused([](TrainConfig& c) { c.box_loss_weight = -2; }) ==
        "--box-loss-weight is -2: give a number from 0 to 1000000, or -1 for the default");
  CHECK(refused([](TrainConfig& c) { c.precision = "bfloat16"; }) ==
        "--precision is 'bfloat16' with --device cpu, which computes in float32: leave it out, or choose "
        "--device cuda");
}
