#pragma once
#include <string>
#include <vector>

#include "train/data/dataset.h"
#include "train/data/problem.h"

namespace fovea {

// The data sets of Darknet and its successors: for each image a text file with a line "class x y width
// height" for each object, the centre and the size in shares of the image's width and height, classes counted
// from 0. The text file has the image's name with the extension .txt and lies beside it or, if the path has a
// folder images/, in a folder labels/ in its place. An image without a text file has no object.
//   with a YAML file (https://docs.ultralytics.com/datasets/detect), data.yaml or any other with names: in
//   it:
//     names         the classes, a list or a map from 0 on
//     train, val, test and any other splits: a folder of images, a file that lists images, or
//                   several of either
//     path          the root of those; the YAML file's folder if it is missing or not on this machine
//   without one: the classes, one a line, in classes.txt or a file *.names, and images in
//     images/<split>/, in <split>/images/, in the lists <split>.txt, or directly in images/, which is
//     then the split "all"
//   Without any of these: images with their text files beside them, in <split>/ or in the folder itself.
// Paths usually come from other machines: if a path does not exist, its leading folders are left out one by
// one until it exists in the data set's folder (files/find_file.h), unless it then belongs to another split.

// Whether the folder has that layout.
bool is_yolo(const std::string& folder);

// The names of its splits, sorted. Throws Error if the YAML file cannot be read.
std::vector<std::string> yolo_splits(const std::string& folder);

// Reads the images of some splits, one after the other, each image once. Widths and heights are those of the
// images' files, turned upright. If `class_names` is empty, the classes are those of the data set; otherwise
// they are the classes of a model, and the labels follow their order. A line of five numbers is a box. If the
// YAML file has a kpt_shape, keypoints may follow; otherwise a longer line is an outline, and its bounding
// box is used. Throws Error naming file, line, and value if the YAML file or a line is malformed, a class is
// not among the names or not one of the model's, or an image's size cannot be read; also if a split has no
// image, or none with a text file. Images without a text file are counted in `warnings`. It leaves out, with
// a sentence there, a text file without an image, a picture in an unsupported format, a listed image that
// does not exist, and a box without a positive finite size or completely outside its image. A box that
// reaches outside by more than a pixel is cut off with a warning. With a log, faults and raw boxes are
// recorded in it, and what would be an error of one line or image is left out.
DetectionDataset read_yolo(const std::string& folder, const std::vector<std::string>& splits,
                           const std::vector<std::string>& class_names = {}, ReadLog* log = nullptr);

// The file of an image's boxes.
std::string yolo_label_file(const std::string& image_file);

}  // namespace fovea
