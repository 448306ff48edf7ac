#pragma once
#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "train/data/dataset.h"
#include "train/data/image/image.h"

namespace fovea {

inline constexpr double largest_rotation = 45;  // degrees; beyond it a flip or a quarter turn is nearer

// The image turned clockwise by `degrees` about its centre, as large as before, interpolated bilinearly. What
// comes from outside of it is `background`.
Image rotate(const Image& image, double degrees, const std::array<uint8_t, 3>& background);

// The annotations of rotate(image, degrees, ...). Their edges may lie outside of the image. An object's box
// is the tightest around the ellipse inscribed in the old one, whose part outside of the image is cut off
// first: the box around the four turned corners is too large, because hardly an object reaches into the
// corners of its box, and networks that learn from the ellipse's find objects better ("Towards Rotation
// Invariance in Object Detection", arXiv 2109.13488). A crowd region, in which objects lie anywhere, gets the
// box around its corners.
std::vector<Annotation> rotate(const Image& image, std::span<const Annotation> annotations, double degrees);

}  // namespace fovea
