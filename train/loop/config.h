#pragma once
#include <array>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "core/device.h"
#include "core/dtype.h"
#include "models/box.h"

namespace fovea {

// All settings of a training. The command line's flags, the run's config.json and the checkpoints all come
// from the one list in for_each_field(). A number that is 0 means "choose for me"; resolve_config() replaces
// it by the choice, so that a saved configuration shows what was done.
struct TrainConfig {
  std::string task = "detection";
  std::string model = "efficientdet_d-2";
  std::string data;
  std::string train_split = "train";
  std::string val_split = "val";
  std::string init_from;
  std::string freeze = "none";

  std::string image_size = "0";
  double anchor_scale = 0;
  std::string aspect_ratios = "1,1.4x0.7,0.7x1.4";
  std::string fpn = "default";
  std::string fusion = "default";
  double drop_path = 0;

  double epochs = 100;
  int64_t steps = 0;
  int64_t overfit = 0;
  int64_t batch_size = 0;
  int64_t accumulate = 1;
  std::string optimizer = "adamw";
  double learning_rate = 0;
  double momentum = 0.9;
  double beta2 = 0;
  double weight_decay = -1;
  int64_t warmup_steps = 0;
  double clip_norm = 10;
  double ema_decay = 0;
  double batch_norm_momentum = 0;
  double freeze_statistics_at = 0.5;

  std::string device = "cpu";
  std::string precision = "auto";
  bool recompute = false;

  bool horizontal_flip = true;
  bool vertical_flip = false;
  double scale_min = 0.8;
  double scale_max = 1.25;
  double multi_scale = 0;
  double crop = 0;
  double mosaic = 0;
  double mixup = 0;
  double rotate = 0;
  double random_erasing = 0;
  double brightness = 0;
  double contrast = 0;
  double saturation = 0;
  double hue = 0;
  double repeat_threshold = 0;

  double focal_alpha = 0.25;
  double focal_gamma = 1.5;
  double label_smoothing = 0;
  std::string box_loss = "huber";
  double box_loss_weight = -1;
  std::string class_weights = "none";
  int64_t max_detections = 100;

  double validate_every = 5;
  int64_t patience = 0;
  double checkpoint_every = 1;
  int64_t seed = 1;
  int64_t workers = 0;
  int64_t cache_mb = 1024;

