#include "train/loop/config.h"

#include <catch2/catch.hpp>

#include "core/error.h"
#include "train/loop/resolve_config.h"
#include "train/run/task_kind.h"

using namespace fovea;
using Catch::Contains;

TEST_CASE("a configuration survives JSON to the last digit") {
  TrainConfig config;
  config.data = "a \"quoted\" folder";
  config.learning_rate = 0.1 + 0.2;
  config.steps = 123456789012;
  config.horizontal_flip = false;
  CHECK(config_from_json(config_to_json(config), "test") == config);
  CHECK(config_from_json("{}", "test") == TrainConfig());
}

TEST_CASE("the fields that a configuration sets are returned, by their present names") {
  std::vector<std::string> given;
  const TrainConfig config = config_from_json("{\"seed\": 3, \"batch_norm_freeze\": 0.25}", "test", &given);
  CHECK(config.freeze_statistics_at == 0.25);
  CHECK(config.seed == 3);
  CHECK(given == std::vector<std::string>{"freeze_statistics_at", "seed"});
  CHECK_THROWS_WITH(
      config_from_json("{\"freeze_statistics_at\": 0.5, \"batch_norm_freeze\": 0.5}", "c.json"),
      "c.json: batch_norm_freeze is the former name of freeze_statistics_at: leave one of them out");
  TrainConfig known;
  for (const auto& [former, present] : former_names) {
    CAPTURE(former, present);
    bool is_field = false;
    for_each_field(known, [&](const std::string& name, const auto&, const char*) {
      CHECK(name != former);
      is_field |= name == present;
    });
    CHECK(is_field);
  }
}

TEST_CASE("a configuration that is wrong is refused by name") {
  CHECK_THROWS_WITH(config_from_json("{\"epochs\": 3", "c.json"),
                    Contains("c.json is not a configuration in JSON"));
  CHECK_THROWS_WITH(config_from_json("[1]", "c.json"), Contains("one JSON object"));
  CHECK_THROWS_WITH(config_from_json("{\"learnin_rate\": 3}", "c.json"),
                    Contains("c.json: there is no setting learnin_rate; did you mean learning_rate?"));
  CHECK_THROWS_WITH(config_from_json("{\"epochs\": \"many\"}", "c.json"),
                    Contains("epochs is \"many\": it must be a number"));
  CHECK_THROWS_WITH(config_from_json("{\"batch_size\": 2.5}", "c.json"),
                    Contains("batch_size is 2.5: it must be a whole number"));
  CHECK_THROWS_WITH(config_from_json("{\"horizontal_flip\": 1}", "c.json"),
                    Contains("it must be true or false"));
  CHECK_THROWS_WITH(config_from_json("{\"epochs\": 1e999}", "c.json"),
                    Contains("c.json is not a configuration in JSON") && Contains("1e999"));
  CHECK_THROWS_WITH(
      config_from_json("{\"seed\": " + std::string(100000, '[') + std::string(100000, ']') + "}", "c.json"),
      Contains("c.json has lists or objects nested more than 100 deep"));
}

