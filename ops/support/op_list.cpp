#include "ops/support/op_list.h"

namespace fovea {

const std::vector<OpStem>& op_stems() {
  static const std::vector<OpStem> stems = {
      {"activation", "relu relu6 sigmoid swish activate", "activation", "tests/ops/activation_test.cpp"},
      {"arithmetic", "add subtract multiply divide sum_to", "arithmetic", "tests/ops/arithmetic_test.cpp"},
      {"batch_norm", "batch_norm", "batch_norm batch_norm_given", "tests/ops/batch_norm_test.cpp"},
      {"batch_norm_squeeze_excite", "batch_norm_squeeze_excite", "batch_norm_squeeze_excite",
       "tests/ops/batch_norm_squeeze_excite_test.cpp"},
      {"bifpn_node", "bifpn_node", "bifpn_node", "tests/ops/bifpn_node_test.cpp"},
      {"conv1x1_batch_norm", "conv1x1_batch_norm", "conv1x1_batch_norm",
       "tests/ops/conv1x1_batch_norm_test.cpp"},
      {"conv2d", "conv2d", "conv2d conv2d_patches conv2d_tiled", "tests/ops/conv2d_test.cpp"},
      {"cross_entropy", "softmax log_softmax softmax_cross_entropy", "cross_entropy",
       "tests/ops/cross_entropy_test.cpp"},
      {"depthwise_conv2d", "depthwise_conv2d",
       "depthwise_conv2d depthwise_tensor_cores depthwise_weight_gradient",
       "tests/ops/depthwise_conv2d_test.cpp"},
      {"detection_loss", "focal_loss huber_loss iou_loss", "detection_loss",
       "tests/ops/detection_loss_test.cpp"},
      {"dropout", "dropout stochastic_depth stochastic_depth_add", "dropout", "tests/ops/dropout_test.cpp"},
      {"indexing", "gather where", "indexing", "tests/ops/indexing_test.cpp"},
      {"inverted_bottleneck", "inverted_bottleneck", "", "tests/ops/inverted_bottleneck_test.cpp"},
      {"matmul", "matmul linear conv1x1", "gemm gemm_tiled reduction", "tests/ops/matmul_test.cpp"},
      {"pool2d", "max_pool2d average_pool2d", "pool2d", "tests/ops/pool2d_test.cpp"},
      {"reduction", "sum mean global_average_pool max argmax", "reduction", "tests/ops/reduction_test.cpp"},
      {"resample", "upsample_nearest", "bifpn_node", "tests/ops/resample_test.cpp"},
      {"shape_ops", "reshape concat slice transpose cast", "shape_ops", "tests/ops/shape_ops_test.cpp"},
      {"squeeze_excite", "squeeze_excite", "squeeze_excite", "tests/ops/squeeze_excite_test.cpp"},
      {"unary", "exp log sqrt tanh", "activation", "tests/ops/unary_test.cpp"},
      {"anchor_matching", "", "anchor_matching", "tests/train/matching_test.cpp"},
      {"detection", "", "detection", "tests/models/postprocess_test.cpp"},
      {"elementwise", "", "elementwise", "tests/core/tensor_test.cpp"},
      {"optimizer", "", "optimizer", "tests/cuda/optimizer_test.cpp"},
      {"prepare_images", "", "prepare_images", "tests/data/input_image_test.cpp"},
      {"random", "", "random", "tests/core/tensor_test.cpp"},
  };
  return stems;
}

const std::vector<KernelFile>& kernel_files() {
  static const std::vector<KernelFile> files = {
      {"activation",
       "activation_naive activation_packed activation_backward_naive activation_backward_packed",
       "float32 float64 bfloat16"},
      {"anchor_matching",
       "best_truths_naive best_anchors_naive best_truths_tiled best_anchors_tiled force_matches "
       "write_targets write_normalizer",
       "float32"},
      {"arithmetic",
       "binary_broadcast binary_packed affine_naive affine_packed quotient_naive quotient_packed "
       "sum_to_naive sum_to_tiled",
       "float32 float64 bfloat16"},
      {"batch_norm", "sum_chunks finish_chunks apply_chunks running_coefficients whole_chunks",
       "float32 float64 bfloat16"},
      {"batch_norm_given", "merge_chunks", "float32"},
      {"batch_norm_squeeze_excite",
       "swish_sums_chunks swish_scale_chunks gated_gradient_sums_chunks finish_gated_gradient "
       "gated_gradient_chunks",
       "float32 float64 bfloat16"},
      {"bifpn_node", "node_forward node_gradient upsample_backward pool_backward_naive pool_backward_packed",
       "float32 float64 bfloat16"},
      {"conv1x1_batch_norm", "conv1x1_gradients_tiled", "bfloat16"},
      {"conv2d",
       "conv2d_naive input_gradient_naive weight_gradient_naive transpose_naive conv2d_strips "
       "weight_gradient_strips",
       "float32 float64 bfloat16"},
      {"conv2d_patches", "weight_gradient_patches", "bfloat16"},
      {"conv2d_tiled", "correlate_tiled weight_gradient_tiled", "float32 float64 bfloat16"},
      {"cross_entropy",
       "softmax_kernel softmax_backward_kernel log_softmax_kernel log_softmax_backward_kernel "
       "cross_entropy_rows mean_loss cross_entropy_backward_rows",
       "float32 float64 bfloat16"},
      {"depthwise_conv2d", "depthwise_naive input_gradient_naive depthwise_tiled input_gradient_tiled",
       "float32 float64 bfloat16"},
      {"depthwise_tensor_cores", "depthwise_diagonals input_gradient_diagonals", "bfloat16"},
      {"depthwise_weight_gradient", "weight_gradient_naive weight_gradient_tiled weight_gradient_diagonals",
       "float32 float64 bfloat16"},
      {"detection",
       "begin_search count_digits gather_candidates sort_stage_naive sort_shared decode suppress_in_order "
       "suppress_softly",
       "float32 bfloat16"},
      {"detection_loss",
       "focal_loss_naive focal_loss_packed scale_unless_one "
       "huber_loss_naive huber_loss_backward_naive huber_loss_boxes huber_loss_backward_boxes "
       "iou_loss_boxes iou_loss_backward_boxes",
       "float32 float64 bfloat16"},
      {"dropout", "dropout_naive dropout_packed stochastic_depth_naive stochastic_depth_packed",
       "float32 float64 bfloat16"},
      {"elementwise", "fill_naive accumulate_naive accumulate_packed",
       "float32 float64 bfloat16 int32 int64 uint8"},
      {"gemm", "cuBLASLt", "float32 float64 bfloat16"},
      {"gemm_tiled", "product_tiled", "bfloat16"},
      {"indexing", "gather_naive gather_backward_naive where_naive", "float32 float64 bfloat16 int32 int64"},
      {"optimizer", "each_number_chunked norm_chunked", "float32"},
      {"pool2d", "max_pool max_pool_backward average_pool average_pool_backward", "float32 float64 bfloat16"},
      {"prepare_images", "prepare_images_naive", "float32 bfloat16"},
      {"random", "normal_naive uniform_naive", "float32 float64 bfloat16"},
      {"reduction",
       "reduce_naive reduce_chunks add_chunks repeat_naive repeat_packed max_naive max_rows "
       "max_backward_naive",
       "float32 float64 bfloat16"},
      {"shape_ops", "cast_naive cast_packed copy_rows_kernel transpose_naive transpose_tiled",
       "float32 float64 bfloat16 int32 int64 uint8"},
      {"squeeze_excite",
       "pixel_sums_chunks scale_chunks gate_from_chunks hidden_gradient_from_chunks small_products",
       "float32 float64 bfloat16"},
  };
  return files;
}

}  // namespace fovea