  bool operator==(const TrainConfig&) const = default;
};

// Calls f(name, field, explanation) for every field, in the order they are shown.
template <class Config, class F>
void for_each_field(Config& c, F&& f) {
  f("task", c.task, "detection, or classification of whole images");
  f("model", c.model, "the network: `fovea info` lists them");
  f("data", c.data,
    "folder of the data set: Pascal VOC, COCO or YOLO layout; for classification one folder a class");
  f("train_split", c.train_split, "split to train on; several are joined by +, as in train+val");
  f("val_split", c.val_split, "split to evaluate on during training");
  f("init_from", c.init_from,
    "weights to start from: a checkpoint, or a safetensors file of timm's or effdet's weights; a detector "
    "can take a classifier's backbone; for other classes the class head is new");
  f("freeze", c.freeze,
    "parts that are not trained: none, backbone, batch-norm, or both separated by a comma");
  f("image_size", c.image_size,
    "input size of the network in pixels: 256, or height x width such as 240x320; 0: the model's own, cut to "
    "the shape "
    "that most images have");
  f("anchor_scale", c.anchor_scale,
    "side of the smallest anchor in strides; 0: 4 for inputs of 512 px and more, less for smaller ones");
  f("aspect_ratios", c.aspect_ratios, "anchor shapes: width / height, or the two factors, such as 1.4x0.7");
  f("fpn", c.fpn,
    "which levels of the pyramid are connected: bifpn, top_down, top_down_bottom_up, fully_connected; "
    "default: the model's own");
  f("fusion", c.fusion,
    "how BiFPN nodes weigh their inputs: fast_normalized, softmax, sum; default: the model's own");
  f("drop_path", c.drop_path, "stochastic depth: probability of dropping the last block");
  f("epochs", c.epochs, "passes over the training images");
  f("steps", c.steps, "length of the training in steps, instead of `epochs`; 0: given by `epochs`");
  f("overfit", c.overfit,
    "overfit this many training images, without augmentation, and evaluate on the same ones: a check "
    "that data, network and evaluation fit together, which must end at an AP50 of 1; 500 steps unless "
    "`steps` is given; 0: off");
  f("batch_size", c.batch_size, "images per batch; 0: 4 for detection, 16 for classification");
  f("accumulate", c.accumulate,
    "batches per step: their gradients are summed as if they were one large batch, in the memory of one");
  f("optimizer", c.optimizer, "adamw, or sgd with momentum as in the paper");
  f("learning_rate", c.learning_rate,
    "peak learning rate; 0: sgd 0.08 * images / 64 (the paper's), adamw 0.018 * sqrt(images / 4) for "
    "detection and "
    "0.005 * sqrt(images / 4) for classification, where images are those of one step");
  f("momentum", c.momentum, "momentum of sgd");
  f("beta2", c.beta2,
    "adamw's decay of the mean of squared gradients; 0: chosen by the training's length, at most 0.999");
  f("weight_decay", c.weight_decay,
    "weight decay of kernels, never of biases and norms; -1: sgd 4e-5 (the paper's), adamw 0.01");
  f("warmup_steps", c.warmup_steps,
    "steps over which the learning rate rises; 0: one epoch, at most a tenth of the training");
  f("clip_norm", c.clip_norm, "largest norm of the gradients, which are scaled down to it; 0: no limit");
  f("ema_decay", c.ema_decay,
    "decay of the averaged weights, which are the ones evaluated and kept; 0: chosen by the training's "
    "length");
  f("batch_norm_momentum", c.batch_norm_momentum,
    "share of the new batch in the running averages; 0: 0.01 (the paper's), more below 1000 steps");
  f("freeze_statistics_at", c.freeze_statistics_at,
    "share of the training after which batch norm uses its running averages, as in inference: the statistics "
    "of small batches differ from them; 1: never");
  f("device", c.device, "cpu or cuda; without a GPU, cuda is simulated, to study kernels and not to train");
  f("precision", c.precision,
    "dtype of activations: float32 or bfloat16 (cuda only; weights stay float32); auto: bfloat16 on cuda");
  f("recompute", c.recompute,
    "keep only the inputs of blocks and recompute the rest in the backward pass: less memory, more time, "
    "the same gradients");
  f("horizontal_flip", c.horizontal_flip, "mirror half of the training images");
  f("vertical_flip", c.vertical_flip,
    "flip half of them upside down: for images without a top and bottom, such as cells");
  f("scale_min", c.scale_min, "smallest factor on the size of a training image (the paper's is 0.1)");
  f("scale_max", c.scale_max, "largest factor on the size of a training image (the paper's is 2)");
  f("multi_scale", c.multi_scale,
    "relative range of the input size while a detector trains: 0.25 draws a new size from 0.75 to 1.25 times "
    "`image_size`, in steps of 32 pixels, every 10 steps; 0: constant. Evaluation always uses `image_size`");
  f("crop", c.crop, "probability of SSD's crop: a random part of the image that overlaps an object");
  f("mosaic", c.mosaic, "probability of YOLOv4's mosaic: four images put together");
  f("mixup", c.mixup,
    "probability of MixUp, a blend of two images: a detector gets the boxes of both, a classifier both "
    "classes "
    "in their shares");
  f("rotate", c.rotate, "largest rotation of a training image in degrees, either way, 0 to 45");
  f("random_erasing", c.random_erasing,
    "probability that random colours replace a part of an object, or of a classifier's image");
  f("brightness", c.brightness, "multiplies colours by a random factor from 1 - this to 1 + this; 0: off");
  f("contrast", c.contrast, "the same for their difference from the image's mean grey");
  f("saturation", c.saturation, "the same for their difference from the pixel's grey");
  f("hue", c.hue, "largest rotation of the hue, 0 to 0.5 of the colour circle");
  f("repeat_threshold", c.repeat_threshold,
    "repeats images with classes that fewer than this share of the images have, LVIS's repeat factor "
    "sampling; "
    "0: off");
  f("focal_alpha", c.focal_alpha, "weight of anchors with an object in the focal loss");
  f("focal_gamma", c.focal_gamma,
    "exponent of the focal loss: the larger it is, the less easy anchors count");
  f("label_smoothing", c.label_smoothing, "label smoothing, 0 to 0.99");
  f("box_loss", c.box_loss,
    "huber on the box codes, or on decoded boxes 1 - IoU with the penalty of giou, diou or ciou");
  f("box_loss_weight", c.box_loss_weight,
    "weight of the box loss in the sum; -1: 50 for huber (the paper's), 1 for the others");
  f("class_weights", c.class_weights,
    "factors on the classes' losses: none; auto, which is 1 / sqrt(training objects), scaled to a mean of 1; "
    "or a list such as cat=0.5,dog=2, with 1 for the others");
  f("max_detections", c.max_detections, "boxes that are kept and evaluated per image, over all classes");
  f("validate_every", c.validate_every, "epochs from one evaluation to the next; 0: only at the end");
  f("patience", c.patience,
    "stop after this many evaluations in a row that were no better than the best; 0: never");
  f("checkpoint_every", c.checkpoint_every, "epochs from one checkpoint to the next");
  f("seed", c.seed, "the same seed gives the same weights to the last bit");
  f("workers", c.workers,
    "threads that prepare images; 0: one on the CPU; on cuda one for each core except one, at most 16");
  f("cache_mb", c.cache_mb, "memory for decoded images in MB; images that fit are decoded only once");
}

// The names of fields in earlier versions, which configuration files, checkpoints and flags may still use:
// {former name, field}.
inline constexpr std::pair<const char*, const char*> former_names[] = {
    {"batch_norm_freeze", "freeze_statistics_at"}};

// One JSON object with a key for each field, in their order.
std::string config_to_json(const TrainConfig& config);
// Keys may be former names. `given` receives the fields that the text sets. Throws Error naming `source`, the
// key and the value if the text is not JSON, a key is unknown (with the nearest known one), a value has the
// wrong type, or a field appears under both its names.
TrainConfig config_from_json(const std::string& json, const std::string& source,
                             std::vector<std::string>* given = nullptr);

// Images per step: batch_size * accumulate.
inline int64_t images_per_step(const TrainConfig& config) { return config.batch_size * config.accumulate; }

// Checks every field's range. Throws Error naming the field, in backticks as all messages about settings do,
// the value and what is allowed.
void check_config(const TrainConfig& config);

// The dtype of activations for the configuration's device and precision.
DType activation_dtype(const TrainConfig& config);

// The same configuration for another device, in that device's default precision.
TrainConfig on_device(TrainConfig config, Device device);

// The views of an image whose results a trained network may average: the image as it is, then each flip used
// in training, and both together if both were used. Throws Error if none was used, since the network was then
// never shown flipped images.
std::vector<Flip> test_time_flips(const TrainConfig& config);

// Height and width: "256" or "240x320".
std::array<int, 2> parse_image_size(const std::string& text);

// The parts in config.freeze, which is a list separated by commas, or "none". Throws Error on other words.
struct FrozenParts {
  bool backbone = false, batch_norm = false;
};
FrozenParts parse_frozen_parts(const std::string& text);

}  // namespace fovea
