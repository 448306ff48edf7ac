#pragma once
#include <string>

#include "models/efficientdet.h"

namespace fovea {

// A drawing of a network: SVG in one piece, without scripts, light or dark as the viewer's system is.
// Hovering over a part shows its name in weight files. Elements can be counted: class="node" is a BiFPN node,
// class="edge" one of its inputs, with data-from, data-to and, if inputs are weighed, data-weight.

// The classifier, or a backbone, from the image at the bottom to the class at the top. `size` is that of the
// square input, in pixels.
std::string draw_network(const EfficientNet& model, int size);

// The detector: the backbone upwards, from which the pyramid's levels branch off, each cell of the BiFPN to
// the right of the one before, class net, box net and anchors. With `show_weights` each input of a node shows
// its fusion weight, as a number and as the line's thickness: for trained networks.
std::string draw_network(const EfficientDet& model, int height, int width, bool show_weights);

}  // namespace fovea
