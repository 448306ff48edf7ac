#include "train/loop/config.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <type_traits>

#include "core/error.h"
#include "core/utf8.h"
#include "models/anchors.h"
#include "nn/io/json.h"
#include "train/data/augment/rotate.h"
#include "train/data/class_weights.h"
#include "train/loop/nearest_name.h"

namespace fovea {
namespace {

template <class T>
bool has_type(const nlohmann::json& value) {
  if constexpr (std::is_same_v<T, bool>)
    return value.is_boolean();
  else if constexpr (std::is_same_v<T, std::string>)
    return value.is_string();
  else if constexpr (std::is_same_v<T, int64_t>)
    return value.is_number_integer();
  else
    return value.is_number();
}

template <class T>
const char* type_name() {
  if constexpr (std::is_same_v<T, bool>)
    return "true or false";
  else if constexpr (std::is_same_v<T, std::string>)
    return "a string";
  else if constexpr (std::is_same_v<T, int64_t>)
    return "a whole number";
  else
    return "a number";
}

void one_of(const char* field, const std::string& value, std::initializer_list<const char*> allowed) {
  for (const char* word : allowed)
    if (value == word) return;
  fail("`{}` is '{}': choose one of {}", field, value, fmt::join(allowed, ", "));
}

void in_range(const char* field, double value, double low, double high) {
  require(std::isfinite(value) && value >= low && value <= high, "`{}` is {}: give a number from {} to {}",
          field, value, low, high);
}

}  // namespace

std::string config_to_json(const TrainConfig& config) {
  nlohmann::ordered_json json;
  for_each_field(config, [&](const char* name, const auto& field, const char*) { json[name] = field; });
  return dump_json(json, 2);
}

TrainConfig config_from_json(const std::string& text, const std::string& source,
                             std::vector<std::string>* given) {
  nlohmann::json json = parse_json(text, source, "a configuration in JSON");
  require(json.is_object(), "{} is not a configuration: it must be one JSON object of names and values",
          source);
  for (const auto& [former, name] : former_names) {
    const auto found = json.find(former);
    if (found == json.end()) continue;
    require(!json.contains(name), "{}: {} is the former name of {}: leave one of them out", source, former,
            name);
    json[name] = *found;
    json.erase(former);
  }
  TrainConfig config;
  std::vector<std::string> known;
  for_each_field(config, [&]<class T>(const char* name, T& field, const char*) {
    known.push_back(name);
    if (!json.contains(name)) return;
    const nlohmann::json& value = json.at(name);
    require(has_type<T>(value), "{}: {} is {}: it must be {}", source, name, value.dump(), type_name<T>());
    field = value.get<T>();
    if constexpr (std::is_same_v<T, std::string>) field = unescape_bytes(field);  // the path of a data set
    if (given) given->push_back(name);
  });
  for (const auto& item : json.items()) {
    const std::string& key = item.key();
    if (std::find(known.begin(), known.end(), key) != known.end()) continue;
    fail("{}: there is no setting {}; did you mean {}?", source, key, nearest_name(key, known));
  }
  return config;
}

std::array<int, 2> parse_image_size(const std::string& text) {
  const size_t cross = std::min(text.find('x'), text.size());
  const auto number = [&](size_t begin, size_t end) {
    int value = -1;
    const auto [stop, error] = std::from_chars(text.data() + begin, text.data() + end, value);
    require(error == std::errc() && stop == text.data() + end && end > begin && value >= 0 && value <= 8192,
            "`image_size` is '{}': give 1 to 8192 pixels, such as 256, or height x width, such as 240x320",
            text);
    return value;
  };
  const int height = number(0, cross), width = cross < text.size() ? number(cross + 1, text.size()) : height;
  require((height == 0) == (width == 0), "`image_size` is '{}': neither side may be 0", text);
  return {height, width};
}

void check_config(const TrainConfig& c) {
  one_of("optimizer", c.optimizer, {"adamw", "sgd"});
  one_of("fpn", c.fpn, {"default", "bifpn", "top_down", "top_down_bottom_up", "fully_connected"});
  one_of("fusion", c.fusion, {"default", "fast_normalized", "softmax", "sum"});
  require(!c.data.empty(),
          "`data` is missing: give the folder of a data set (`fovea data synth DIR` draws one)");
  const FrozenParts frozen = parse_frozen_parts(c.freeze);
  require(!c.init_from.empty() || !(frozen.backbone || frozen.batch_norm),
          "`freeze` is '{}' without `init_from`: random weights would never be trained", c.freeze);
  parse_image_size(c.image_size);
  parse_aspect_ratios(c.aspect_ratios);
  in_range("anchor_scale", c.anchor_scale, 0, 64);
  in_range("drop_path", c.drop_path, 0, 0.9);
  in_range("epochs", c.epochs, 0, 1e6);
  in_range("steps", double(c.steps), 0, 1e9);
  require(c.steps > 0 || c.epochs > 0, "`epochs` and `steps` are both 0: set one of them");
  in_range("overfit", double(c.overfit), 0, 1e6);
  in_range("batch_size", double(c.batch_size), 0, 4096);
  in_range("accumulate", double(c.accumulate), 1, 4096);
  in_range("learning_rate", c.learning_rate, 0, 100);
  in_range("momentum", c.momentum, 0, 0.9999);
  in_range("beta2", c.beta2, 0, 0.999999);
  require(c.weight_decay == -1 || c.weight_decay >= 0,
          "`weight_decay` is {}: give 0 or more, or -1 for the default", c.weight_decay);
  in_range("warmup_steps", double(c.warmup_steps), 0, 1e9);
  in_range("clip_norm", c.clip_norm, 0, 1e9);
  in_range("ema_decay", c.ema_decay, 0, 0.999999);
  in_range("batch_norm_momentum", c.batch_norm_momentum, 0, 1);
  in_range("freeze_statistics_at", c.freeze_statistics_at, 0, 1);
  one_of("device", c.device, {"cpu", "cuda"});
  one_of("precision", c.precision, {"auto", "float32", "bfloat16"});
  require(c.device == "cuda" || c.precision != "bfloat16",
          "`precision` is 'bfloat16' with `device` cpu, which computes in float32: leave it out, or choose "
          "`device` cuda");
  in_range("scale_min", c.scale_min, 0.01, 10);
  in_range("scale_max", c.scale_max, c.scale_min, 10);
  in_range("multi_scale", c.multi_scale, 0, 0.5);
  in_range("crop", c.crop, 0, 1);
  in_range("mosaic", c.mosaic, 0, 1);
  in_range("mixup", c.mixup, 0, 1);
  in_range("rotate", c.rotate, 0, largest_rotation);
  in_range("random_erasing", c.random_erasing, 0, 1);
  in_range("brightness", c.brightness, 0, 1);
  in_range("contrast", c.contrast, 0, 1);
  in_range("saturation", c.saturation, 0, 1);
  in_range("hue", c.hue, 0, 0.5);
  in_range("repeat_threshold", c.repeat_threshold, 0, 1);
  in_range("focal_alpha", c.focal_alpha, 0, 1);
  in_range("focal_gamma", c.focal_gamma, 0, 10);
  in_range("label_smoothing", c.label_smoothing, 0, 0.99);
  one_of("box_loss", c.box_loss, {"huber", "giou", "diou", "ciou"});
  require(c.box_loss_weight == -1 || (c.box_loss_weight >= 0 && c.box_loss_weight <= 1e6),
          "`box_loss_weight` is {}: give a number from 0 to 1000000, or -1 for the default",
          c.box_loss_weight);
  parse_class_weights(c.class_weights);
  in_range("max_detections", double(c.max_detections), 1, 5000);  // as many as the anchors that are decoded
  in_range("validate_every", c.validate_every, 0, 1e6);
  in_range("patience", double(c.patience), 0, 1e6);
  require(c.patience == 0 || c.validate_every > 0,
          "`patience` is {} with `validate_every` 0, which measures only at the end: set `validate_every`",
          c.patience);
  in_range("checkpoint_every", c.checkpoint_every, 0.001, 1e6);
  in_range("seed", double(c.seed), 0, 1e15);
  in_range("workers", double(c.workers), 0, 256);
  in_range("cache_mb", double(c.cache_mb), 0, 1e7);
}

DType activation_dtype(const TrainConfig& config) {
  if (config.precision == "auto") return config.device == "cuda" ? DType::bfloat16 : DType::float32;
  return config.precision == "bfloat16" ? DType::bfloat16 : DType::float32;
}

TrainConfig on_device(TrainConfig config, Device device) {
  if (config.device == name(device)) return config;
  config.device = name(device);
  config.precision = "auto";
  return config;
}

std::vector<Flip> test_time_flips(const TrainConfig& config) {
  const bool horizontal = config.horizontal_flip, vertical = config.vertical_flip;
  require(horizontal || vertical,
          "the network was trained with neither `horizontal_flip` nor `vertical_flip`: it was never shown "
          "flipped images, leave out `augment`");
  std::vector<Flip> flips{{}};
  if (horizontal) flips.push_back({.horizontal = true});
  if (vertical) flips.push_back({.vertical = true});
  if (horizontal && vertical) flips.push_back({true, true});
  return flips;
}

FrozenParts parse_frozen_parts(const std::string& text) {
  FrozenParts parts;
  if (text == "none") return parts;
  std::istringstream words(text + ",");
  for (std::string word; std::getline(words, word, ',');) {
    require(word == "backbone" || word == "batch-norm",
            "`freeze` is '{}': choose none, backbone, batch-norm, or backbone,batch-norm", text);
    (word == "backbone" ? parts.backbone : parts.batch_norm) = true;
  }
  return parts;
}

}  // namespace fovea