TEST_CASE("every setting has a range") {
  const auto with = [](auto change) {
    TrainConfig config;
    config.data = "somewhere";
    change(config);
    check_task_config(config);
  };
  CHECK_NOTHROW(with([](TrainConfig&) {}));
  CHECK_THROWS_WITH(with([](TrainConfig& c) { c.data.clear(); }), Contains("`data` is missing"));
  CHECK_THROWS_WITH(with([](TrainConfig& c) { c.optimizer = "lion"; }),
                    Contains("`optimizer` is 'lion': choose one of adamw, sgd"));
  CHECK_THROWS_WITH(with([](TrainConfig& c) { c.batch_size = -1; }), Contains("`batch_size` is -1"));
  CHECK_THROWS_WITH(with([](TrainConfig& c) { c.learning_rate = -1; }), Contains("`learning_rate` is -1"));
  CHECK_THROWS_WITH(with([](TrainConfig& c) { c.scale_max = 0.2; }),
                    Contains("`scale_max` is 0.2: give a number from 0.8"));
  CHECK_THROWS_WITH(with([](TrainConfig& c) { c.mosaic = 1.5; }), Contains("`mosaic` is 1.5"));
  CHECK_THROWS_WITH(with([](TrainConfig& c) { c.crop = -1; }), Contains("`crop` is -1"));
  CHECK_THROWS_WITH(with([](TrainConfig& c) { c.hue = 0.6; }),
                    Contains("`hue` is 0.6: give a number from 0 to 0.5"));
  CHECK_THROWS_WITH(with([](TrainConfig& c) { c.repeat_threshold = 2; }),
                    Contains("`repeat_threshold` is 2"));
  CHECK_THROWS_WITH(with([](TrainConfig& c) { c.task = "classification", c.mosaic = 0.5; }),
                    Contains("`crop` and `mosaic` are for detection"));
  CHECK_THROWS_WITH(with([](TrainConfig& c) { c.box_loss = "iou"; }),
                    Contains("`box_loss` is 'iou': choose one of huber, giou, diou, ciou"));
  CHECK_THROWS_WITH(with([](TrainConfig& c) { c.task = "classification", c.box_loss = "ciou"; }),
                    Contains("`box_loss` is 'ciou': a classifier has no boxes"));
  CHECK_THROWS_WITH(with([](TrainConfig& c) { c.class_weights = "cat:2"; }),
                    Contains("`class_weights` is 'cat:2': give none, auto, or names and weights"));
  CHECK_THROWS_WITH(with([](TrainConfig& c) { c.task = "classification", c.multi_scale = 0.25; }),
                    Contains("`multi_scale` is 0.25, and is for detection"));
  CHECK_THROWS_WITH(with([](TrainConfig& c) { c.multi_scale = 0.75; }),
                    Contains("`multi_scale` is 0.75: give a number from 0 to 0.5"));
  CHECK_NOTHROW(
      with([](TrainConfig& c) { c.task = "classification", c.rotate = c.random_erasing = c.mixup = 1; }));
  CHECK_THROWS_WITH(with([](TrainConfig& c) { c.mixup = 1.5; }), Contains("`mixup` is 1.5"));
  CHECK_THROWS_WITH(with([](TrainConfig& c) { c.rotate = 46; }),
                    Contains("`rotate` is 46: give a number from 0 to 45"));
  CHECK_THROWS_WITH(with([](TrainConfig& c) { c.random_erasing = -1; }), Contains("`random_erasing` is -1"));
  CHECK_THROWS_WITH(with([](TrainConfig& c) { c.task = "segmentation"; }),
                    Contains("`task` is 'segmentation': choose one of detection, classification"));
  CHECK_THROWS_WITH(with([](TrainConfig& c) { c.epochs = 0; }), Contains("`epochs` and `steps` are both 0"));
  CHECK_THROWS_WITH(with([](TrainConfig& c) { c.image_size = "12y"; }), Contains("`image_size` is '12y'"));
  CHECK_THROWS_WITH(with([](TrainConfig& c) { c.accumulate = 0; }), Contains("`accumulate` is 0"));
  CHECK_THROWS_WITH(with([](TrainConfig& c) { c.overfit = -1; }), Contains("`overfit` is -1"));
  CHECK_THROWS_WITH(with([](TrainConfig& c) { c.patience = 2, c.validate_every = 0; }),
                    Contains("`patience` is 2 with `validate_every` 0"));
  CHECK_THROWS_WITH(with([](TrainConfig& c) { c.aspect_ratios = "1,zero"; }),
                    Contains("'zero' in the aspect ratios"));
}

TEST_CASE("the weight of the box loss suits the loss, and runs older than the choice stay the same") {
  const auto weight = [](const std::string& json) {
    TrainConfig config = config_from_json(json, "test");
    config.batch_size = 4;
    return resolve_config(config, 10).box_loss_weight;
  };
  CHECK(weight("{}") == 50);
  CHECK(weight("{\"box_loss\": \"ciou\"}") == 1);
  CHECK(weight("{\"box_loss\": \"ciou\", \"box_loss_weight\": 5}") == 5);
  CHECK(weight("{\"box_loss_weight\": 0}") == 0);
  const TrainConfig old = config_from_json("{\"box_loss_weight\": 50}", "test");
  CHECK(old.box_loss == "huber");
  CHECK(old.class_weights == "none");
}

TEST_CASE("images to be overfitted are not varied, whatever the settings") {
  TrainConfig config;
  config.overfit = 2;
  config.batch_size = 2;
  config.crop = config.mosaic = config.mixup = config.rotate = config.random_erasing = 0.5;
  config.multi_scale = 0.5;
  config.brightness = config.contrast = config.saturation = config.hue = 0.5;
  config = resolve_config(config, 2);
  for (const double off :
       {config.crop, config.mosaic, config.mixup, config.rotate, config.random_erasing, config.multi_scale,
        config.brightness, config.contrast, config.saturation, config.hue})
    CHECK(off == 0);
}

TEST_CASE("image sizes") {
  CHECK(parse_image_size("256") == std::array{256, 256});
  CHECK(parse_image_size("240x320") == std::array{240, 320});
  CHECK(parse_image_size("0") == std::array{0, 0});
  for (const char* bad : {"", "x", "256x", "x256", "0x5", "-3", "1e3", "9000", "256x256x3", " 256"}) {
    CAPTURE(bad);
    CHECK_THROWS_AS(parse_image_size(bad), Error);
  }
}
